"""What the desk knows of questions that nobody asked there: the workload's, and a ledger's."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace

import pytest

from ground.desk import Desk, shown_record
from ground.history import History
from ground.outputs import NodeHealth, Settled, StageReached, StoredQuestion
from ground.results.record import Planned
from roundtrip.codec import encode
from roundtrip.contacts import FOREVER_NS, Windows
from roundtrip.errors import BadInput
from roundtrip.message import GREEDY, Health, Question, Turn, Vitals
from roundtrip.stages import USUAL, Stage
from roundtrip.units import NS_PER_S
from tests.unit.ground.web.test_server import Actor


def stored(number: int, text: str, *, settled: bool = False) -> StoredQuestion:
    payload = encode(Question(number, text, "", 8, GREEDY, "off", 1000, priority=2), texts=())
    return StoredQuestion(number, payload, 7 * NS_PER_S, settled)


def test_what_a_ledger_holds_open_is_open_before_the_link_is_up() -> None:
    desk = Desk()
    desk.recovered([stored(3, "Still?"), stored(4, "Over?", settled=True)])
    (one,) = desk.status()["open"]
    assert (one["id"], one["text"], one["priority"]) == (f"{3:014x}", "Still?", 2)
    assert one["stages_s"] == {"intended": 7.0}
    assert desk.found(f"{3:014x}")["stage"] == "intended"
    assert desk.found(f"{4:014x}") is None


def test_a_question_of_the_workload_is_shown_with_its_stages(answered) -> None:
    desk = Desk()
    desk.stands(Actor())
    planned = Planned(2, NS_PER_S, "Well?", None, 0)
    desk.output(StageReached(planned, Stage.SUBMITTED, 2 * NS_PER_S, 9 * NS_PER_S))
    desk.output(StageReached(planned, Stage.DELIVERED, 3 * NS_PER_S))
    (one,) = desk.status()["open"]
    assert (one["id"], one["stage"], one["expected_at_s"]) == (f"{2:014x}", "delivered", 9.0)
    assert one["stages_s"] == {"intended": 1.0, "submitted": 2.0, "delivered": 3.0}
    desk.output(Settled(answered(2)))
    assert desk.status()["open"] == []
    assert set(desk.answers(1)[0]["stages_s"]) == {stage.value for stage in USUAL}


def test_what_is_no_key_is_no_question() -> None:
    desk = Desk()
    desk.recovered([stored(0, "Still?")])
    assert desk.found(f"{0:014x}")["text"] == "Still?"
    assert desk.found("x") is None
    assert not desk.cancel("x")


def test_a_node_is_shown_in_units_of_people() -> None:
    desk = Desk()
    vitals = Vitals(1_000, 2, 2_500, -1_500, 0, 3_200, 870, 2, engine_mb=1_600, room_mb=9)
    desk.output(NodeHealth(Health("tiny", "Q8_0", 512, 4, 0)))
    assert desk.status()["node"]["threads"] == 4
    assert desk.status()["node"]["charge"] is None
    desk.output(NodeHealth(Health("tiny", "Q8_0", 512, 4, 1, vitals)))
    node = desk.status()["node"]
    assert (node["charge"], node["temperature_c"], node["power_w"]) == (0.87, -1.5, 3.2)
    assert (node["throttled_s"], node["rss_bytes"], node["threads"]) == (2.5, 1_000, 2)
    assert (node["engine_mb"], node["room_mb"]) == (1_600, 9)
    desk.output(NodeHealth(Health("tiny", "Q8_0", 512, 4, 2)))
    assert desk.status()["node"]["charge"] == 0.87, "what comes up again has said nothing new"
    levels = [event["level"] for event in desk._events]
    assert levels == ["info", "warning", "warning"], "the engine died"


def test_a_conversation_goes_back_to_its_first_question(answered, expired) -> None:
    desk = Desk()
    desk.stands(Actor())
    loops = [
        answered(0, answer="Zero."),
        answered(1, answer="One."),
        answered(2, answer="Two."),
        expired(3),
    ]
    before = (Turn("Before?", "Then."), Turn("", "Ready."))
    plans = [
        replace(loops[0].planned, turns=before),
        replace(loops[1].planned, after=0, turns=(*before, Turn("Question 0?", "Zero."))),
        replace(loops[2].planned, after=1),
        replace(loops[3].planned, after=2),
    ]
    for loop, planned in zip(loops, plans, strict=True):
        desk.output(Settled(replace(loop, planned=planned)))
    said = [(turn.text, turn.answer) for turn in desk.conversation(f"{2:014x}")]
    assert said == [
        ("Before?", "Then."), ("", "Ready."),
        ("Question 0?", "Zero."), ("Question 1?", "One."), ("Question 2?", "Two."),
    ]  # fmt: skip
    for key in (f"{3:014x}", f"{9:014x}", "x"):
        with pytest.raises(BadInput, match="after: expected one that was answered"):
            desk.conversation(key)


def test_it_is_known_from_the_history_too(answered, tmp_path) -> None:
    history = History(tmp_path / "history.sqlite")
    desk = Desk(history=history)
    for index in range(300):
        loop = answered(index)
        planned = replace(loop.planned, after=index - 1 if index else None)
        history.add(shown_record(replace(loop, planned=planned)), "a run", 5)
    assert len(desk.conversation(f"{299:014x}")) == 300
    history.close()


def test_the_contact_of_a_moment_is_that_in_which_it_lies() -> None:
    desk = Desk(Windows([(5 * NS_PER_S, 9 * NS_PER_S), (20 * NS_PER_S, FOREVER_NS)]))
    found = desk.contact_at(6.0)
    assert (found["start_s"], found["end_s"]) == (5.0, 9.0)
    assert desk.contact_at(20.5)["end_s"] is None
    assert desk.contact_at(9.5) is None
    assert desk.contact_at(None) is None


def test_who_listens_is_told_no_more_when_the_station_ends() -> None:
    desk = Desk()

    async def listen() -> list[str]:
        return [event["text"] async for event in desk.events(None)]

    async def scene() -> list[str]:
        listening = asyncio.ensure_future(listen())
        await asyncio.sleep(0)
        desk.note("one")
        desk.ends()
        return await asyncio.wait_for(listening, 5)

    assert asyncio.run(scene()) == ["one"]


def test_the_contacts_of_the_last_hour_and_the_next_ones_are_shown() -> None:
    """Sixteen of them; the plan may hold thousands."""
    spans = [(hour * 3600 * NS_PER_S, (hour * 3600 + 600) * NS_PER_S) for hour in range(40)]
    desk = Desk(Windows(spans))
    desk.stands(SimpleNamespace(clock=SimpleNamespace(now_ns=lambda: 3 * 3600 * NS_PER_S)))
    shown = desk.status()["contacts"]
    assert shown[0] == (2 * 3600.0, 2 * 3600.0 + 600.0), "it ended less than an hour ago"
    assert [start for start, _ in shown] == [hour * 3600.0 for hour in range(2, 18)]
