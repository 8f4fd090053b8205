"""No answer is given before the weights were found whole after it; spoilt ones are begun anew."""

from __future__ import annotations

import zlib
from collections.abc import Container, Sequence
from typing import Any

import numpy as np
import pytest

from node.engine.guarded import MAX_BROKEN, MAX_TRIES, PROBE, PROBE_TOKENS, Guarded, ProbeFailed
from node.engine.requests import Done, Event, FirstToken, NotFinite, Refused, Request, Started
from node.engine.scrub import SHARE, Mended, Scrubber
from tests.unit.node.engine.tiny import asked

READ_NS = 10
STEP_NS = 100
"""So that beside work there is a check in ten steps, the first of them among these."""
PROBE_NS = 10**9
STEPS = 3
"""Of each answer."""


class World:
    """Two tensors of a byte, a clock, and something that answers in three steps, one question at a
    time, with what the first tensor holds at the last of them."""

    def __init__(self) -> None:
        self.now_ns = 0
        self.tensor = bytearray(2)
        self.waiting: list[Request] = []
        self.left = 0
        self.forgot = 0
        self.threads = 1
        self.elsewhere = 0.0
        """Damage outside the weights."""
        self.cache_is_damaged = self.stays_damaged = False
        self.probes = 0
        self.mended: list[tuple[Mended, int]] = []

    # -- the memory
    sizes = (1, 1)

    def checksum(self, tensor: int, start: int, end: int, so_far: int) -> int:
        self.now_ns += READ_NS
        return zlib.crc32(self.tensor[tensor + start : tensor + end], so_far)

    def mend(self, tensor: int) -> str:
        self.tensor[tensor] = 0
        return "a file"

    def name(self, tensor: int) -> str:
        return f"tensor {tensor}"

    # -- the batcher
    prefill_ns, step_ns, width = 5.0, {1: 7.0}, 2

    @property
    def busy(self) -> bool:
        return bool(self.waiting)

    @property
    def running(self) -> Sequence[int]:
        return [self.waiting[0].id] if self.left else []

    def add(self, request: Request) -> None:
        self.waiting.append(request)

    def set_threads(self, threads: int) -> None:
        self.threads = threads

    def cut(self, request_id: int) -> list[Event]:
        for request in self.waiting:
            if request.id == request_id:
                if request is self.waiting[0]:
                    self.left = 0
                self.waiting.remove(request)
                return [self.done(request, "deadline")]
        return []

    def done(self, request: Request, reason: str) -> Done:
        return Done(request.id, f"holds {self.tensor[0]}", reason, 1, 1, 0)

    def admit(self) -> list[Event]:
        if self.left or not self.waiting:
            return []
        if self.waiting[0].text == "too long":
            return [Refused(self.waiting.pop(0).id, "too_long", "")]
        self.left = STEPS
        return [Started(self.waiting[0].id)]

    def step(self) -> list[Event]:
        self.now_ns += STEP_NS
        if self.cache_is_damaged:
            raise NotFinite([FirstToken(99)])
        self.left -= 1
        if self.left == STEPS - 1:
            return [FirstToken(self.waiting[0].id)]
        return [self.done(self.waiting.pop(0), "stop")] if not self.left else []

    def withdraw(self, keep: Container[int]) -> list[Request]:
        self.forgot += 1
        self.cache_is_damaged = self.stays_damaged
        if not self.left or self.waiting[0].id in keep:
            return []
        self.left = 0
        return [self.waiting.pop(0)]

    def probe(self, tokens: Sequence[int], count: int) -> tuple[list[int], Any]:
        assert (tuple(tokens), count) == (PROBE, PROBE_TOKENS)
        assert not self.waiting
        self.probes += 1
        logits = np.array([1.0, 2.0]) + self.elsewhere + self.tensor[0] + 0.1 * self.threads
        return [int(logits.argmax())] * count, logits


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def guarded(world: World) -> Guarded:
    return Guarded(
        world,
        Scrubber(world, lambda: world.now_ns),
        clock_ns=lambda: world.now_ns,
        probe_ns=PROBE_NS,
        on_mended=lambda mended, again: world.mended.append((mended, again)),
    )


def step(guarded: Guarded) -> list[Event]:
    return [*guarded.admit(), *guarded.step()]


def worked(guarded: Guarded) -> list[Event]:
    events: list[Event] = []
    while guarded.busy:
        events += step(guarded)
    return events


def steps(guarded: Guarded, count: int) -> list[Event]:
    return [event for _ in range(count) for event in step(guarded)]


def test_an_answer_waits_for_a_check_that_began_after_it(world: World, guarded: Guarded) -> None:
    guarded.add(asked(1))
    assert steps(guarded, STEPS) == [Started(1), FirstToken(1)], "written, and not given"
    assert (world.busy, guarded.busy) == (False, True)
    (answer,) = step(guarded)
    assert answer == Done(1, "holds 0", "stop", 1, 1, 0)
    assert not guarded.busy
    assert step(guarded) == []


def test_an_answer_by_damaged_weights_is_made_anew_by_mended_ones(
    world: World, guarded: Guarded
) -> None:
    guarded.add(asked(1))
    steps(guarded, 1)
    world.tensor[0] = 4
    assert worked(guarded) == [Started(1), FirstToken(1), Done(1, "holds 0", "stop", 1, 1, 0)]
    ((mended, again),) = world.mended
    assert (mended.name, again) == ("tensor 0", 1)
    assert world.forgot == 1


def test_what_is_being_written_is_begun_anew_as_well(world: World, guarded: Guarded) -> None:
    guarded.add(asked(1))
    guarded.add(asked(2))
    steps(guarded, STEPS + 1)
    world.tensor[0] = 4
    found = [event for event in worked(guarded) if isinstance(event, Done)]
    assert {(one.id, one.text, one.exposed) for one in found} == {
        (1, "holds 0", False),
        (2, "holds 0", False),
    }
    assert world.mended[0][1] == 2


def test_where_there_is_damage_all_is_checked_before_anything_is_begun_anew(
    world: World, guarded: Guarded
) -> None:
    guarded.add(asked(1))
    world.tensor[:] = b"\x04\x04"
    assert worked(guarded)[-1] == Done(1, "holds 0", "stop", 1, 1, 0)
    assert [(mended.name, again) for mended, again in world.mended] == [
        ("tensor 0", 1),
        ("tensor 1", 0),
    ]


def test_a_finished_check_saves_an_answer_from_later_damage(world: World, guarded: Guarded) -> None:
    """The tensor was found whole after the answer, and damaged after that."""
    guarded.add(asked(1))
    answers = [event for event in worked(guarded) if isinstance(event, Done)]
    world.tensor[0] = 4
    guarded.add(asked(2))
    answers += [event for event in worked(guarded) if isinstance(event, Done)]
    assert [one.text for one in answers] == ["holds 0", "holds 0"]
    assert [again for _, again in world.mended] == [1], "the second alone"


def test_what_is_spoilt_again_and_again_is_given_at_last_and_marked(
    world: World, guarded: Guarded
) -> None:
    guarded.add(asked(1))
    given: list[Event] = []
    while guarded.busy:
        given += [event for event in step(guarded) if isinstance(event, Done)]
        world.tensor[0] = 4
    assert given == [Done(1, "holds 4", "stop", 1, 1, 0, exposed=True)]
    assert [again for _, again in world.mended] == [1] * (MAX_TRIES - 1) + [0]
    guarded.add(asked(1))
    world.tensor[0] = 0
    (answer,) = [event for event in worked(guarded) if isinstance(event, Done)]
    assert not answer.exposed, "nothing is remembered of the question"


def found_damaged(world: World, guarded: Guarded) -> None:
    """Damage, and a check at once: that of a request which is cut."""
    world.tensor[0] = 4
    guarded.add(asked(99))
    guarded.cut(99)


def test_a_question_that_waits_is_not_spoilt(world: World, guarded: Guarded) -> None:
    guarded.add(asked(1))
    guarded.add(asked(2))
    for _ in range(2 * (MAX_TRIES - 1)):
        steps(guarded, 1)
        found_damaged(world, guarded)
    steps(guarded, 1)
    assert world.running == [1], "for the last time, and so will be the other"
    found_damaged(world, guarded)
    answers = [event for event in worked(guarded) if isinstance(event, Done)]
    assert [(answer.id, answer.exposed) for answer in answers] == [(1, True), (2, False)]


def test_an_answer_whose_time_is_over_is_checked_at_once(world: World, guarded: Guarded) -> None:
    guarded.add(asked(1))
    steps(guarded, 1)
    assert guarded.cut(1) == [Done(1, "holds 0", "deadline", 1, 1, 0)]
    assert (guarded.busy, guarded.cut(1)) == (False, [])


def test_an_answer_that_waits_for_its_check_can_be_cut(world: World, guarded: Guarded) -> None:
    guarded.add(asked(1))
    steps(guarded, STEPS)
    assert guarded.cut(1) == [Done(1, "holds 0", "stop", 1, 1, 0)]


def test_an_answer_whose_time_is_over_is_given_though_it_is_spoilt(
    world: World, guarded: Guarded
) -> None:
    guarded.add(asked(1))
    steps(guarded, 1)
    world.tensor[0] = 4
    (answer,) = guarded.cut(1)
    assert answer == Done(1, "holds 4", "deadline", 1, 1, 0, exposed=True)
    assert not guarded.busy, "it is not begun anew"


def test_a_whole_answer_that_was_spoilt_is_better_than_the_beginning_of_another(
    world: World, guarded: Guarded
) -> None:
    guarded.add(asked(1))
    steps(guarded, STEPS - 1)
    world.tensor[0] = 4
    steps(guarded, 2)
    assert world.mended[0][1] == 1
    steps(guarded, 1)
    world.tensor[0] = 5
    (answer,) = guarded.cut(1)
    assert answer == Done(1, "holds 4", "stop", 1, 1, 0, exposed=True)


def test_one_that_was_begun_anew_and_is_sound_is_better_than_a_spoilt_one(
    world: World, guarded: Guarded
) -> None:
    guarded.add(asked(1))
    steps(guarded, STEPS - 1)
    world.tensor[0] = 4
    steps(guarded, 3)
    (answer,) = guarded.cut(1)
    assert answer == Done(1, "holds 0", "deadline", 1, 1, 0)


def test_an_answer_that_could_not_be_checked_in_time_is_marked(
    world: World, guarded: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    guarded.add(asked(1))
    steps(guarded, STEPS)
    monkeypatch.setattr("node.engine.guarded.SLICE_NS", 0)
    assert guarded.cut(1) == [Done(1, "holds 0", "stop", 1, 1, 0, exposed=True)]


def test_a_refusal_is_given_as_it_is(world: World, guarded: Guarded) -> None:
    guarded.add(asked(1, text="too long"))
    assert worked(guarded) == [Refused(1, "too_long", "")]


def test_beside_work_its_share_is_checked(world: World, guarded: Guarded) -> None:
    for number in range(100):
        guarded.add(asked(number))
    begin_ns, reads = world.now_ns, 0
    while world.busy:
        before_ns = world.now_ns
        step(guarded)
        reads += (world.now_ns - before_ns - STEP_NS) // READ_NS
    assert reads * READ_NS == pytest.approx(SHARE * (world.now_ns - begin_ns), rel=0.02)


def test_idle_memory_is_checked_and_the_probe_asked_when_it_is_time(
    world: World, guarded: Guarded
) -> None:
    assert (guarded.resting, world.probes) == (True, 1)
    world.now_ns += PROBE_NS - 1
    assert guarded.resting
    world.tensor[0] = 4
    world.now_ns += 1
    assert not guarded.resting
    guarded.rest()
    assert [again for _, again in world.mended] == [0]
    assert (guarded.resting, world.probes) == (True, 2)


def test_nothing_rests_while_an_answer_waits(world: World, guarded: Guarded) -> None:
    guarded.add(asked(1))
    assert not guarded.resting
    steps(guarded, STEPS)
    assert not guarded.resting


def test_a_probe_that_gets_another_answer_says_that_memory_is_damaged_elsewhere(
    world: World, guarded: Guarded
) -> None:
    world.elsewhere = 0.1
    world.now_ns += PROBE_NS
    with pytest.raises(ProbeFailed):
        guarded.rest()


@pytest.mark.parametrize("elsewhere", [np.nan, 0.01])
def test_so_does_one_whose_logits_are_off(world: World, guarded: Guarded, elsewhere: float) -> None:
    world.elsewhere = elsewhere
    world.now_ns += PROBE_NS
    with pytest.raises(ProbeFailed):
        guarded.rest()


def test_logits_may_differ_by_what_rounding_does(world: World, guarded: Guarded) -> None:
    world.elsewhere = 0.0005
    world.now_ns += PROBE_NS
    guarded.rest()


def test_another_number_of_threads_may_round_otherwise(world: World, guarded: Guarded) -> None:
    guarded.set_threads(2)
    assert world.threads == 2
    for _ in range(2):
        world.now_ns += PROBE_NS
        guarded.rest()
    world.elsewhere = 0.1
    world.now_ns += PROBE_NS
    with pytest.raises(ProbeFailed):
        guarded.rest()


def test_what_the_batcher_measures_is_passed_on(guarded: Guarded) -> None:
    assert (guarded.prefill_ns, guarded.step_ns, guarded.width) == (5.0, {1: 7.0}, 2)


def test_what_is_no_number_is_begun_anew_and_what_else_came_is_told(
    world: World, guarded: Guarded
) -> None:
    guarded.add(asked(1))
    steps(guarded, 1)
    world.cache_is_damaged = True
    assert guarded.step() == [FirstToken(99)]
    assert (world.forgot, world.mended) == (1, [])
    (answer,) = [event for event in worked(guarded) if isinstance(event, Done)]
    assert answer == Done(1, "holds 0", "stop", 1, 1, 0)


def test_what_is_no_number_again_and_again_is_refused_at_last(
    world: World, guarded: Guarded
) -> None:
    guarded.add(asked(1))
    world.cache_is_damaged = world.stays_damaged = True
    refused = Refused(1, "no_answer", "what the model says are no numbers")
    assert [event for event in worked(guarded) if isinstance(event, Done | Refused)] == [refused]
    assert world.forgot == MAX_BROKEN
    assert not guarded.busy


def test_what_was_answered_before_is_given_then(world: World, guarded: Guarded) -> None:
    guarded.add(asked(1))
    steps(guarded, STEPS)
    world.tensor[0] = 4
    world.cache_is_damaged = world.stays_damaged = True
    (answer,) = [event for event in worked(guarded) if isinstance(event, Done)]
    assert answer == Done(1, "holds 0", "stop", 1, 1, 0, exposed=True)


def test_the_last_try_is_begun_anew_where_it_gives_no_numbers(
    world: World, guarded: Guarded
) -> None:
    """Its beginning was given as an answer that its deadline had cut short, at 16 upsets a
    second."""
    guarded.add(asked(1))
    for _ in range(MAX_TRIES):
        steps(guarded, 2)
        world.cache_is_damaged = True
        steps(guarded, 1)
    (answer,) = [event for event in worked(guarded) if isinstance(event, Done)]
    assert answer == Done(1, "holds 0", "stop", 1, 1, 0)


def test_weights_that_are_damaged_are_mended_then(world: World, guarded: Guarded) -> None:
    guarded.add(asked(1))
    steps(guarded, 1)
    world.tensor[1] = 1
    world.cache_is_damaged = True
    guarded.step()
    assert [mended.name for mended, _ in world.mended] == ["tensor 1"]
    (answer,) = [event for event in worked(guarded) if isinstance(event, Done)]
    assert (answer.text, answer.exposed) == ("holds 0", False)
