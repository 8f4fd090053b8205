from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.downlink import BUNDLE_BYTES, MARGIN_NS, Downlink
from node.scheduler import Hopeless, Job, Order, Scheduler
from node.speed import Speed
from roundtrip.contacts import Contact, ContactPlan
from roundtrip.message import Question, Sampling
from roundtrip.units import NS_PER_S

S = NS_PER_S
LIGHT_NS = S // 100


def speed() -> Speed:
    """1,000 tokens/s of a prompt, 10 of an answer."""
    return Speed(1e6, {1: 1e8})


def plan(*windows: tuple[float, float], rate_bps: int = 9600) -> Downlink:
    return Downlink(
        ContactPlan(
            [
                Contact("node", "ground", int(a * S), int(b * S), rate_bps, LIGHT_NS)
                for a, b in windows
            ]
        )
    )


def job(number: int = 1, *, deadline_s: float = 120.0, tokens: int = 100, **changes) -> Job:
    known = Question(number, "Well?", "", tokens, Sampling(), "off", 120_000)
    return Job(replace(known, **changes), number, int(deadline_s * S))


def order(scheduler: Scheduler, *, now_s: float = 0, running: int = 0) -> Order:
    found = scheduler.next_order(speed(), running, alone=False, now_ns=int(now_s * S))
    assert found is not None
    return found


def add(scheduler: Scheduler, *jobs: Job, now_s: float = 0) -> list[Hopeless | None]:
    return [scheduler.add(one, speed(), 0, now_ns=int(now_s * S)) for one in jobs]


def test_the_last_chance_leaves_room_for_air_light_and_one_repair() -> None:
    chance = plan((0, 100)).last_start_ns(1200 - BUNDLE_BYTES, 60 * S, 0)
    assert chance == 60 * S - LIGHT_NS - S - MARGIN_NS - 2 * LIGHT_NS
    late = plan((0, 50)).last_start_ns(1200 - BUNDLE_BYTES, 60 * S, 0)
    assert late is not None
    assert late == 50 * S - S - MARGIN_NS - 2 * LIGHT_NS, "before the contact ends"


def test_a_later_contact_gives_a_later_chance_if_it_is_long_enough() -> None:
    for second, expected in (((70, 100), 100), ((70, 70.5), 50), ((130, 150), 50)):
        chance = plan((0, 50), second).last_start_ns(1200 - BUNDLE_BYTES, 120 * S, 0)
        assert chance is not None
        assert expected * S - 2 * S < chance < expected * S
    assert plan((0, 50)).last_start_ns(1200 - BUNDLE_BYTES, 120 * S, 60 * S) is None


def test_replies_that_go_first_take_their_time() -> None:
    downlink = plan((0, 100))
    before = downlink.last_start_ns(100, 60 * S, 0)
    downlink.backlog_bytes = 1200
    after = downlink.last_start_ns(100, 60 * S, 0)
    assert before is not None
    assert after is not None
    assert before - after == S


def test_the_least_slack_goes_first_and_priority_before_it() -> None:
    scheduler = Scheduler(9, plan((0, 500)))
    add(scheduler, job(1, deadline_s=100), job(2, deadline_s=90), job(3, deadline_s=95, tokens=200))
    add(scheduler, job(4, deadline_s=120, priority=2), job(5, deadline_s=60, priority=0))
    order_of = [order(scheduler).job.question.question_id for _ in range(5)]
    assert order_of == [4, 3, 2, 1, 5]


def test_what_cannot_make_it_is_refused_with_the_reason() -> None:
    scheduler = Scheduler(9, plan((0, 50)))
    fine, late, past, far = add(
        scheduler,
        job(1, deadline_s=40),
        job(2, deadline_s=0.5),
        job(3, deadline_s=-5),
        job(4, deadline_s=55),
    )
    assert (fine, far) == (None, None)
    assert late is not None
    assert past is not None
    assert (late.reason, past.reason) == ("no_time", "no_time")
    assert "5 s past" in past.detail
    (none,) = add(scheduler, job(5, deadline_s=120), now_s=50)
    assert none is not None
    assert none.reason == "no_contact_before_deadline"


def test_one_that_waits_for_the_next_pass_is_taken() -> None:
    scheduler = Scheduler(9, plan((0, 10), (60, 110)))
    assert add(scheduler, job(1), now_s=20) == [None]
    given = order(scheduler, now_s=20)
    assert given.cut_ns is not None
    assert given.cut_ns > 100 * S


def test_those_before_it_may_leave_a_job_no_time() -> None:
    scheduler = Scheduler(99, plan((0, 500)))
    found = add(scheduler, *(job(number, deadline_s=60) for number in range(20)))
    taken = found.index(next(one for one in found if one is not None))
    assert 7 <= taken <= 10, "ten seconds each, sixty in all, half as many again"
    refused = found[taken]
    assert refused is not None
    assert refused.reason == "no_time"
    assert "before it need" in refused.detail


def test_waiting_too_long_ends_in_a_refusal_at_the_moment_it_is_known() -> None:
    scheduler = Scheduler(9, plan((0, 500)))
    add(scheduler, job(1, deadline_s=30), job(2, deadline_s=100))
    due_ns = scheduler.next_check_ns
    assert 28 * S < due_ns < 30 * S
    assert scheduler.hopeless(speed(), now_ns=due_ns - 1) == []
    (gone,) = scheduler.hopeless(speed(), now_ns=due_ns)
    assert (gone.job.question.question_id, gone.reason) == (1, "no_time")
    assert len(scheduler) == 1
    assert scheduler.next_check_ns > 90 * S


@pytest.mark.parametrize("policy", ["fifo", "edf"])
def test_the_other_policies_refuse_and_cut_nothing(policy) -> None:
    scheduler = Scheduler(9, plan((0, 50)), policy)
    assert add(scheduler, job(1, deadline_s=90), job(2, deadline_s=-5)) == [None, None]
    assert scheduler.hopeless(speed(), now_ns=200 * S) == []
    first = order(scheduler, now_s=200)
    assert first.cut_ns is None
    assert first.job.question.question_id == (1 if policy == "fifo" else 2)


def test_a_job_tried_again_goes_first_and_alone() -> None:
    scheduler = Scheduler(9, plan((0, 500)), "fifo")
    add(scheduler, job(1), replace(job(2), attempt=1))
    assert scheduler.next_order(speed(), 1, alone=False, now_ns=0) is None
    again = order(scheduler)
    assert (again.job.question.question_id, again.alone) == (2, True)
    assert scheduler.next_order(speed(), 1, alone=True, now_ns=0) is None
    assert not order(scheduler, running=1).alone


def test_thinking_has_a_budget_and_auto_thinks_where_there_is_time() -> None:
    for mode, deadline_s, thinks, tokens in (
        ("off", 120, False, 0),
        ("on", 120, True, 50),
        ("on", 6, True, 27),
        ("auto", 120, True, 50),
        ("auto", 6, False, 0),
    ):
        scheduler = Scheduler(9, plan((0, 500)))
        add(scheduler, job(1, deadline_s=deadline_s, thinking=mode))
        given = order(scheduler)
        assert (given.thinking, given.think_tokens) == (thinks, pytest.approx(tokens, abs=2)), mode
    scheduler = Scheduler(9, plan((0, 500)))
    add(scheduler, job(1, thinking="on", think_tokens=7))
    assert order(scheduler).think_tokens == 7


def test_speed_is_known_between_and_beyond_what_was_measured() -> None:
    known = Speed(1.0, {1: 10.0, 4: 22.0, 8: 40.0})
    assert [known.step(n) for n in (1, 2, 4, 6, 8, 16)] == [10, 14, 22, 31, 40, 80]
    known.follow(0, {8: 44.0})
    assert (known.prefill_ns, known.step(8), known.step(1)) == (1.0, 44.0, 10.0)
    known.answered(10, 30)
    assert known.expected_tokens(64) == 10
    assert known.expected_tokens(4) == 4
    assert known.bytes_per_token == 3.0


@given(
    st.lists(st.tuples(st.floats(-10, 300), st.integers(1, 300), st.integers(0, 2)), max_size=30),
    st.lists(st.floats(0.01, 50), max_size=30),
)
def test_every_job_leaves_exactly_once(jobs, steps) -> None:
    scheduler = Scheduler(99, plan((0, 50), (80, 200)))
    left: list[int] = []
    for number, (deadline_s, tokens, priority) in enumerate(jobs):
        one = job(number, deadline_s=deadline_s, tokens=tokens, priority=priority)
        (found,) = add(scheduler, one)
        if found is not None:
            left.append(number)
    now_ns = 0
    for step in steps:
        now_ns += int(step * S)
        gone = scheduler.hopeless(speed(), now_ns=now_ns)
        left += [found.job.question.question_id for found in gone]
        given = scheduler.next_order(speed(), 0, alone=False, now_ns=now_ns)
        if given is not None:
            left.append(given.job.question.question_id)
            assert given.cut_ns is not None
            assert given.cut_ns >= now_ns
    left += [one.question.question_id for one in scheduler.drain()]
    assert sorted(left) == list(range(len(jobs)))
    assert scheduler._work_ns == pytest.approx(0, abs=1)
