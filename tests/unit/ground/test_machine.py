"""A ground machine with a bundle agent for a node, joined by a link without delay or loss."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from dtn.agent import BundleAgent, BundleReceived, Transmit
from ground.machine import GroundMachine
from ground.outputs import (
    Asking,
    BudgetMissed,
    NodeHealth,
    Rejected,
    Settled,
    StageReached,
    StorePart,
    StoreQuestion,
)
from ground.results.record import LoopRecord, Planned
from roundtrip.budget import Budget, Outcome
from roundtrip.codec import decode, encode
from roundtrip.contacts import FOREVER_NS, Contact, ContactPlan
from roundtrip.message import (
    GREEDY,
    Answer,
    Asked,
    Health,
    Part,
    Refusal,
    Sent,
    Unreadable,
    digest_of,
    question_id,
)
from roundtrip.modem import Carrier, Side
from roundtrip.stages import Stage
from roundtrip.transport import OTHER_RELEASE, agent_config
from roundtrip.units import NS_PER_MS, NS_PER_S

RUN = 7
CUE = Carrier(RUN, True, True, 10**9, 10**9, 0, 1400, 0, 0, "", 10**12)
LOOP_NS, EXPIRE_NS = 20 * NS_PER_S, 60 * NS_PER_S
ID = question_id(RUN, 0)


def plan(end_ns: int = FOREVER_NS) -> ContactPlan:
    ways = (("ground", "node"), ("node", "ground"))
    return ContactPlan([Contact(a, b, 0, end_ns, 10**9, NS_PER_MS) for a, b in ways])


def answer(index: int = 0, text: str = "Yes.", **changes: Any) -> Answer:
    number = question_id(RUN, index)
    return replace(Answer(number, text, "stop", 9, 3, 0, 0, 0, 0, 1 << 20, 17), **changes)


class Bench:
    """Drives the ground by hand; `done` holds all outputs but frames."""

    def __init__(self, count: int = 1, *, most: int = 16, contacts: ContactPlan | None = None):
        self.now_ns = 0
        self.done: list[Any] = []
        self.asked: list[Asked] = []
        self.stores = True
        """The disk answers at once."""
        self.hears = True
        """What the node sends arrives."""
        self.ground = GroundMachine(
            BundleAgent(agent_config(Side.GROUND, CUE, max_bundles=64), rng=random.Random(1)),
            [Planned(index, index * NS_PER_S, f"{index}?", None) for index in range(count)],
            asking=Asking(RUN, "Be brief.", 8, GREEDY, "off", 4, "", 5, most),
            budget=Budget(LOOP_NS, EXPIRE_NS, 0.95),
            plan=contacts or plan(),
        )
        self.node = BundleAgent(agent_config(Side.NODE, CUE, max_bundles=64), rng=random.Random(2))
        link = {"tx_up": True, "rx_up": True, "tx_rate_bps": 10**9, "one_way_ns": 0}
        self._from_node(self.node.carrier(**link, now_ns=0))
        self._from_ground(self.ground.carrier(CUE, now_ns=0))

    def call(self, command: Callable[..., Any], *args: Any) -> list[Any]:
        """Give the ground a command; the outputs that are no frames."""
        before = len(self.done)
        self._from_ground(command(*args, now_ns=self.now_ns))
        return self.done[before:]

    def wait(self, at_s: float) -> list[Any]:
        """Until a time; what the ground puts out then."""
        self.now_ns = round(at_s * NS_PER_S)
        self._from_node(self.node.timeout(now_ns=self.now_ns))
        return self.call(self.ground.timeout)

    def tell(self, message: Sent | bytes) -> list[Any]:
        """Send a message down; what the ground puts out."""
        before = len(self.done)
        data = message if isinstance(message, bytes) else encode(message)
        self._from_node(self.node.send(data, lifetime_ms=10**6, now_ns=self.now_ns)[1])
        return self.done[before:]

    def _from_node(self, outputs: Any) -> None:
        for output in outputs:
            if isinstance(output, Transmit) and self.hears:
                self._from_ground(self.ground.receive(output.frame, now_ns=self.now_ns))
            elif isinstance(output, BundleReceived):
                self.asked.append(decode(output.bundle.payload))
                self._from_node(self.node.accept(output.bundle.id, now_ns=self.now_ns))

    def _from_ground(self, outputs: Any) -> None:
        for output in outputs:
            if isinstance(output, Transmit):
                self._from_node(self.node.receive(output.frame, now_ns=self.now_ns))
                continue
            self.done.append(output)
            if not self.stores:
                continue
            match output:
                case StoreQuestion(question_id=number):
                    self._from_ground(self.ground.question_stored(number, now_ns=self.now_ns))
                case StorePart(bundle_id=bundle_id):
                    self._from_ground(self.ground.part_stored(bundle_id, now_ns=self.now_ns))
                case Settled(record=record):
                    number = record.question_id
                    self._from_ground(self.ground.outcome_stored(number, now_ns=self.now_ns))


@pytest.fixture
def bench() -> Bench:
    return Bench()


def records(outputs: list[Any]) -> list[LoopRecord]:
    return [output.record for output in outputs if isinstance(output, Settled)]


def reached(outputs: list[Any]) -> list[Stage]:
    return [output.stage for output in outputs if isinstance(output, StageReached)]


def rejected(outputs: list[Any]) -> list[str]:
    return [output.reason for output in outputs if isinstance(output, Rejected)]


def test_a_question_is_asked_at_its_time_and_ends_with_its_answer() -> None:
    bench = Bench(2)
    assert reached(bench.wait(0)) == [Stage.SUBMITTED, Stage.UPLINK_STARTED, Stage.DELIVERED]
    assert bench.ground.deadline == (NS_PER_S, "ask")
    bench.wait(1.5)
    first, second = bench.asked
    assert (first.question_id, first.remaining_ms, first.priority) == (ID, 20_000, 1)
    assert second.remaining_ms == 19_500
    assert first.settings is not None
    assert (first.settings.system, first.settings.max_tokens) == ("Be brief.", 8)
    assert (first.settings.sampling.seed, first.settings.think_tokens) == (5, 4)
    assert second.settings is None, "they are known"
    (record,) = records(bench.tell(answer()))
    assert (record.outcome, record.answer, record.spent_mj) == (Outcome.ON_TIME, "Yes.", 17)
    assert (record.prompt_tokens, record.output_tokens) == (9, 3)
    assert (record.node_rss_peak_bytes, record.finish_reason) == (1 << 20, "stop")
    assert (record.stamps[Stage.SUBMITTED], record.loop_ns) == (0, 1_500_000_000)
    assert record.in_contact_ns == 1_500_000_000
    assert len(record.uplink_sessions) == 1
    assert record.downlink_session is not None
    assert not bench.ground.finished
    refusal = Refusal(question_id(RUN, 1), "bad_schema", "which", 2_000, 5)
    (record,) = records(bench.tell(refusal))
    assert (record.outcome, record.why) == (Outcome.REFUSED, "bad_schema: which")
    assert record.node_times is not None
    assert (record.node_times.finished_ns, record.node_times.delivered_us) == (2_000_000, 5)
    assert bench.ground.finished


def test_what_is_settled_leaves_nothing_behind() -> None:
    bench = Bench(2)
    bench.wait(1)
    bench.tell(answer())
    bench.wait(EXPIRE_NS / NS_PER_S + 1)
    ground = bench.ground
    assert ground.finished
    assert (ground._open, ground._by_bundle, ground._to_accept) == ({}, {}, {})
    assert ground.deadline is None
    assert bench.node.queued_bundles == 0


def test_the_node_keeps_an_answer_until_the_outcome_is_on_disk(bench: Bench) -> None:
    bench.wait(0)
    bench.stores = False
    bench.tell(answer())
    assert (bench.node.queued_bundles, bench.ground.finished) == (1, False)
    bench.call(bench.ground.outcome_stored, ID)
    assert (bench.node.queued_bundles, bench.ground.finished) == (0, True)
    assert bench.call(bench.ground.outcome_stored, ID) == []


def test_a_question_is_not_sent_before_it_is_on_disk(bench: Bench) -> None:
    bench.stores = False
    (stored,) = bench.wait(0)
    assert isinstance(stored, StoreQuestion)
    assert (stored.asked_ns, bench.asked) == (0, [])
    bench.now_ns = 5
    assert reached(bench.call(bench.ground.question_stored, ID))[0] is Stage.SUBMITTED
    assert len(bench.asked) == 1
    assert bench.call(bench.ground.question_stored, 99) == [], "one that is not there"


def test_an_answer_says_that_the_question_has_arrived(bench: Bench) -> None:
    """It is not sent again, although its report was lost."""
    bench.hears = False
    bench.wait(0)
    bench.hears = True
    assert (len(bench.asked), bench.ground._agent.queued_bundles) == (1, 1)
    (record,) = records(bench.tell(answer()))
    assert record.outcome is Outcome.ON_TIME
    assert bench.ground._agent.queued_bundles == 0


def test_a_missed_budget_is_said_once_and_the_answer_may_still_come(bench: Bench) -> None:
    bench.wait(0)
    assert bench.ground.deadline == (LOOP_NS / 2, "budget")
    assert bench.wait(9.9) == []
    assert bench.wait(10) == [], "asked again"
    assert len(bench.asked) == 2
    assert bench.ground.deadline == (LOOP_NS, "budget")
    assert bench.wait(19.9) == []
    (missed,) = bench.wait(20)
    assert isinstance(missed, BudgetMissed)
    assert missed.planned.index == 0
    assert bench.wait(21) == []
    assert [r.outcome for r in records(bench.tell(answer()))] == [Outcome.LATE]
    assert bench.wait(61) == []


def test_a_question_that_has_waited_too_long_expires_with_what_came_of_its_answer(
    bench: Bench,
) -> None:
    bench.wait(0)
    bench.tell(Part(ID, 0, "Ye"))
    bench.wait(59.9)
    (record,) = records(bench.wait(60))
    assert (record.outcome, record.reason, record.answer) == (Outcome.EXPIRED, "expired", "Ye")
    assert record.settled_ns == EXPIRE_NS
    assert rejected(bench.tell(answer())) == ["reply to a question that is not open"]
    assert bench.node.queued_bundles == 0, "it need not be sent again"


def test_no_more_are_under_way_than_may_be() -> None:
    bench = Bench(4, most=2)
    bench.wait(3)
    assert len(bench.asked) == 2
    bench.tell(answer(1))
    assert [asked.question_id & 0xFF for asked in bench.asked] == [0, 1, 2]


def test_after_the_last_contact_nothing_is_waited_for() -> None:
    """But for light, and half a second."""
    bench = Bench(3, contacts=plan(10 * NS_PER_S))
    bench.wait(1.5)
    over_ns = 10 * NS_PER_S + NS_PER_MS + 500 * NS_PER_MS
    assert bench.ground._last_chance_ns == over_ns
    bench.now_ns = over_ns - 1
    assert bench.call(bench.ground.timeout) != []
    assert bench.ground.deadline == (over_ns, "no further contact")
    bench.now_ns = over_ns
    found = records(bench.call(bench.ground.timeout))
    assert [record.reason for record in found] == ["no_further_contact"] * 3
    assert bench.ground.finished


def test_a_run_that_is_stopped_ends_every_question_once() -> None:
    bench = Bench(4, most=1)
    bench.wait(1.5)
    found = records(bench.call(bench.ground.stop, "interrupted"))
    assert [record.planned.index for record in found] == [0, 1, 2, 3]
    assert bench.ground.finished
    assert bench.wait(5) == []


@pytest.mark.parametrize(
    ("told", "reasons"),
    [
        (b"junk", None),
        (b"\xab" + bytes(22), None),
        (encode(Health("tiny", "Q8_0", 512, 1, 0)), []),
        (Refusal(99, "no_time", "", 0, 0), ["reply to a question that is not open"]),
        (Part(99, 0, "Y"), []),
        (Unreadable(99, "settings"), ["node knows no such settings"]),
    ],
)
def test_what_is_of_no_use_is_not_sent_again(
    bench: Bench, told: Sent | bytes, reasons: list[str] | None
) -> None:
    outputs = bench.tell(told)
    assert bench.node.queued_bundles == 0
    if reasons is None:
        (reason,) = rejected(outputs)
        assert reason.startswith("message")
        assert (reason == OTHER_RELEASE) is (told != b"junk")
    else:
        assert rejected(outputs) == reasons


def test_a_question_from_the_node_is_none(bench: Bench) -> None:
    bench.wait(0)
    asked = bench.ground._open[ID].question
    assert asked is not None
    assert rejected(bench.tell(asked)) == ["a question"]
    assert bench.node.queued_bundles == 0


def test_the_node_says_what_it_is(bench: Bench) -> None:
    health = Health("tiny", "Q8_0", 512, 1, 0)
    assert bench.tell(health) == [NodeHealth(health)]


def test_a_question_that_the_node_cannot_read_goes_up_in_other_words() -> None:
    bench = Bench(2)
    bench.wait(1)
    assert [asked.settings is None for asked in bench.asked] == [False, True]
    second = question_id(RUN, 1)
    assert rejected(bench.tell(Unreadable(second, "settings"))) == ["node knows no such settings"]
    again = bench.asked[2]
    assert (again.question_id, again.settings is None) == (second, False)
    bench.tell(Unreadable(second, "settings"))
    assert len(bench.asked) == 3, "it had all of them: nothing is left to say"
    bench.tell(Unreadable(0, "text"))
    assert {asked.question_id for asked in bench.asked[3:]} == {ID, second}, "which, is not known"
    assert all(isinstance(asked.value, str) for asked in bench.asked[3:])
    assert len(records(bench.tell(answer(1)))) == 1


def test_an_answer_is_made_whole_of_its_parts(bench: Bench) -> None:
    bench.wait(0)
    bench.stores = False
    (stored,) = bench.tell(Part(ID, 0, "Ye"))
    assert isinstance(stored, StorePart)
    assert bench.node.queued_bundles == 1, "until it is on disk"
    bench.call(bench.ground.part_stored, stored.bundle_id)
    assert bench.node.queued_bundles == 0
    (record,) = records(bench.tell(answer(text="s.", start=2, digest=digest_of(b"Yes."))))
    assert record.answer == "Yes."


def test_the_rest_of_another_answer_has_the_question_asked_again(bench: Bench) -> None:
    bench.wait(0)
    bench.tell(Part(ID, 0, "No"))
    outputs = bench.tell(answer(text="s.", start=2, digest=digest_of(b"Yes.")))
    assert rejected(outputs) == ["answer to other parts than came"]
    assert [asked.question_id for asked in bench.asked] == [ID, ID]
    assert bench.node.queued_bundles == 0
    assert [record.answer for record in records(bench.tell(answer()))] == ["Yes."]


def asked_at(bench: Bench, until_s: float) -> list[float]:
    """When questions went up."""
    times = []
    for tenth in range(round(10 * until_s)):
        before = len(bench.asked)
        bench.wait(tenth / 10)
        times += [tenth / 10] * (len(bench.asked) - before)
    return times


def test_a_question_that_arrived_and_is_not_answered_is_asked_again(bench: Bench) -> None:
    """Its report may have been forged; after half its budget, then after all of it, then twice."""
    assert asked_at(bench, 59) == [0.0, 10.0, 30.0]
    assert [one.question_id for one in bench.asked] == [ID] * 3
    assert [r.outcome for r in records(bench.tell(answer()))] == [Outcome.LATE]
    assert asked_at(bench, 59) == []


def test_it_is_not_asked_again_while_its_answer_comes_or_no_link_is_there(bench: Bench) -> None:
    bench.wait(0)
    bench.tell(Part(ID, 0, "Y"))
    assert bench.wait(10) == []
    assert len(bench.asked) == 1
    bench.wait(20)
    assert len(bench.asked) == 2, "no more of it came"
    bench.call(bench.ground.carrier, replace(CUE, rx_up=False))
    before = len(bench.asked)
    bench.wait(55)
    assert len(bench.asked) == before
