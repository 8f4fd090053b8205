"""What a question needs besides the engine: what it is shown, and the calls on the way."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from node.board.errands import Action, Ask, Cut, Errands, RunTools
from node.board.feeds import NoReading
from node.board.reading import Reading
from node.board.view import Board, KnownPass
from node.engine.events import (
    EngineDone,
    EngineFirstToken,
    EngineRefused,
    EngineStarted,
    EngineWrote,
    InferenceResult,
    ToolsCalled,
)
from node.scheduler import Job, Order
from roundtrip.message import GREEDY, Question
from roundtrip.onboard import CommandConfig, TelemetryConfig, ToolsConfig
from roundtrip.tools import call_text
from roundtrip.units import NS_PER_S

FRAME = Reading(3 * NS_PER_S, "SUN", {"EPS.VBAT": "23.1"}, {"EPS.VBAT": "V"})
READ = call_text("telemetry.read", {})
PASS = call_text("passes.next", {})


class Feed:
    """One frame, or none."""

    reason = ""

    def frames(self, now_ns: int, every_ns: int, count: int) -> list[Reading]:
        if self.reason:
            raise NoReading(self.reason)
        return [FRAME]


@pytest.fixture
def feed() -> Feed:
    return Feed()


@pytest.fixture
def kept() -> dict[bytes, str]:
    return {}


@pytest.fixture
def errands(feed: Feed, kept: dict[bytes, str]) -> Errands:
    passes = [KnownPass("Berlin", 10 * NS_PER_S, 400 * NS_PER_S, 41.0)]
    board = Board(
        TelemetryConfig(), feed, passes, lambda now_ns: "2026-06-01T00:00:05Z",
        context=1024, keep=kept.__setitem__,
    )  # fmt: skip
    hello = CommandConfig(name="say.hello", description="Says it.", argv=("/bin/echo", "hello"))
    config = ToolsConfig(
        allow=("telemetry.read", "passes.next", "say.hello"), command=(hello,), max_calls=3
    )
    return Errands(board, config)


def order(**question: Any) -> Order:
    fields = {"see": (), "tools": ()} | question
    asked = Question(7, "Well?", "Watch.", 64, GREEDY, "off", 60_000, **fields)
    return Order(Job(asked, 0, 0), 64, False, 0, False, 50 * NS_PER_S)


def done(text: str, tokens: int = 5, reason: str = "stop") -> EngineDone:
    return EngineDone(7, 9, InferenceResult(text, reason, 20, tokens, 0))


def only(actions: Iterable[Action]) -> Any:
    (action,) = actions
    return action


def asked_in(actions: Iterable[Action]) -> Order:
    return only(action for action in actions if isinstance(action, Ask)).order


NOW = 5 * NS_PER_S


def test_a_question_that_needs_nothing_passes_through(errands: Errands) -> None:
    job = order()
    assert errands.begin(job, now_ns=NOW) == [Ask(job)]
    for event in (EngineStarted(7, 1), EngineWrote(7, "<tool_call>"), done("Well.")):
        assert errands.heard(event, now_ns=NOW) == [event]
    assert errands.cut(7, now_ns=NOW) == [Cut(7)]


def test_what_it_wants_to_see_comes_before_it(errands: Errands, kept: dict[bytes, str]) -> None:
    asked = only(errands.begin(order(see=("telemetry",)), now_ns=NOW)).order
    assert asked.job.question.text == "SUN\nEPS.VBAT 23.1 V\n\nWell?"
    assert not asked.tools
    (seen,) = only(errands.heard(done("Well."), now_ns=NOW)).result.seen
    assert (seen.what, seen.at_ns) == (0, 3 * NS_PER_S)
    assert kept[seen.digest] == "SUN\nEPS.VBAT 23.1 V"
    assert 0 < seen.size < len("SUN\nEPS.VBAT 23.1 V")


@pytest.mark.parametrize(
    ("reason", "now_ns", "detail"),
    [
        ("feed.csv: no whole frame", NOW, "telemetry: feed.csv: no whole frame"),
        ("", 400 * NS_PER_S, "telemetry: no frame for 397 s"),
    ],
)
def test_what_cannot_be_seen_is_refused_with_the_reason(
    errands: Errands, feed: Feed, reason: str, now_ns: int, detail: str
) -> None:
    feed.reason = reason
    refused = only(errands.begin(order(see=("telemetry",)), now_ns=now_ns))
    assert refused == EngineRefused(7, "not_seen", detail)
    assert errands.heard(done("Well."), now_ns=NOW) == [done("Well.")], "it is not open"


def test_without_a_feed_there_is_nothing_to_be_seen() -> None:
    errands = Errands(Board(None, None, context=1024), None)
    refused = only(errands.begin(order(see=("telemetry",)), now_ns=NOW))
    assert refused == EngineRefused(7, "not_seen", "telemetry: there is none on board")
    refused = only(errands.begin(order(see=("camera/a.jpg",)), now_ns=NOW))
    assert refused.detail == "camera/a.jpg: there is no camera on board"


def test_a_question_gets_the_tools_that_are_allowed_and_no_others(errands: Errands) -> None:
    job = order(tools=("files.read", "passes.next"))
    asked = only(errands.begin(job, now_ns=NOW)).order
    assert '"passes.next"' in asked.tools
    assert '"files.read"' not in asked.tools
    assert asked.job.question.system == "Watch."


def test_an_answer_that_keeps_to_a_schema_calls_nothing(errands: Errands) -> None:
    asked = only(errands.begin(order(tools=("passes.next",), schema="{}"), now_ns=NOW)).order
    assert asked.tools == ""


def test_calls_are_run_and_what_came_back_goes_to_the_engine(
    errands: Errands, kept: dict[bytes, str]
) -> None:
    errands.begin(order(tools=("telemetry.read", "passes.next")), now_ns=NOW)
    assert only(errands.heard(EngineStarted(7, 1), now_ns=NOW)) == EngineStarted(7, 1)
    run = only(errands.heard(done(READ, 12), now_ns=NOW))
    assert isinstance(run, RunTools)
    (job,) = run.jobs
    assert (job.name, job.argv, job.error) == ("telemetry.read", (), "")
    assert job.view["frames"][0]["values"] == {"EPS.VBAT": "23.1"}
    called, ask = errands.called(7, run.round, ["SUN\nEPS.VBAT 23.1 V"], now_ns=NOW)
    assert called == ToolsCalled(7, NOW)
    again = asked_in([ask])
    assert again.rounds == ((READ, ("SUN\nEPS.VBAT 23.1 V",)),)
    assert again.max_tokens == 64 - 12
    assert errands.heard(EngineStarted(7, 3), now_ns=NOW) == [], "it has begun long ago"
    first = EngineFirstToken(7, 3)
    assert errands.heard(first, now_ns=NOW) == [first], "of the answer, as it may turn out"
    run = only(errands.heard(done(PASS, 10), now_ns=NOW))
    assert run.jobs[0].view == {"pass": "over Berlin, AOS in 5 s, lasts 6 min, up to 41 deg"}
    again = asked_in(errands.called(7, run.round, ["Berlin, …"], now_ns=NOW))
    assert [called for called, _ in again.rounds] == [READ, PASS]
    result = only(errands.heard(done("All is well.", 6), now_ns=NOW)).result
    assert (result.text, result.output_tokens) == ("All is well.", 28)
    assert [(one.what, kept[one.digest]) for one in result.seen] == [
        (0, "SUN\nEPS.VBAT 23.1 V"),
        (1, "Berlin, …"),
    ]


def test_several_calls_in_one_answer_are_one_round(errands: Errands) -> None:
    errands.begin(order(tools=("telemetry.read", "passes.next")), now_ns=NOW)
    run = only(errands.heard(done(f"{READ}\n{PASS}"), now_ns=NOW))
    assert [job.name for job in run.jobs] == ["telemetry.read", "passes.next"]
    again = asked_in(errands.called(7, 0, ["a", "b"], now_ns=NOW))
    assert again.rounds == ((f"{READ}\n{PASS}", ("a", "b")),)


def test_nothing_that_may_be_a_call_is_told_as_a_part(errands: Errands) -> None:
    errands.begin(order(tools=("passes.next",)), now_ns=NOW)
    for text in ("", "<", "<tool_call>", PASS):
        assert errands.heard(EngineWrote(7, text), now_ns=NOW) == []
    assert errands.heard(EngineWrote(7, "It"), now_ns=NOW) == [EngineWrote(7, "It")]


def test_a_tool_that_is_not_there_is_an_error_for_the_model(errands: Errands) -> None:
    """It may be one that the node has, and the question may not use."""
    errands.begin(order(tools=("passes.next",)), now_ns=NOW)
    for name in ("telemetry.read", "rm", "files.read"):
        run = only(errands.heard(done(call_text(name, {})), now_ns=NOW))
        assert [job.error for job in run.jobs] == ["no such tool"]
        errands.called(7, run.round, ["error: no such tool"], now_ns=NOW)


def test_a_feed_without_a_frame_is_an_error_for_the_model(errands: Errands, feed: Feed) -> None:
    feed.reason = "stopped"
    errands.begin(order(tools=("telemetry.read",)), now_ns=NOW)
    run = only(errands.heard(done(READ), now_ns=NOW))
    assert run.jobs[0].error == "telemetry: stopped"


def test_a_program_on_board_is_run_with_its_arguments(errands: Errands) -> None:
    errands.begin(order(tools=("say.hello",)), now_ns=NOW)
    run = only(errands.heard(done(call_text("say.hello", {"to": "you"})), now_ns=NOW))
    assert run.jobs[0].argv == ("/bin/echo", "hello")
    assert run.jobs[0].arguments == {"to": "you"}


def test_calls_have_an_end(errands: Errands) -> None:
    errands.begin(order(tools=("passes.next",)), now_ns=NOW)
    for _ in range(3):
        run = only(errands.heard(done(PASS, 1), now_ns=NOW))
        errands.called(7, run.round, ["…"], now_ns=NOW)
    refused = only(errands.heard(done(PASS, 1), now_ns=NOW))
    assert refused == EngineRefused(7, "no_answer", "more than 3 calls")


def test_a_call_that_leaves_no_token_for_an_answer_is_none(errands: Errands) -> None:
    errands.begin(order(tools=("passes.next",)), now_ns=NOW)
    result = only(errands.heard(done(PASS, 64, "length"), now_ns=NOW)).result
    assert (result.text, result.finish_reason) == ("", "length")


def test_a_job_that_is_cut_in_the_engine_gives_no_call_away(errands: Errands) -> None:
    errands.begin(order(tools=("passes.next",)), now_ns=NOW)
    assert errands.cut(7, now_ns=NOW) == [Cut(7)]
    result = only(errands.heard(done(PASS, 9, "deadline"), now_ns=NOW)).result
    assert (result.text, result.output_tokens) == ("", 9)


def test_a_job_that_is_cut_while_its_tools_run_ends_at_once(errands: Errands) -> None:
    errands.begin(order(tools=("passes.next",)), now_ns=NOW)
    errands.heard(done(PASS, 9), now_ns=NOW)
    ended = only(errands.cut(7, now_ns=NOW))
    assert (ended.result.text, ended.result.finish_reason) == ("", "deadline")
    assert ended.result.output_tokens == 9
    assert errands.called(7, 0, ["late"], now_ns=NOW) == []


def test_results_of_a_job_that_has_begun_anew_are_not_its(errands: Errands) -> None:
    job = order(tools=("passes.next",))
    errands.begin(job, now_ns=NOW)
    errands.heard(done(PASS), now_ns=NOW)
    errands.clear()
    errands.begin(job, now_ns=NOW)
    assert errands.called(7, 0, ["of the first"], now_ns=NOW) == []


def test_a_tool_has_as_long_as_the_question(errands: Errands) -> None:
    for now_s, limit_s in ((10, 5), (48, 2), (51, 0)):
        errands.begin(order(tools=("passes.next",)), now_ns=NOW)
        run = only(errands.heard(done(PASS), now_ns=now_s * NS_PER_S))
        assert (run.limit_ns, run.max_bytes) == (limit_s * NS_PER_S, 4096)
