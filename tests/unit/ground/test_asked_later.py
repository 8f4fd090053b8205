"""Questions besides the workload, and such as nobody waits for any more."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ground.machine import GroundMachine
from ground.outputs import Asking, Request, Settled, StoredQuestion, StoreQuestion
from ground.results.record import LoopRecord
from roundtrip import message
from roundtrip.budget import Budget, Outcome
from roundtrip.codec import encode, question_in
from roundtrip.errors import BadInput
from roundtrip.message import GREEDY, Answer, Cancel, Question, Turn, Unreadable, question_id
from roundtrip.units import NS_PER_S
from tests.unit.ground.test_machine import RUN, Bench, plan, records, rejected

ASKING = Asking(RUN, "Be brief.", 8, GREEDY, "off", 4, "", 5, 16)
REQUEST = Request("Why?", ASKING, Budget(10 * NS_PER_S, 30 * NS_PER_S, 0.95), 2)


def one_more(bench: Bench) -> int:
    """Ask; its id."""
    number = bench.ground.next_id()
    bench.call(bench.ground.ask, REQUEST)
    return number


def cancelled(bench: Bench, number: int) -> list[LoopRecord]:
    return records(bench.call(bench.ground.cancel, number))


def test_a_question_at_any_time_has_the_next_index_and_its_own_deadline() -> None:
    bench = Bench(1)
    bench.wait(0)
    bench.tell(Answer(question_id(RUN, 0), "Yes.", "stop", 9, 3, 0, 0, 0, 0, 0))
    assert bench.ground.finished
    bench.wait(5)
    assert one_more(bench) == question_id(RUN, 1)
    assert not bench.ground.finished
    assert one_more(bench) == question_id(RUN, 2)
    first, second = bench.asked[1:]
    assert (first.priority, first.remaining_ms) == (2, 10_000)
    assert second.question_id == question_id(RUN, 2)
    ended = records(bench.wait(35))
    assert [(r.planned.index, r.outcome, r.planned.intended_ns) for r in ended] == [
        (1, Outcome.EXPIRED, 5 * NS_PER_S),
        (2, Outcome.EXPIRED, 5 * NS_PER_S),
    ]
    assert bench.ground.finished


def test_a_run_has_as_many_questions_as_its_ids_can_number() -> None:
    bench = Bench(0)
    bench.ground._next_index = (1 << message.INDEX_BITS) - 1
    assert one_more(bench) == question_id(RUN, 0xFFFFFF)
    assert rejected(bench.call(bench.ground.ask, REQUEST)) == ["no more questions in one run"]


def test_a_question_that_is_given_up_is_settled_and_the_node_is_told() -> None:
    bench = Bench(0)
    number = one_more(bench)
    (record,) = cancelled(bench, number)
    assert (record.outcome, record.reason) == (Outcome.EXPIRED, "cancelled")
    assert bench.asked[-1] == Cancel(number)
    assert bench.ground.finished
    assert cancelled(bench, number) == [], "no error"
    late = Answer(number, "Yes.", "stop", 9, 3, 0, 0, 0, 0, 0)
    assert records(bench.tell(late)) == []


def test_what_never_went_up_needs_no_word_to_the_node() -> None:
    bench = Bench(0)
    bench.stores = False
    number = one_more(bench)
    (stored,) = (output for output in bench.done if isinstance(output, StoreQuestion))
    assert stored.question_id == number
    assert len(cancelled(bench, number)) == 1
    assert bench.asked == []


def test_an_unknown_question_cannot_be_given_up() -> None:
    bench = Bench(1)
    bench.wait(0)
    assert bench.call(bench.ground.cancel, question_id(RUN, 9)) == []
    assert not bench.ground.finished
    assert [type(output) for output in bench.done if isinstance(output, Settled)] == []


def test_settings_of_a_request_go_along() -> None:
    bench = Bench(0)
    asking = replace(ASKING, system="Be long.", max_tokens=99)
    request = replace(REQUEST, asking=asking)
    bench.call(bench.ground.ask, request)
    (asked,) = bench.asked
    assert asked.settings is not None
    assert (asked.settings.system, asked.settings.max_tokens) == ("Be long.", 99)


TURNS = (Turn("0?", "Yes."),)


def test_what_the_node_has_of_a_conversation_does_not_go_up_again() -> None:
    bench = Bench(1)
    bench.wait(0)
    bench.tell(Answer(question_id(RUN, 0), "Yes.", "stop", 9, 3, 0, 0, 0, 0, 0))
    going_on = replace(REQUEST, turns=TURNS, after=question_id(RUN, 0))
    number = bench.ground.next_id()
    outputs = bench.call(bench.ground.ask, going_on)
    (kept,) = (question_in(o.payload) for o in outputs if isinstance(o, StoreQuestion))
    assert (kept.turns, kept.after) == (TURNS, question_id(RUN, 0))
    assert (bench.asked[-1].after, bench.asked[-1].values) == (question_id(RUN, 0), ())
    told = bench.tell(Unreadable(number, "turns"))
    assert rejected(told) == ["node knows no such turns"]
    again = bench.asked[-1]
    assert (again.question_id, again.after, len(again.values)) == (number, None, 2)
    before = len(bench.asked)
    bench.tell(Unreadable(number, "turns"))
    assert len(bench.asked) == before, "all of it was there"
    (record,) = records(bench.tell(Answer(number, "No.", "stop", 9, 3, 0, 0, 0, 0, 0)))
    assert (record.planned.turns, record.planned.after) == (TURNS, question_id(RUN, 0))


def test_a_conversation_from_another_run_goes_up_whole() -> None:
    bench = Bench(0)
    bench.call(bench.ground.ask, replace(REQUEST, turns=TURNS, after=question_id(RUN - 1, 5)))
    assert (bench.asked[-1].after, len(bench.asked[-1].values)) == (None, 2)
    bench.call(bench.ground.ask, replace(REQUEST, turns=TURNS, after=question_id(RUN + 1, 5)))
    assert (bench.asked[-1].after, len(bench.asked[-1].values)) == (None, 2)


def test_a_conversation_has_so_many_turns() -> None:
    Request("?", turns=(Turn("", ""),) * 1000)
    with pytest.raises(BadInput, match="turns: expected at most 1000, found 1001"):
        Request("?", turns=(Turn("", ""),) * 1001)


def test_a_question_that_the_node_has_damaged_goes_up_again_as_it_was() -> None:
    bench = Bench(0)
    number = one_more(bench)
    told = bench.tell(Unreadable(number, "damaged"))
    assert rejected(told) == ["node has damaged a question"]
    first, second = bench.asked
    assert (second.question_id, second.value) == (number, first.value)


def test_after_a_restart_no_index_is_used_twice() -> None:
    payload = encode(Question(question_id(RUN, 6), "Six?", "", 8, GREEDY, "off", 1000), texts=())
    recovered = [StoredQuestion(question_id(RUN, 6), payload, 5, True)]
    bench = Bench(2)
    ground = GroundMachine(
        bench.ground._agent, [], asking=ASKING, budget=REQUEST.budget, plan=plan(),
        recovered=recovered,
    )  # fmt: skip
    assert ground.next_id() == question_id(RUN, 7)


def test_a_question_that_finds_no_room_is_settled_at_once_and_the_others_are_asked() -> None:
    bench = Bench(0)
    bench.hears = False
    for _ in range(66):
        one_more(bench)
    ended = [(r.planned.index, r.reason) for r in records(bench.done)]
    assert ended == [(64, "too_long"), (65, "too_long")]
