"""The real engine on the plan's clock: steps take what they took, and are heard at their ends."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from node.engine.events import (
    EngineDone,
    EngineFirstToken,
    EngineRefused,
    EngineStarted,
    EngineWrote,
    JobEvent,
)
from node.engine.requests import Done, Event, FirstToken, Refused, Request, Started, Wrote
from node.engine.stepped import Scale, SteppedEngine
from node.engine.wire import infer, request_of
from node.scheduler import Job, Order
from node.speed import Speed
from roundtrip.message import Question, Sampling, Turn
from tests.unit.node.test_service_time import PROFILE, order

READ_NS, WRITE_NS = 1000, 100


class Batcher:
    """Two questions at once: a step reads all new prompts, or writes a token of each answer; an
    answer has two."""

    prefill_ns, step_ns, width = 10.0, {1: 20.0, 2: 30.0}, 2

    def __init__(self) -> None:
        self.now_ns = 5_000_000
        """Of the clock that measures; it stands still but for the steps."""
        self.waiting: list[Request] = []
        self.slots: dict[int, int] = {}
        """Tokens that are left to be written; 3: not read."""

    def clock_ns(self) -> int:
        return self.now_ns

    @property
    def busy(self) -> bool:
        return bool(self.waiting or self.slots)

    def add(self, request: Request) -> None:
        self.waiting.append(request)

    def cut(self, request_id: int) -> list[Event]:
        if self.slots.pop(request_id, None) is None:
            return []
        return [Done(request_id, "Y", "deadline", 9, 1, 0)]

    def admit(self) -> list[Event]:
        events: list[Event] = []
        while self.waiting and len(self.slots) < self.width:
            request = self.waiting.pop(0)
            if request.text == "too long":
                events.append(Refused(request.id, "too_long", "by far"))
                continue
            self.slots[request.id] = 3
            events.append(Started(request.id))
        return events

    def step(self) -> list[Event]:
        if 3 in self.slots.values():
            self.now_ns += READ_NS
            new = [number for number, left in self.slots.items() if left == 3]
            self.slots |= dict.fromkeys(new, 2)
            return [FirstToken(number) for number in new]
        if not self.slots:
            return []
        self.now_ns += WRITE_NS
        events: list[Event] = []
        for number in list(self.slots):
            self.slots[number] -= 1
            if self.slots[number]:
                events.append(Wrote(number, "Y"))
            else:
                del self.slots[number]
                events.append(Done(number, "Yes.", "stop", 9, 2, 0, "Hm."))
        return events


@pytest.fixture
def batcher() -> Batcher:
    return Batcher()


@pytest.fixture
def engine(batcher: Batcher) -> SteppedEngine:
    return SteppedEngine(batcher, PROFILE, batcher.clock_ns)


def run_out(engine: SteppedEngine) -> list[JobEvent]:
    found: list[JobEvent] = []
    while (due := engine.deadline) is not None:
        assert due[1] == "step"
        found += engine.timeout(now_ns=due[0])
    return found


def when(events: Sequence[JobEvent]) -> list[tuple[type, int, int | None]]:
    return [(type(event), event.question_id, getattr(event, "at_ns", None)) for event in events]


def test_a_job_takes_what_its_steps_took(ask, engine: SteppedEngine) -> None:
    assert engine.deadline is None
    assert when(engine.infer(order(ask(1)), now_ns=70)) == [(EngineStarted, 1, 70)]
    assert engine.deadline == (70 + READ_NS, "step")
    assert when(run_out(engine)) == [
        (EngineFirstToken, 1, 1070),
        (EngineWrote, 1, None),
        (EngineDone, 1, 1270),
    ]
    assert engine.deadline is None


def test_waiting_costs_the_engine_nothing(ask, batcher: Batcher, engine: SteppedEngine) -> None:
    engine.infer(order(ask(1)), now_ns=0)
    run_out(engine)
    begin_ns = batcher.now_ns
    engine.infer(order(ask(2)), now_ns=10**15)
    (*_, done) = run_out(engine)
    assert done.at_ns == 10**15 + READ_NS + 2 * WRITE_NS
    assert batcher.now_ns - begin_ns == READ_NS + 2 * WRITE_NS


def test_what_comes_during_a_step_is_heard_after_it(ask, engine: SteppedEngine) -> None:
    engine.infer(order(ask(1)), now_ns=0)
    assert engine.infer(order(ask(2)), now_ns=10) == []
    assert when(run_out(engine)) == [
        (EngineFirstToken, 1, 1000),
        (EngineStarted, 2, 1000),
        (EngineFirstToken, 2, 2000),
        (EngineWrote, 1, None),
        (EngineWrote, 2, None),
        (EngineDone, 1, 2200),
        (EngineDone, 2, 2200),
    ]


def test_what_comes_at_the_end_of_a_step_is_heard_with_the_next(ask, engine: SteppedEngine) -> None:
    engine.infer(order(ask(1)), now_ns=0)
    assert when(engine.infer(order(ask(2)), now_ns=READ_NS)) == [(EngineFirstToken, 1, 1000)]
    assert when(run_out(engine))[:1] == [(EngineWrote, 1, None)]


def test_a_cut_is_heard_after_the_step_and_gives_what_there_is(ask, engine: SteppedEngine) -> None:
    engine.infer(order(ask(1)), now_ns=0)
    assert engine.cut(1, now_ns=10) == []
    first, done = run_out(engine)
    assert isinstance(first, EngineFirstToken)
    assert isinstance(done, EngineDone)
    assert (done.at_ns, done.result.text, done.result.finish_reason) == (1000, "Y", "deadline")
    assert engine.cut(1, now_ns=2000) == []
    assert engine.deadline is None


def test_a_refusal_is_told_at_once(ask, engine: SteppedEngine) -> None:
    refused = engine.infer(order(ask(1, text="too long")), now_ns=7)
    assert refused == [EngineRefused(1, "too_long", "by far")]
    assert run_out(engine) == []


def test_a_result_says_what_the_scheduler_goes_by(ask, engine: SteppedEngine) -> None:
    engine.infer(order(ask(1)), now_ns=0)
    result = run_out(engine)[-1].result
    assert (result.text, result.thoughts, result.prompt_tokens, result.output_tokens) == (
        "Yes.", "Hm.", 9, 2,
    )  # fmt: skip
    assert (result.prefill_ns, result.step_ns, result.sequences) == (10.0, {1: 20.0, 2: 30.0}, 2)
    assert engine.speed() == Speed(10.0, {1: 20.0, 2: 30.0})
    assert (engine.at_once(), engine.mended, engine.store_ns) == (2, None, 1_000_000)


def test_another_machines_speed(ask, batcher: Batcher) -> None:
    engine = SteppedEngine(batcher, PROFILE, batcher.clock_ns, Scale(prefill=3.0, decode=5.0))
    assert engine.speed() == Speed(30.0, {1: 100.0, 2: 150.0})
    engine.infer(order(ask(1)), now_ns=0)
    assert when(run_out(engine))[-1] == (EngineDone, 1, 3 * READ_NS + 2 * 5 * WRITE_NS)


def test_a_step_that_takes_no_time_takes_some(ask, batcher: Batcher) -> None:
    engine = SteppedEngine(batcher, PROFILE, lambda: 0)
    engine.infer(order(ask(1)), now_ns=0)
    assert engine.deadline == (1, "step")


def test_a_request_has_all_that_was_asked() -> None:
    sampling = Sampling(temperature=0.5, seed=3)
    question = Question(
        9, "Well?", "Be short.", 16, sampling, "on", 120_000, schema="{}",
        turns=(Turn("Hm?", "Yes."),),
    )  # fmt: skip
    asked = Order(Job(question, 0, 10), 12, True, 5, True, None)
    assert request_of(infer(asked)) == Request(
        9, "Well?", "Be short.", 12, sampling, True, 5, True, "{}", (("Hm?", "Yes."),)
    )
