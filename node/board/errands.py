"""What a question needs besides the engine: to be shown what it wants to see, and the tools that
the model calls on the way to its answer. Between the node's machine and whatever answers.

A job goes in once and comes out once, however often the model calls something in between: an
answer that begins with a call is none, and the engine gets the job again with what came back. Pure
but for the board's feed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from node.board.folder import NotThere
from node.board.view import Board, NotSeen
from node.engine.events import (
    EngineDone,
    EngineFirstToken,
    EngineRefused,
    EngineStarted,
    EngineWrote,
    InferenceResult,
    JobEvent,
    Shown,
    ToolsCalled,
)
from node.scheduler import Order
from roundtrip.message import MAX_SIGHTS
from roundtrip.onboard import ToolsConfig
from roundtrip.tools import BUILTIN, FILES, Call, Tool, begins_call, calls_in, section
from roundtrip.units import s_to_ns


@dataclass(frozen=True, slots=True)
class Ask:
    """Give the engine a job."""

    order: Order


@dataclass(frozen=True, slots=True)
class Cut:
    """Have the engine end a job now."""

    question_id: int


@dataclass(frozen=True, slots=True)
class Job:
    """One call to be run in a child, see `tool_child`."""

    name: str
    argv: tuple[str, ...]
    """A program on board; empty for one of our own tools."""
    arguments: Mapping[str, Any]
    view: Mapping[str, Any]
    error: str = ""
    """The result, where nothing is to be run."""


@dataclass(frozen=True, slots=True)
class RunTools:
    """Run some calls, one after the other, then say so with `called`."""

    question_id: int
    round: int
    jobs: tuple[Job, ...]
    limit_ns: int
    """Of each, and no longer than the question has."""
    max_bytes: int
    """Of a result."""


Action = Ask | Cut | RunTools | JobEvent


@dataclass(slots=True)
class _Errand:
    order: Order
    shown: list[Shown]
    tools: tuple[str, ...]
    calls: int = 0
    output_tokens: int = 0
    cut: bool = False
    waits: tuple[str, list[tuple[str, int]]] | None = None
    """What the model called, as it wrote it, and of each call its name and time."""


class Errands:
    """The errands of one node.

    Args:
        board: what there is to show.
        config: the tools; None: none.
    """

    def __init__(self, board: Board, config: ToolsConfig | None) -> None:
        self._board = board
        self._config = config
        self._open: dict[int, _Errand] = {}
        own = {} if config is None else {c.name: c for c in config.command}
        self._commands = own
        self._known: dict[str, Tool] = dict(BUILTIN)
        self._known |= {c.name: Tool(c.name, c.description, c.parameters) for c in own.values()}

    def begin(self, order: Order, *, now_ns: int) -> list[Action]:
        """The machine starts a job."""
        question = order.job.question
        allowed = self._config.allow if self._config is not None else ()
        tools = tuple(name for name in question.tools if name in allowed and not question.schema)
        if not question.see and not tools:
            return [Ask(order)]
        try:
            look = self._board.look(question, now_ns=now_ns)
        except (NotSeen, NotThere) as reason:
            return [EngineRefused(question.question_id, "not_seen", str(reason))]
        order = replace(
            order,
            job=replace(order.job, question=replace(question, text=look.text)),
            tools=section([self._known[name] for name in tools]) if tools else "",
            images=look.images,
        )
        self._open[question.question_id] = _Errand(order, list(look.shown), tools)
        return [Ask(order)]

    def cut(self, question_id: int, *, now_ns: int) -> list[Action]:
        """The machine ends a job."""
        errand = self._open.get(question_id)
        if errand is None:
            return [Cut(question_id)]
        errand.cut = True
        if errand.waits is None:
            return [Cut(question_id)]
        return [self._given(errand, _nothing(question_id, errand, now_ns))]

    def clear(self) -> None:
        """The engine died, and all its jobs with it."""
        self._open.clear()

    def heard(self, event: JobEvent, *, now_ns: int) -> list[Action]:
        """The engine says something of a job."""
        errand = self._open.get(event.question_id)
        if errand is None:
            return [event]
        match event:
            case EngineStarted():
                return [event] if not errand.order.rounds else []
            case EngineFirstToken() | ToolsCalled():
                return [event]
            case EngineWrote(text=text):
                return [] if errand.tools and begins_call(text) else [event]
            case EngineRefused():
                del self._open[event.question_id]
                return [event]
            case EngineDone():
                return self._done(errand, event, now_ns)

    def _done(self, errand: _Errand, event: EngineDone, now_ns: int) -> list[Action]:
        result = event.result
        errand.output_tokens += result.output_tokens
        calls = calls_in(result.text) if errand.tools else []
        if not calls:
            return [self._given(errand, event)]
        config = self._config
        assert config is not None
        errand.calls += len(calls)
        left = errand.order.max_tokens - result.output_tokens
        if errand.cut or result.finish_reason == "deadline" or left < 1:
            empty = replace(event, result=replace(result, text=""))
            return [self._given(errand, empty)]
        if errand.calls > config.max_calls:
            del self._open[event.question_id]
            detail = f"more than {config.max_calls} calls"
            return [EngineRefused(event.question_id, "no_answer", detail)]
        errand.order = replace(errand.order, max_tokens=left)
        pairs = [self._job(errand, call, now_ns) for call in calls]
        errand.waits = result.text, [(job.name, at_ns) for job, at_ns in pairs]
        jobs = tuple(job for job, _ in pairs)
        limit_ns, cut_ns = s_to_ns(config.timeout_s), errand.order.cut_ns
        if cut_ns is not None:
            limit_ns = max(0, min(limit_ns, cut_ns - now_ns))
        rounds = len(errand.order.rounds)
        return [RunTools(event.question_id, rounds, jobs, limit_ns, config.max_bytes)]

    def _job(self, errand: _Errand, call: Call, now_ns: int) -> tuple[Job, int]:
        name, config = call.name, self._config
        error = call.fault or ("" if name in errand.tools else "no such tool")
        if error:
            return Job(name, (), call.arguments, {}, error), now_ns
        if name in self._commands:
            return Job(name, self._commands[name].argv, call.arguments, {}), now_ns
        if name == FILES and config is not None:
            view: dict[str, Any] = {"folder": config.folder, "max_bytes": config.max_bytes}
            return Job(name, (), call.arguments, view), now_ns
        try:
            at_ns, view = self._board.view(name, now_ns)
        except NotSeen as reason:
            return Job(name, (), call.arguments, {}, str(reason)), now_ns
        return Job(name, (), call.arguments, view), at_ns

    def called(
        self, question_id: int, round_: int, results: Sequence[str], *, now_ns: int
    ) -> list[Action]:
        """The calls of a round have their results."""
        errand = self._open.get(question_id)
        if errand is None or errand.waits is None or len(errand.order.rounds) != round_:
            return []
        said, names = errand.waits
        errand.waits = None
        for (name, at_ns), result in zip(names, results, strict=True):
            if name in errand.tools and len(errand.shown) < MAX_SIGHTS:
                question = errand.order.job.question
                what = len(question.see) + question.tools.index(name)
                errand.shown.append(self._board.note(what, at_ns, result))
        rounds = (*errand.order.rounds, (said, tuple(results)))
        errand.order = replace(errand.order, rounds=rounds)
        return [ToolsCalled(question_id, now_ns), Ask(errand.order)]

    def _given(self, errand: _Errand, event: EngineDone) -> EngineDone:
        del self._open[event.question_id]
        result = replace(event.result, output_tokens=errand.output_tokens, seen=tuple(errand.shown))
        return replace(event, result=result)


def _nothing(question_id: int, errand: _Errand, now_ns: int) -> EngineDone:
    return EngineDone(
        question_id, now_ns, InferenceResult("", "deadline", 0, errand.output_tokens, 0)
    )
