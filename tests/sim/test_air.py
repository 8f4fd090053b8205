"""Bytes on the air: what is left out, what is sent twice, and what happens when an end forgets."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import pytest

from dtn.agent import AgentConfig
from ground.air import LAYERS
from ground.outputs import Request
from ground.results.summary import Run
from node.service_time import load_profile
from roundtrip.budget import Outcome
from roundtrip.message import Turn
from roundtrip.scenario import Scenario
from roundtrip.scenario_file import check_scenario
from roundtrip.transport import agent_config
from roundtrip.units import s_to_ns
from testbed.world import World
from tests.sim.test_stamps import Truth, _restart

WAY = {"rate_bps": 64_000, "one_way_delay_ms": 20, "mtu_bytes": 256}
UNKNOWN = "node knows no such settings"


QUESTIONS = ("Is the battery low?", "Which wheel is warm?")


def scenario(count: int = 20, questions: Sequence[str] = QUESTIONS, **way: object) -> Scenario:
    link = WAY | way
    return check_scenario(
        {
            "link": {"uplink": link, "downlink": link},
            "workload": {
                "questions": list(questions),
                "system": "You watch a satellite. Be short." * 5,
                "rate_per_min": 30,
                "count": count,
                "max_tokens": 30,
            },
            "budget": {"loop_s": 120, "expire_s": 300},
        },
        "air",
    )


def world(of: Scenario, seed: int = 1, **options: bool) -> World:
    return World(of, seed, load_profile(of.node.profile), **options)


def on_time(run: Run) -> int:
    return sum(record.outcome is Outcome.ON_TIME for record in run.records)


def test_the_layers_add_up_to_what_the_link_carried() -> None:
    run = world(scenario(loss=0.1)).run()
    assert run.air is not None
    assert run.fates is not None
    for way, name in (("up", "uplink"), ("down", "downlink")):
        layers = run.air[way]
        assert sum(layers[layer] for layer in LAYERS) == layers["total"]
        frames = [fate for fate in run.fates if fate.direction == name]
        arrived = [fate for fate in frames if fate.arrives_ns is not None]
        carried = sum(fate.size_bytes for fate in (frames if way == "up" else arrived))
        assert layers["total"] <= carried
        assert layers["total"] > 0.97 * carried, "but for what is on its way at the end"
        assert 0 < layers["text"] < layers["raw_text"]


def test_the_system_prompt_goes_up_once() -> None:
    one, many = (world(scenario(count)).run() for count in (1, 20))
    assert one.air is not None
    assert many.air is not None
    first, rest = one.air["up"]["message"], many.air["up"]["message"] - one.air["up"]["message"]
    assert first > 30
    assert rest <= 19 * 12


@pytest.mark.parametrize("loss", [0.0, 0.1])
@pytest.mark.parametrize("every_s", [0.9, 3.7])
def test_a_node_that_was_started_again_is_told_again_in_the_same_loop(
    loss: float, every_s: float, watched: Callable[..., Run]
) -> None:
    for seed in (1, 2, 3):
        run = watched(scenario(loss=loss), seed, "node", every_s)
        assert on_time(run) == 20, f"seed {seed}"
        assert run.rejected[UNKNOWN] > 0
        assert max(record.loop_ns for record in run.records) < 5 * 10**9


def test_a_ground_that_was_started_again_tells_all_again(watched: Callable[..., Run]) -> None:
    run = watched(scenario(), 1, "ground", 3.7)
    assert on_time(run) == 20
    assert UNKNOWN not in run.rejected


@pytest.fixture
def watched() -> Callable[..., Run]:
    """A run in which one side is started again every so often, with nothing on its disk lost."""

    def run(of: Scenario, seed: int, side: str, every_s: float) -> Run:
        truth = Truth(of)
        it = World(of, seed, load_profile(of.node.profile), truth)
        for life in range(1, int(45 / every_s)):
            again = partial(_restart, it, truth, side, life)
            it.link.clock.call_at(s_to_ns(every_s * life), again)
        return it.run()

    return run


def test_on_a_link_without_loss_nothing_is_sent_twice_any_more() -> None:
    fast = {"rate_bps": 10_000_000, "one_way_delay_ms": 270}
    few, many = (world(scenario(count, **fast)).run() for count in (120, 180))
    assert few.air is not None
    assert many.air is not None
    assert few.air["down"]["repeats"] > 0, "to begin with nobody knows"
    assert many.air["down"]["repeats"] == few.air["down"]["repeats"]


def test_where_frames_are_lost_and_cheap_they_are_sent_twice() -> None:
    lossy = {"rate_bps": 10_000_000, "one_way_delay_ms": 270, "loss": 0.1}
    run = world(scenario(100, **lossy)).run()
    assert run.air is not None
    sent = run.air["down"]
    assert sent["repeats"] > 0.5 * (sent["total"] - sent["repeats"] - sent["control"])


def test_where_they_are_dear_they_are_not() -> None:
    slow = {"rate_bps": 1_200, "one_way_delay_ms": 6, "loss": 0.02}
    run = world(scenario(20, **slow)).run()
    assert run.air is not None
    assert run.air["up"]["repeats"] < 0.2 * run.air["up"]["total"]


def test_without_security_headers_are_compressed_too() -> None:
    secured, plain = (world(scenario(), plain=plain).run() for plain in (False, True))
    assert secured.air is not None
    assert plain.air is not None
    assert secured.air["up"]["security"] == 20 * 16
    assert plain.air["up"]["security"] == 0
    assert plain.air["up"]["bundle"] == 20 * (7 + 4), "a checksum stands for the tag"


def test_without_a_date_the_run_goes_on_with_longer_headers() -> None:
    undated = world(scenario(), dtn_epoch_ms=0).run()
    assert on_time(undated) == 20
    assert undated.air is not None
    assert undated.air["up"]["security"] == 20 * (16 + 12), "each IV goes along"


def test_a_peer_that_has_shown_itself_gets_compressed_bundles(monkeypatch) -> None:
    """As over UDP, where it may be anyone: what the node is, it says in a standard bundle."""

    def unknown(*args: object, **rest: object) -> AgentConfig:
        return replace(agent_config(*args, **rest), compresses=False)

    monkeypatch.setattr("testbed.world.agent_config", unknown)
    run = world(scenario()).run()
    assert on_time(run) == 20
    assert run.air is not None
    assert run.air["up"]["bundle"] < 20 * 7 + 100, "at most the first one is a standard bundle"
    assert run.air["down"]["bundle"] > 100, "its health"
    assert run.air["down"]["bundle"] - 130 < 20 * 12


def test_questions_that_cannot_be_packed_take_no_more_than_their_text() -> None:
    rng = random.Random(1)
    texts = ["".join(chr(rng.randrange(33, 127)) for _ in range(60)) for _ in range(20)]
    run = world(scenario(questions=texts)).run()
    assert run.air is not None
    assert run.air["up"]["text"] <= run.air["up"]["raw_text"]


@pytest.mark.parametrize("forgets", [False, True])
def test_what_was_said_before_goes_up_only_where_the_node_has_lost_it(forgets: bool) -> None:
    of = scenario(20, rate_bps=9_600)
    truth = Truth(of)
    it = World(of, 1, load_profile(of.node.profile), truth)
    first = it.ground.machine.next_id() - 20
    turns = (Turn(QUESTIONS[0], "x" * 400),)
    going_on = Request("Since when?", turns=turns, after=first)
    if forgets:
        it.link.clock.call_at(s_to_ns(20), partial(it.restart_node, 1, ()))
    it.link.clock.call_at(s_to_ns(25), partial(it.ground.call, it.ground.machine.ask, going_on))
    assert on_time(it.run()) == 21
    asked = [one.question for one in truth.store.values()]
    second = next(one for one in asked if one.text == "Since when?")
    assert len(second.turns) == 1
    assert second.turns[0].text == QUESTIONS[0]
    assert (second.turns[0].answer == "x" * 400) == forgets, "the node's own, where it has it"
    assert ("node knows no such turns" in it.out.rejected) == forgets
