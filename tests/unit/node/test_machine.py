from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from dtn.bpv7.bundle import BundleId
from node.board.spacecraft import Doing
from node.outputs import (
    CutInference,
    StartInference,
    StoreAnswer,
    StoredQuestion,
    StoreQuestion,
    StoreSettled,
)
from node.quarantine import Quarantine
from roundtrip.bulk.wire import Have
from roundtrip.codec import decode, encode
from roundtrip.contacts import Contact, ContactPlan
from roundtrip.message import CLOCK_US, Answer, Health, Question, Refusal, Sampling
from tests.unit.node.conftest import speed


def kinds(outputs: list[Any]) -> list[type]:
    return [type(output) for output in outputs]


def answers(bench: Any) -> list[Any]:
    return [message for message in bench.answers if not isinstance(message, Health)]


def test_a_question_is_stored_then_run_then_its_answer_stored_then_sent(bench, ask) -> None:
    bench.up()
    (stored,) = bench.ask(ask())
    assert isinstance(stored, StoreQuestion)
    assert kinds(bench.call(bench.node.question_stored, 1)) == [StartInference]
    bench.call(bench.node.inference_started, 1, bench.now_ns)
    bench.call(bench.node.first_token, 1, bench.now_ns)
    assert kinds(bench.finish()) == [StoreAnswer]
    assert answers(bench) == []
    assert kinds(bench.call(bench.node.answer_stored, 1)) == [StoreSettled]
    (answer,) = answers(bench)
    assert isinstance(answer, Answer)
    assert answer.text == "Yes."
    assert 0 < answer.started_us < answer.first_token_us < answer.finished_us
    assert answer.delivered_us == stored.delivered_ns // 1000
    assert bench.node.idle


def test_the_ground_is_told_nothing_before_the_question_is_on_disk(bench, ask) -> None:
    bench.ask(ask())
    assert bench.ground.deadline is not None, "the ground still waits for its report"
    bench.call(bench.node.question_stored, 1)
    assert bench.ground.deadline is None


def test_the_same_question_in_a_new_bundle_is_not_run_twice(bench, ask) -> None:
    bench.up()
    bench.ask(ask())
    assert bench.ask(ask()) == [], "still being stored"
    bench.call(bench.node.question_stored, 1)
    assert bench.ask(ask()) == [], "running"
    bench.finish()
    bench.call(bench.node.answer_stored, 1)
    assert len(answers(bench)) == 1
    bench.ask(ask())
    assert len(answers(bench)) == 2, "the ground asks again: it must have lost the answer"
    assert answers(bench)[0] == answers(bench)[1]


def test_jobs_run_first_come_first_served_one_at_a_time(bench, ask) -> None:
    bench.up()
    for question_id in (1, 2, 3):
        bench.ask(ask(question_id))
    assert kinds(bench.call(bench.node.question_stored, 2)) == [StartInference]
    assert bench.call(bench.node.question_stored, 1) == []
    assert bench.call(bench.node.question_stored, 3) == []
    started = [o for o in bench.finish(2) if isinstance(o, StartInference)]
    assert started[0].order.job.question.question_id == 1


def test_more_questions_than_the_queue_holds_are_refused(make_bench, ask) -> None:
    bench = make_bench(queue=1)
    for question_id in (1, 2):
        bench.ask(ask(question_id))
        bench.call(bench.node.question_stored, question_id)
    bench.call(bench.node.answer_stored, 2)
    (refusal,) = answers(bench)
    assert isinstance(refusal, Refusal)
    assert (refusal.question_id, refusal.reason) == (2, "queue_full")


def test_a_job_over_which_the_engine_dies_is_tried_once_more_then_refused(bench, ask) -> None:
    bench.up()
    bench.ask(ask())
    bench.call(bench.node.question_stored, 1)
    assert bench.call(bench.node.engine_down, "SIGSEGV", final=False) == []
    (again,) = bench.up()
    assert again.order.job.attempt == 1
    (stored,) = bench.call(bench.node.engine_down, "SIGSEGV", final=False)
    assert isinstance(stored, StoreAnswer)
    bench.call(bench.node.answer_stored, 1)
    (refusal,) = answers(bench)
    assert (refusal.reason, refusal.detail) == ("engine_failed", "SIGSEGV")


def test_a_retry_that_succeeds_ends_in_an_answer(bench, ask) -> None:
    bench.up()
    bench.ask(ask())
    bench.call(bench.node.question_stored, 1)
    bench.call(bench.node.engine_down, "SIGKILL", final=False)
    bench.up()
    bench.finish()
    bench.call(bench.node.answer_stored, 1)
    assert isinstance(answers(bench)[0], Answer)


def test_when_the_engine_is_gone_for_good_all_that_wait_are_refused(bench, ask) -> None:
    for question_id in (1, 2):
        bench.ask(ask(question_id))
        bench.call(bench.node.question_stored, question_id)
    refused = bench.call(bench.node.engine_down, "no memory", final=True)
    assert kinds(refused) == [StoreAnswer, StoreAnswer]


def test_after_a_restart_questions_run_again_and_answers_are_sent_again(make_bench, ask) -> None:
    reply = Answer(2, "Kept.", "stop", 1, 1, 0, 0, 0, 0, 0)
    recovered = (
        StoredQuestion(ask(1), 5, 10**12, None, False),
        StoredQuestion(ask(2), 5, 10**12, reply, False),
        StoredQuestion(ask(3), 5, 10**12, Answer(3, "Old.", "stop", 1, 1, 0, 0, 0, 0, 0), True),
    )
    bench = make_bench(recovered=recovered)
    assert answers(bench) == [reply]
    (start,) = bench.up()
    assert start.order.job.question.question_id == 1


def test_what_is_no_question_is_rejected_and_not_sent_again(bench) -> None:
    _, outputs = bench.ground.send(b"junk", lifetime_ms=1000, now_ns=bench.now_ns)
    bench._from_ground(outputs)
    bench._settle()
    assert "message" in bench.done[-1].reason
    assert bench.ground.deadline is None


def test_a_result_of_a_job_that_does_not_run_is_rejected(bench) -> None:
    assert [type(o).__name__ for o in bench.finish(9)] == ["Rejected"]


def test_an_answer_too_long_for_a_message_is_clipped(bench, ask) -> None:
    bench.up()
    bench.ask(ask())
    bench.call(bench.node.question_stored, 1)
    bench.finish(text="é" * 40_000)
    bench.call(bench.node.answer_stored, 1)
    (answer,) = answers(bench)
    assert answer.finish_reason == "length"
    assert len(answer.text.encode()) <= 65_536


def test_a_reply_for_which_the_bundle_queue_is_full_is_sent_later(bench, ask, monkeypatch) -> None:
    bench.up()
    for question_id in (1, 2):
        bench.ask(ask(question_id))
        bench.call(bench.node.question_stored, question_id)
    bench.finish(1)
    bench.finish(2)
    send = bench.node._radio._agent.send
    monkeypatch.setattr(bench.node._radio._agent, "send", lambda *args, **kwargs: (None, []))
    bench.call(bench.node.answer_stored, 1)
    monkeypatch.setattr(bench.node._radio._agent, "send", send)
    assert answers(bench) == []
    bench.call(bench.node.answer_stored, 2)
    assert {answer.question_id for answer in answers(bench)} == {1, 2}


def test_settled_questions_are_kept_up_to_a_limit(bench, ask, monkeypatch) -> None:
    monkeypatch.setattr("node.radio.KEPT_SETTLED", 2)
    bench.up()
    for question_id in range(1, 6):
        bench.ask(ask(question_id))
        bench.call(bench.node.question_stored, question_id)
        bench.finish(question_id)
        bench.call(bench.node.answer_stored, question_id)
    assert list(bench.node._entries) == [4, 5]


def test_when_the_engine_is_gone_for_good_later_questions_are_refused_too(bench, ask) -> None:
    bench.call(bench.node.engine_down, "no memory", final=True)
    bench.ask(ask())
    (refused,) = bench.call(bench.node.question_stored, 1)
    reply = decode(refused.payload)
    assert isinstance(reply, Refusal)
    assert (reply.reason, reply.detail) == ("engine_failed", "no memory")


def test_settled_questions_are_forgotten_by_number_also_when_asked_again(
    make_bench, ask, monkeypatch
) -> None:
    monkeypatch.setattr("node.radio.KEPT_SETTLED", 2)
    old = [Answer(i, "Old.", "stop", 1, 1, 0, 0, 0, 0, 0) for i in range(4)]
    bench = make_bench(
        recovered=tuple(StoredQuestion(ask(i), 5, 10**12, old[i], True) for i in range(3))
    )
    bench.up()
    for _ in range(3):
        bench.ask(ask(2))
    assert [answer.question_id for answer in answers(bench)] == [2, 2, 2]
    assert kinds(bench.ask(ask(0))) == [StoreQuestion], "forgotten"
    bench.call(bench.node.question_stored, 0)
    bench.finish(0)
    bench.call(bench.node.answer_stored, 0)
    assert kinds(bench.ask(ask(1))) == [StoreQuestion], "forgotten when 0 was settled"
    assert len(bench.ask(ask(2))) == 1, "still known"


def test_replies_wait_for_their_turn_where_there_are_more_than_the_agent_takes(
    make_bench, ask
) -> None:
    recovered = tuple(
        StoredQuestion(ask(i), 5, 10**12, Answer(i, "Old.", "stop", 1, 1, 0, 0, 0, 0, 0), False)
        for i in range(100)
    )
    bench = make_bench(recovered=recovered)
    assert sorted(answer.question_id for answer in answers(bench)) == list(range(100))


def start_of(outputs: list[Any]) -> list[int]:
    return [o.order.job.question.question_id for o in outputs if isinstance(o, StartInference)]


def put_in(bench: Any, ask: Any, *numbers: int) -> list[Any]:
    outputs = []
    for number in numbers:
        bench.ask(ask(number))
        outputs += bench.call(bench.node.question_stored, number)
    return outputs


def test_as_many_run_at_once_as_the_engine_takes(make_bench, ask) -> None:
    bench = make_bench(slots=2)
    bench.up()
    assert start_of(put_in(bench, ask, 1, 2, 3)) == [1, 2]
    assert start_of(bench.finish(2)) == [3]


def test_after_a_crash_each_runs_alone_and_only_the_culprit_is_refused(make_bench, ask) -> None:
    bench = make_bench(slots=3)
    bench.up()
    put_in(bench, ask, 1, 2, 3)
    bench.call(bench.node.engine_down, "SIGSEGV", final=False)
    assert start_of(bench.up()) == [1], "alone"
    assert start_of(bench.finish(1)) == [2]
    bench.call(bench.node.engine_down, "SIGSEGV", final=False)
    assert start_of(bench.up()) == [3]
    bench.finish(3)
    for number in (1, 2, 3):
        bench.call(bench.node.answer_stored, number)
    found = {answer.question_id: type(answer) for answer in answers(bench)}
    assert found == {1: Answer, 2: Refusal, 3: Answer}


def test_a_prompt_that_killed_the_engine_twice_is_not_tried_a_third_time(bench, ask) -> None:
    bench.up()
    put_in(bench, ask, 1)
    for _ in range(2):
        bench.call(bench.node.engine_down, "SIGSEGV", final=False)
        bench.up()
    assert start_of(put_in(bench, ask, 2)) == [], "the same text"
    bench.call(bench.node.answer_stored, 2)
    assert answers(bench)[-1].reason == "quarantined"
    bench.ask(ask(3, "Something else?"))
    assert start_of(bench.call(bench.node.question_stored, 3)) == [3]


def test_a_schema_that_killed_the_engine_does_not_keep_its_prompt_from_another(bench, ask) -> None:
    bench.up()
    with_schema = [replace(ask(number), schema="{}") for number in (1, 2)]
    bench.ask(with_schema[0])
    bench.call(bench.node.question_stored, 1)
    for _ in range(2):
        bench.call(bench.node.engine_down, "SIGSEGV", final=False)
        bench.up()
    bench.ask(with_schema[1])
    assert start_of(bench.call(bench.node.question_stored, 2)) == []
    assert start_of(put_in(bench, ask, 3)) == [3], "the same text without the schema"


def test_system_prompt_text_and_schema_are_told_apart() -> None:
    kept = Quarantine()
    plain = Question(1, "b", "a", 16, Sampling(), "off", 1000, schema="c")
    kept.add(plain)
    assert plain in kept
    for text, system, schema in (
        ("ab", "", "c"),
        ("bc", "a", ""),
        ("", "a", "bc"),
        ("a", "b", "c"),
    ):
        assert replace(plain, text=text, system=system, schema=schema) not in kept


def test_an_answer_without_text_is_a_refusal(bench, ask) -> None:
    bench.up()
    for number, reason in ((1, "stop"), (2, "length")):
        put_in(bench, ask, number)
        bench.finish(number, text="", reason=reason)
        bench.call(bench.node.answer_stored, number)
        refusal = answers(bench)[-1]
        assert isinstance(refusal, Refusal)
        assert (refusal.reason, refusal.detail) == (
            "no_answer",
            "no part of the answer in 3 tokens",
        )
    assert start_of(put_in(bench, ask, 3)) == [3], "the engine is free again"


def test_an_answer_is_cut_when_its_time_comes_and_is_partial(bench, ask) -> None:
    bench.up()
    put_in(bench, ask, 1)
    due_ns, reason = bench.node.deadline
    assert reason == "cut"
    bench.now_ns = due_ns
    assert kinds(bench.call(bench.node.timeout)) == [CutInference]
    assert bench.call(bench.node.timeout) == [], "once"
    bench.finish(1, text="So f", reason="deadline")
    bench.call(bench.node.answer_stored, 1)
    assert answers(bench)[0].finish_reason == "deadline"


def test_an_answer_cut_before_its_first_token_is_a_refusal(bench, ask) -> None:
    bench.up()
    put_in(bench, ask, 1)
    bench.now_ns = bench.node.deadline[0]
    bench.call(bench.node.timeout)
    bench.finish(1, text="", reason="deadline")
    bench.call(bench.node.answer_stored, 1)
    assert answers(bench)[0].reason == "no_time"


def test_a_question_for_which_there_is_no_contact_is_refused_at_once(make_bench, ask) -> None:
    bench = make_bench(plan=ContactPlan([Contact("node", "ground", 0, 10_000_000, 10**9, 0)]))
    bench.up()
    bench.now_ns = 20_000_000
    put_in(bench, ask, 1)
    bench.call(bench.node.answer_stored, 1)
    assert answers(bench)[0].reason == "no_contact_before_deadline"


def test_a_waiting_question_is_refused_when_its_time_is_over(bench, ask) -> None:
    bench.up()
    put_in(bench, ask, 1, 2)
    put_out: list[type] = []
    while StoreAnswer not in put_out:
        bench.now_ns = bench.node.deadline[0]
        put_out += kinds(bench.call(bench.node.timeout))
    assert put_out == [StoreAnswer]
    bench.call(bench.node.answer_stored, 2)
    assert answers(bench)[0].reason == "no_time"


def test_a_node_that_pauses_starts_no_job_and_goes_on_later(bench, ask) -> None:
    bench.up()
    bench.call(bench.node.pause, True)
    bench.ask(ask())
    assert bench.call(bench.node.question_stored, 1) == []
    assert kinds(bench.call(bench.node.pause, False)) == [StartInference]


def test_the_clock_at_the_delivery_is_told_modulo_what_fits(make_bench, ask) -> None:
    """Of a question from before a restart too, and in a refusal."""
    delivered_ns = (3 * CLOCK_US + 7) * 1000 + 999
    bench = make_bench(recovered=(StoredQuestion(ask(1), delivered_ns, 10**18, None, False),))
    bench.now_ns = delivered_ns + 5_000_000
    (stored,) = bench.call(bench.node.engine_down, "no memory", final=True)
    refusal = decode(stored.payload)
    assert isinstance(refusal, Refusal)
    assert refusal.delivered_us == 7
    assert refusal.refused_us == 6_000


def test_nothing_is_judged_before_the_first_cue(make_bench, ask) -> None:
    """Without a plan the first cue says that the link is open, and with one it tells the time."""
    contact = Contact("node", "ground", 0, 200 * 10**9, 10**6, 0)
    recovered = (StoredQuestion(ask(1), 5, 10**11, None, False),)
    for plan in (None, ContactPlan([contact])):
        bench = make_bench(recovered=recovered, plan=plan, cued=False)
        assert bench.up() == []
        bench.now_ns = 2 * 10**9
        assert start_of(bench.call(bench.node.carrier, bench.cue)) == [1]
        assert bench.call(bench.node.carrier, bench.cue) == [], "once"


def test_what_is_over_at_the_first_cue_is_refused_then(make_bench, ask) -> None:
    recovered = (StoredQuestion(ask(1), 5, 10**9, None, False),)
    bench = make_bench(recovered=recovered, cued=False)
    bench.up()
    bench.now_ns = 3 * 10**9
    (stored,) = bench.call(bench.node.carrier, bench.cue)
    assert decode(stored.payload).reason == "no_time", "it was acknowledged: it has its outcome"


def test_before_the_first_cue_an_engine_gone_for_good_still_refuses(make_bench, ask) -> None:
    recovered = (StoredQuestion(ask(1), 5, 10**12, None, False),)
    bench = make_bench(recovered=recovered, cued=False)
    assert kinds(bench.call(bench.node.engine_down, "no memory", final=True)) == [StoreAnswer]
    assert bench.call(bench.node.carrier, bench.cue) == []


def test_a_deadline_that_no_clock_can_show_is_far_away_but_fits_on_disk(bench, ask) -> None:
    (stored,) = bench.ask(replace(ask(), remaining_ms=(1 << 64) - 1))
    assert 10**18 < stored.deadline_ns < 1 << 62


def test_a_question_older_than_its_budget_has_a_deadline_in_the_past(bench, ask) -> None:
    link = {"rx_up": True, "tx_rate_bps": 10**9, "one_way_ns": 0}
    bench.ground.carrier(tx_up=False, now_ns=30 * 10**9, **link)
    late = encode(replace(ask(), remaining_ms=1000))
    bench.ground.send(late, lifetime_ms=10**6, now_ns=30 * 10**9)
    bench.now_ns = 90 * 10**9
    bench._from_ground(bench.ground.carrier(tx_up=True, now_ns=bench.now_ns, **link))
    bench._settle()
    (stored,) = [output for output in bench.done if isinstance(output, StoreQuestion)]
    assert stored.deadline_ns == stored.delivered_ns + (1000 - 60_000) * 10**6


def test_answers_say_their_model_once_there_are_uploads(bench, ask) -> None:
    """One that waits while another model comes up says the model that gave it."""
    before = Health("tiny", "Q8_0", 512, 1, 0, sha256="0123456789abcdef")
    bench.call(bench.node.engine_up, before, bench.slots, speed())

    def answer(number: int) -> None:
        bench.ask(ask(number))
        bench.call(bench.node.question_stored, number)
        bench.finish(number)

    answer(1)
    bench.call(bench.node.answer_stored, 1)
    bench.call(bench.node.upload_does, Have(bytes(8), "taking"))
    answer(2)
    after = replace(before, model="large", sha256="f" * 16)
    bench.call(bench.node.engine_changed, after, bench.slots, speed())
    answer(3)
    bench.call(bench.node.answer_stored, 2)
    bench.call(bench.node.answer_stored, 3)
    told = [one.model for one in bench.answers if isinstance(one, Answer)]
    assert told == [b"", b"\x01\x23", b"\xff\xff"]


def test_a_vault_that_speaks_of_an_upload_has_answers_say_their_model(bench, ask) -> None:
    bench.call(bench.node.engine_up, Health("t", "", 9, 1, 0, sha256="ab" * 8), 1, speed())
    bundle_id = BundleId("ipn:1.1", 0, 1)
    bench.call(bench.node.upload_taken, bundle_id, None)
    bench.ask(ask(1))
    bench.call(bench.node.question_stored, 1)
    assert decode(bench.finish(1)[0].payload).model == b""
    bench.call(bench.node.upload_taken, bundle_id, Have(bytes(8), "taking"))
    bench.ask(ask(2))
    bench.call(bench.node.question_stored, 2)
    assert decode(bench.finish(2)[0].payload).model == b"\xab\xab"


@pytest.mark.parametrize(("permille", "charge"), [(None, None), (250, 0.25)])
def test_telemetry_has_the_charge_as_a_share(
    bench, monkeypatch: pytest.MonkeyPatch, permille: int | None, charge: float | None
) -> None:
    energy = SimpleNamespace(advance=lambda now_ns: None, charge_permille=permille)
    monkeypatch.setattr(bench.node, "_energy", energy)
    assert bench.node.doing(now_ns=0) == Doing(charge, working=False, heard=True)
