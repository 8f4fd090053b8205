"""What becomes of questions between the disk and the engine, and what is learned of the engine."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from node.engine.events import InferenceResult
from node.outputs import CutInference, StartInference, StoreAnswer
from node.speed import Speed
from roundtrip.codec import decode, encode
from roundtrip.message import Cancel, Health, Refusal


@pytest.fixture
def known() -> Speed:
    """What the engine says of itself: 1,000 tokens/s of a prompt, 100 of an answer."""
    return Speed(1e6, {1: 1e7})


def up(bench: Any, known: Speed) -> list[Any]:
    return bench.call(bench.node.engine_up, Health("tiny", "Q8_0", 512, 1, 0), 1, known)


def started(outputs: list[Any]) -> list[int]:
    return [o.order.job.question.question_id for o in outputs if isinstance(o, StartInference)]


def put_in(bench: Any, ask: Any, *numbers: int) -> list[Any]:
    outputs = []
    for number in numbers:
        bench.ask(ask(number))
        outputs += bench.call(bench.node.question_stored, number)
    return outputs


def test_a_question_that_waits_for_the_engine_and_comes_again_is_safe(bench, ask) -> None:
    put_in(bench, ask, 1)
    assert bench.ask(ask(1)) == []
    assert bench.ground.queued_bundles == 0


def test_the_length_of_answers_that_end_by_themselves_is_followed(bench, ask, known) -> None:
    up(bench, known)
    put_in(bench, ask, 1, 2)
    bench.finish(1, reason="length")
    assert (known.answer_tokens, known.bytes_per_token) == (None, 4.0)
    bench.finish(2, text="Sí.")
    assert (known.answer_tokens, known.bytes_per_token) == (3.0, pytest.approx(4 / 3))


def test_what_the_engine_measures_is_followed_and_so_is_how_many_go_together(
    bench, ask, known
) -> None:
    up(bench, known)
    assert started(put_in(bench, ask, 1, 2, 3)) == [1]
    result = InferenceResult("Yes.", "stop", 5, 3, 0, 2e6, {1: 3e7, 2: 4e7}, 2)
    assert started(bench.call(bench.node.inference_done, 1, result, bench.now_ns)) == [2, 3]
    assert (known.prefill_ns, known.step_ns) == (2e6, {1: 3e7, 2: 4e7})
    put_in(bench, ask, 4)
    silent = InferenceResult("Yes.", "stop", 5, 3, 0)
    assert started(bench.call(bench.node.inference_done, 2, silent, bench.now_ns)) == [4]
    assert (known.prefill_ns, known.step_ns) == (2e6, {1: 3e7, 2: 4e7})


def test_the_speed_that_was_followed_outlives_the_engine(bench, ask, known) -> None:
    up(bench, known)
    other = Speed(9e9, {1: 9e9})
    bench.call(bench.node.engine_down, "SIGSEGV", final=False)
    up(bench, other)
    put_in(bench, ask, 1)
    bench.finish(1)
    assert (known.answer_tokens, other.answer_tokens) == (3.0, None)


def test_what_the_engine_refuses_is_refused_with_its_words_cut_and_the_next_begins(
    bench, ask, known
) -> None:
    up(bench, known)
    put_in(bench, ask, 1, 2)
    outputs = bench.call(bench.node.inference_refused, 1, "bad_schema", "x" * 300)
    refusal = decode(outputs[0].payload)
    assert (refusal.reason, refusal.detail) == ("bad_schema", "x" * 200)
    assert started(outputs) == [2]
    (rejected,) = bench.call(bench.node.inference_refused, 1, "bad_schema", "")
    assert rejected.reason == "refusal of a job that is not running"


def test_those_that_wait_for_the_engines_first_start_count_too(make_bench, ask, known) -> None:
    bench = make_bench(queue=3)
    assert put_in(bench, ask, 1, 2, 3) == []
    (stored,) = put_in(bench, ask, 4)
    assert decode(stored.payload).reason == "queue_full"
    assert started(up(bench, known)) == [1]
    assert put_in(bench, ask, 5) == []
    (stored,) = put_in(bench, ask, 6)
    assert decode(stored.payload).reason == "queue_full"


def test_times_of_a_job_are_in_order_whatever_the_engine_says(bench, ask, known) -> None:
    up(bench, known)
    put_in(bench, ask, 1)
    begun_ns = bench.now_ns
    bench.call(bench.node.inference_started, 1, begun_ns + 10**12)
    bench.call(bench.node.first_token, 1, 0)
    entry = bench.node._entries[1]
    assert begun_ns < entry.started_ns == entry.first_token_ns < bench.now_ns
    result = InferenceResult("Yes.", "stop", 5, 3, 0)
    (stored, *_) = bench.call(bench.node.inference_done, 1, result, 0)
    answer = decode(stored.payload)
    assert answer.started_us == answer.first_token_us == answer.finished_us > 0


def test_the_last_tools_time_is_between_the_start_and_the_first_token(bench, ask, known) -> None:
    up(bench, known)
    put_in(bench, ask, 1)
    at_ns = [bench.now_ns + step * 10_000_000 for step in range(6)]
    bench.now_ns = at_ns[5]
    bench.call(bench.node.tools_called, 1, at_ns[1])
    bench.call(bench.node.inference_started, 1, at_ns[0])
    assert bench.node._entries[1].called_ns is None, "the engine has begun anew"
    bench.call(bench.node.first_token, 1, at_ns[1])
    bench.call(bench.node.tools_called, 1, at_ns[2])
    bench.call(bench.node.first_token, 1, at_ns[3])
    bench.call(bench.node.tools_called, 1, at_ns[4])
    bench.call(bench.node.tools_called, 8, at_ns[1])
    bench.call(bench.node.first_token, 1, 0)
    result = InferenceResult("Yes.", "stop", 5, 3, 0)
    (stored, *_) = bench.call(bench.node.inference_done, 1, result, at_ns[5])
    answer = decode(stored.payload)
    assert answer.called_us == answer.first_token_us == answer.started_us + 40_000
    assert answer.finished_us == answer.started_us + 50_000


def given_up(bench: Any, number: int) -> list[Any]:
    """Have the ground give a question up; what the node puts out."""
    return bench.send(encode(Cancel(number)))


def refused(outputs: list[Any]) -> list[tuple[int, str]]:
    replies = [decode(output.payload) for output in outputs if isinstance(output, StoreAnswer)]
    return [(one.question_id, one.reason) for one in replies if isinstance(one, Refusal)]


def test_a_question_that_is_given_up_while_it_waits_is_refused(bench, ask, known) -> None:
    put_in(bench, ask, 1)
    assert refused(given_up(bench, 1)) == [(1, "cancelled")], "before the engine is up"
    up(bench, known)
    assert started(put_in(bench, ask, 2, 3, 4)) == [2]
    assert refused(given_up(bench, 4)) == [(4, "cancelled")], "behind another"
    assert given_up(bench, 4) == []
    assert given_up(bench, 9) == [], "not known"
    assert bench.ground.queued_bundles == 0, "each word is acknowledged"
    assert started(bench.finish(2)) == [3]
    assert started(bench.finish(3)) == []


def test_a_question_that_is_given_up_while_it_is_answered_is_cut_once(bench, ask, known) -> None:
    up(bench, known)
    put_in(bench, ask, 1)
    assert given_up(bench, 1) == [CutInference(1)]
    assert given_up(bench, 1) == []
    bench.finish(1, reason="deadline")
    bench.call(bench.node.answer_stored, 1)
    assert given_up(bench, 1) == [], "it has its reply"


@pytest.mark.parametrize(("wanted", "comes"), [(True, "Hm."), (False, "")])
def test_thoughts_go_down_where_they_are_asked_for(
    bench, ask, known, wanted: bool, comes: str
) -> None:
    up(bench, known)
    bench.ask(replace(ask(1), thoughts=wanted))
    bench.call(bench.node.question_stored, 1)
    result = InferenceResult("Yes.", "stop", 5, 3, 0, thoughts="Hm.")
    (stored,) = bench.call(bench.node.inference_done, 1, result, bench.now_ns)[:1]
    assert decode(stored.payload).thoughts == comes


@pytest.mark.parametrize("exposed", [False, True])
def test_an_answer_that_may_be_spoilt_says_so(bench, ask, known, exposed: bool) -> None:
    up(bench, known)
    bench.ask(ask(1))
    bench.call(bench.node.question_stored, 1)
    result = InferenceResult("Yes.", "stop", 5, 3, 0, exposed=exposed)
    (stored,) = bench.call(bench.node.inference_done, 1, result, bench.now_ns)[:1]
    assert decode(stored.payload).exposed is exposed


def test_too_many_thoughts_are_cut_and_the_answer_is_not(bench, ask, known) -> None:
    up(bench, known)
    bench.ask(replace(ask(1), thoughts=True))
    bench.call(bench.node.question_stored, 1)
    result = InferenceResult("Yes.", "stop", 5, 3, 0, thoughts="Hm. " * 20_000)
    (stored,) = bench.call(bench.node.inference_done, 1, result, bench.now_ns)[:1]
    answer = decode(stored.payload)
    assert (answer.text, answer.finish_reason, len(answer.thoughts)) == ("Yes.", "stop", 65_536)
