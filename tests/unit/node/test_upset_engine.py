"""The engine of virtual time whose weights flip."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from node.engine.events import EngineDone, EngineStarted, JobEvent
from node.engine.guarded import MAX_TRIES, SLICE_NS
from node.engine.scrub import SHARE
from node.scheduler import Order
from node.service_time import VirtualEngine
from node.upset_engine import SPOILT, UpsetEngine
from roundtrip.radiation import RadiationConfig
from roundtrip.units import NS_PER_S
from roundtrip.upsets import DAY_NS
from tests.unit.node.test_service_time import PROFILE, order

DONE_NS = 2_000_500_000
"""When an answer to a text of 80 bytes is there."""
ROUND_NS = 50_000_000
"""200 MB at 4 GB/s."""


def engine_of(
    rate: float = 0.0, *, harm: float = 1.0, weights_mb: float = 200.0, **radiation
) -> UpsetEngine:
    """Upsets as many as `rate` a second."""
    per_bit = rate * DAY_NS / NS_PER_S / (weights_mb * 8e6)
    profile = PROFILE.model_copy(
        update={"weights_mb": weights_mb, "scrub_mb_s": 4000.0, "upset_harm": harm}
    )
    config = RadiationConfig.model_construct(
        flips_per_bit_day=per_bit, **{"scrub": True, "probe_s": 60.0, "times": 1.0} | radiation
    )
    return UpsetEngine(VirtualEngine(profile, random.Random(1)), config, random.Random(2))


def asked(ask, number: int = 1) -> Order:
    return order(ask(number, text="x" * 80))


def run_out(engine: UpsetEngine) -> list[JobEvent]:
    found: list[JobEvent] = []
    while (due := engine.deadline) is not None:
        found += engine.timeout(now_ns=due[0])
    return found


def answers(events: Sequence[JobEvent]) -> list[EngineDone]:
    return [event for event in events if isinstance(event, EngineDone)]


def test_an_answer_comes_when_a_round_of_checks_is_over(ask) -> None:
    engine = engine_of()
    engine.infer(asked(ask), now_ns=0)
    (done,) = answers(run_out(engine))
    assert done.at_ns == DONE_NS + ROUND_NS
    assert not done.result.exposed
    assert SPOILT not in done.result.text
    assert done.result.text


def test_beside_other_work_a_round_takes_longer(ask) -> None:
    engine = engine_of(weights_mb=2.0)
    engine.infer(asked(ask, 1), now_ns=0)
    engine.infer(asked(ask, 2), now_ns=1)
    second, first = answers(run_out(engine))
    assert (second.question_id, first.question_id) == (2, 1), "it was alone when it was done"
    assert first.at_ns - second.at_ns == pytest.approx(500_000 / SHARE - 500_000, abs=10)


def test_without_checks_it_comes_at_once_and_may_be_spoilt(ask) -> None:
    engine = engine_of(10.0, scrub=False)
    engine.infer(asked(ask), now_ns=0)
    (done,) = answers(run_out(engine))
    assert done.at_ns == DONE_NS
    assert set(done.result.text) == {SPOILT}
    assert not done.result.exposed, "nobody knows"
    assert (engine.hit.spoilt, engine.hit.mended, engine.mended) == (1, 0, 0)
    assert engine.hit.upsets == pytest.approx(20, abs=10)


def test_most_upsets_do_no_harm(ask) -> None:
    engine = engine_of(10.0, harm=0.0, scrub=False)
    engine.infer(asked(ask), now_ns=0)
    (done,) = answers(run_out(engine))
    assert SPOILT not in done.result.text


def test_what_was_hit_meanwhile_is_begun_anew(ask) -> None:
    engine = engine_of(0.5, harm=1.0)
    for number in range(50):
        engine.infer(asked(ask, number), now_ns=10 * number * NS_PER_S)
        found = run_out(engine)
        (done,) = answers(found)
        starts = sum(isinstance(event, EngineStarted) for event in found)
        assert done.result.exposed is (starts == MAX_TRIES and SPOILT in done.result.text)
    assert engine.hit.again > 20
    assert engine.hit.mended == engine.hit.upsets
    assert engine.hit.spoilt == engine.hit.exposed > 0, "what is wrong is marked"


def test_what_came_in_idle_times_is_mended_before_or_costs_a_try(ask) -> None:
    engine = engine_of(1.0, probe_s=100.0)
    engine.infer(asked(ask), now_ns=0)
    (first,) = answers(run_out(engine))
    before = engine.hit.mended
    begin_ns = first.at_ns + 250 * NS_PER_S
    engine.infer(asked(ask, 2), now_ns=begin_ns)
    assert engine.hit.mended - before == pytest.approx(200, abs=50), "two checks"
    run_out(engine)
    assert engine.hit.mended == engine.hit.upsets


def test_an_answer_whose_time_is_over_is_given_and_marked_where_it_was_not_checked(ask) -> None:
    engine = engine_of()
    assert ROUND_NS > SLICE_NS
    engine.infer(asked(ask), now_ns=0)
    (done,) = answers(engine.cut(1, now_ns=DONE_NS - 300_000_000))
    assert (done.result.finish_reason, done.result.exposed) == ("deadline", True)
    assert done.at_ns == DONE_NS - 300_000_000
    assert engine.deadline is None


def test_a_quick_round_checks_it_in_time(ask) -> None:
    engine = engine_of(weights_mb=2.0)
    engine.infer(asked(ask), now_ns=0)
    (done,) = answers(engine.cut(1, now_ns=DONE_NS - 300_000_000))
    assert not done.result.exposed


def test_one_that_waits_for_its_check_can_be_cut(ask) -> None:
    engine = engine_of()
    engine.infer(asked(ask), now_ns=0)
    while (due := engine.deadline) is not None and due[0] <= DONE_NS:
        assert not answers(engine.timeout(now_ns=due[0]))
    (done,) = answers(engine.cut(1, now_ns=DONE_NS + 1))
    assert (done.at_ns, done.result.finish_reason) == (DONE_NS + 1, "length")
    assert engine.cut(1, now_ns=DONE_NS + 2) == []


def test_what_the_inner_engine_knows_is_passed_on() -> None:
    engine = engine_of()
    assert engine.profile.weights_mb == 200
    assert engine.store_ns == 1_000_000
