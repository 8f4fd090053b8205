"""What is known of one question when it has its outcome."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from dtn.ltp.segment import SessionId
from roundtrip.budget import Outcome
from roundtrip.errors import BadInput
from roundtrip.message import Turn
from roundtrip.stages import Stage, phases_of
from roundtrip.units import NS_PER_MS

FORMAT: Final = "groundloop-loop/1"
"""Of a line of `loops.jsonl`, see docs/loop-log.md; lines of before it had a name have none."""


@dataclass(frozen=True, slots=True)
class Planned:
    """One question of the workload."""

    index: int
    intended_ns: int
    text: str
    expected: str | None
    """The one right answer, where there is one."""
    priority: int = 1
    """0 bulk, 1 normal, 2 expedited."""
    turns: tuple[Turn, ...] = ()
    """What was said before."""
    after: int | None = None
    """The question with which they end, where the station was asked that one too."""
    rule: str = ""
    """What the right answer follows from, given what was seen; empty where `expected` says it."""
    see: tuple[str, ...] | None = None
    """What the model is shown on board; None: what the workload says."""
    tools: tuple[str, ...] | None = None
    """What it may call; None: what the workload says."""

    @property
    def title(self) -> str:
        """What to show of it: the last line, which is the question where a frame precedes it."""
        return self.text.rstrip().rsplit("\n", 1)[-1]


@dataclass(frozen=True, slots=True)
class Seen:
    """Something on board that the model was shown, or called."""

    what: str
    age_ms: int
    """When the answer was finished; of a call, since it was made."""
    digest: bytes
    """The first bytes of its SHA-256."""
    size: int
    """Bytes that it would have taken on the link, packed."""


@dataclass(frozen=True, slots=True)
class NodeTimes:
    """What the node says of a question, in ns since it was delivered. A refusal has one time for
    the first three."""

    started_ns: int
    first_token_ns: int
    finished_ns: int
    delivered_us: int | None = None
    """The plan's clock at the delivery, as the node reads it, modulo `message.CLOCK_US`; None in
    records from before it was said."""
    called_ns: int | None = None
    """When the last tool had answered; None where none was called."""

    @property
    def stamps(self) -> dict[Stage, int]:
        """By the stages that they are of."""
        stamps = {
            Stage.STARTED: self.started_ns,
            Stage.FIRST_TOKEN: self.first_token_ns,
            Stage.FINISHED: self.finished_ns,
        }
        return stamps if self.called_ns is None else stamps | {Stage.CALLED: self.called_ns}

    @property
    def prefill_ns(self) -> int:
        """How long the engine read what it answered from."""
        began_ns = self.started_ns if self.called_ns is None else self.called_ns
        return self.first_token_ns - began_ns


@dataclass(frozen=True, slots=True)
class LoopRecord:
    """One loop. Times are ns on the plan's clock."""

    question_id: int
    planned: Planned
    outcome: Outcome
    reason: str
    """Why it was refused or expired; empty otherwise."""
    stamps: Mapping[Stage, int]
    settled_ns: int
    """When it got its outcome."""
    in_contact_ns: int | None
    """The loop less the time without contact; None without an answer."""
    split: str
    """How the stamps from `uplink_started` to `downlink_started` are known: by the `frame_log`,
    exactly, or by `estimate`."""
    uncertainty_ns: int
    """How far the worst of them may be off; 0 by the frame log."""
    answer: str | None = None
    """The whole; where the question has expired, as much of it as has come down."""
    finish_reason: str = ""
    thoughts: str = ""
    """What the model thought, where that was asked for."""
    spent_mj: int = 0
    """Energy for the answer on board above idling, mJ; 0 where it is not counted."""
    exposed: bool = False
    """The model's weights may have been damaged meanwhile: the node had no time to know better."""
    prompt_tokens: int = 0
    output_tokens: int = 0
    detail: str = ""
    """What the node said about a refusal besides its reason: which keyword, how many tokens."""
    node_times: NodeTimes | None = None
    node_rss_peak_bytes: int = 0
    uplink_sessions: tuple[SessionId, ...] = ()
    """LTP sessions that carried the question."""
    downlink_session: SessionId | None = None
    """LTP session that brought the answer, the first one where it was asked for again."""
    expected_at_ns: int | None = None
    """When the answer was expected, as was said when the question was sent; None where no contact
    was left for it."""
    graded: bool | None = None
    """Whether the answer is right, as somebody else's log says, or who knows what was seen; None
    where `planned` tells, or nothing does."""
    seen: tuple[Seen, ...] = ()
    """What the model was shown on board, and what it called, in that order."""
    model: str = ""
    """What answered, as the node said last before; empty where it is not known."""
    model_sha256: str = ""
    """The beginning of its file's, in hex."""

    @property
    def expectation_error(self) -> float | None:
        """How far off that was, as a share of the loop; None without an answer."""
        answered, loop_ns = self.stamps.get(Stage.ANSWERED), self.loop_ns
        if self.expected_at_ns is None or answered is None or not loop_ns or not self.answered:
            return None
        return abs(answered - self.expected_at_ns) / loop_ns

    @property
    def loop_ns(self) -> int | None:
        """Intended to answered; None where nothing came back."""
        answered = self.stamps.get(Stage.ANSWERED)
        return None if answered is None else answered - self.planned.intended_ns

    @property
    def uncorrected_ns(self) -> int:
        """Submitted to answered, of an answered one; intended to answered where nobody wrote down
        when it was submitted."""
        submitted = self.stamps.get(Stage.SUBMITTED, self.planned.intended_ns)
        return self.stamps[Stage.ANSWERED] - submitted

    @property
    def answered(self) -> bool:
        """Whether there is an answer, however late."""
        return self.outcome in (Outcome.ON_TIME, Outcome.PARTIAL, Outcome.LATE)

    @property
    def correct(self) -> bool | None:
        """Whether the answer is right; None where it cannot be said."""
        if not self.answered:
            return None
        if self.planned.expected is None:
            return self.graded
        return self.answer == self.planned.expected

    @property
    def phases_ns(self) -> dict[str, int]:
        """Phase durations; they add up to the loop."""
        return phases_of(self.stamps)

    @property
    def why(self) -> str:
        """Why there is no answer, in full."""
        return f"{self.reason}: {self.detail}" if self.detail else self.reason


def to_json(record: LoopRecord, model: str) -> dict[str, Any]:
    """One line of `loops.jsonl`, with OpenTelemetry's GenAI names where they exist."""
    line: dict[str, Any] = {
        "format": FORMAT,
        "question_id": f"{record.question_id:016x}",
        "index": record.planned.index,
        "question": record.planned.text,
        "outcome": record.outcome.value,
        "reason": record.reason,
        "loop_ns": record.loop_ns,
        "in_contact_ns": record.in_contact_ns,
        "stamps_ns": {stage.value: at_ns for stage, at_ns in record.stamps.items()},
        "phases_ns": record.phases_ns,
        "settled_ns": record.settled_ns,
        "split": record.split,
        "split_uncertainty_ns": record.uncertainty_ns,
        "uplink_sessions": [_numbers(session) for session in record.uplink_sessions],
        "downlink_session": _numbers(record.downlink_session),
    }
    times = record.node_times
    if record.planned.after is not None:
        line["after"] = f"{record.planned.after:016x}"
    elif record.planned.turns:
        line["turns"] = [[turn.text, turn.answer] for turn in record.planned.turns]
    if record.expected_at_ns is not None:
        line["expected_at_ns"] = record.expected_at_ns
    if record.planned.expected is not None:
        line["expected"] = record.planned.expected
    if times is not None:
        line["node_ns"] = [times.started_ns, times.first_token_ns, times.finished_ns]
        line["node_delivered_us"] = times.delivered_us
        if times.called_ns is not None:
            line["node_called_ns"] = times.called_ns
    if record.answer is not None:
        line["answer"] = record.answer
    if record.thoughts:
        line["thoughts"] = record.thoughts
    if record.exposed:
        line["exposed"] = True
    if record.planned.rule:
        line["rule"] = record.planned.rule
    for name, asked in (("see", record.planned.see), ("tools", record.planned.tools)):
        if asked is not None:
            line[name] = list(asked)
    if record.seen:
        finished_ns = record.stamps.get(Stage.FINISHED, 0)
        line["seen"] = [
            {
                "what": one.what,
                "at_ns": finished_ns - one.age_ms * NS_PER_MS,
                "age_ms": one.age_ms,
                "sha256": one.digest.hex(),
                "bytes": one.size,
            }
            for one in record.seen
        ]
    if record.detail:
        line["detail"] = record.detail
    if record.model:
        line["gen_ai.response.model"] = record.model
    if record.model_sha256:
        line["model_sha256"] = record.model_sha256
    if record.answered and (times is not None or record.correct is not None):
        line["correct"] = record.correct
    if record.answered and times is not None:
        line |= {
            "node_rss_peak_bytes": record.node_rss_peak_bytes,
            "node_spent_mj": record.spent_mj,
            "gen_ai.request.model": model,
            "gen_ai.usage.input_tokens": record.prompt_tokens,
            "gen_ai.usage.output_tokens": record.output_tokens,
            "gen_ai.response.finish_reasons": [record.finish_reason],
            "gen_ai.server.time_to_first_token": (times.first_token_ns - times.started_ns) / 1e9,
            "gen_ai.server.request.duration": (times.finished_ns - times.started_ns) / 1e9,
        }
    return line


def _numbers(session: SessionId | None) -> list[int] | None:
    return None if session is None else [session.originator, session.number]


def _names(line: dict[str, Any], key: str) -> tuple[str, ...] | None:
    return tuple(line[key]) if key in line else None


def _node_times(line: dict[str, Any]) -> NodeTimes | None:
    if "node_ns" not in line:
        return None
    started_ns, first_token_ns, finished_ns = line["node_ns"]
    delivered_us, called_ns = line.get("node_delivered_us"), line.get("node_called_ns")
    return NodeTimes(started_ns, first_token_ns, finished_ns, delivered_us, called_ns)


def from_json(line: dict[str, Any], source: str) -> LoopRecord:
    """The record in a line of `loops.jsonl`.

    Raises:
        BadInput: the line is none of ours.
    """
    try:
        stamps = {Stage(name): int(at_ns) for name, at_ns in line["stamps_ns"].items()}
        after = line.get("after")
        planned = Planned(
            line["index"],
            stamps[Stage.INTENDED],
            line["question"],
            line.get("expected"),
            turns=tuple(Turn(text, answer) for text, answer in line.get("turns", ())),
            after=None if after is None else int(after, 16),
            rule=line.get("rule", ""),
            see=_names(line, "see"),
            tools=_names(line, "tools"),
        )
        session, expected_at_ns = line["downlink_session"], line.get("expected_at_ns")
        return LoopRecord(
            int(line["question_id"], 16),
            planned,
            Outcome(line["outcome"]),
            line["reason"],
            stamps,
            line["settled_ns"],
            line["in_contact_ns"],
            line["split"],
            line["split_uncertainty_ns"],
            answer=line.get("answer"),
            thoughts=line.get("thoughts", ""),
            exposed=bool(line.get("exposed")),
            seen=tuple(
                Seen(one["what"], one["age_ms"], bytes.fromhex(one["sha256"]), one["bytes"])
                for one in line.get("seen", [])
            ),
            detail=line.get("detail", ""),
            model=line.get("gen_ai.response.model", ""),
            model_sha256=line.get("model_sha256", ""),
            finish_reason=line.get("gen_ai.response.finish_reasons", [""])[0],
            prompt_tokens=line.get("gen_ai.usage.input_tokens", 0),
            output_tokens=line.get("gen_ai.usage.output_tokens", 0),
            node_times=_node_times(line),
            node_rss_peak_bytes=line.get("node_rss_peak_bytes", 0),
            spent_mj=line.get("node_spent_mj", 0),
            uplink_sessions=tuple(SessionId(*numbers) for numbers in line["uplink_sessions"]),
            downlink_session=SessionId(*session) if session else None,
            expected_at_ns=None if expected_at_ns is None else int(expected_at_ns),
            graded=line.get("correct") if planned.expected is None else None,
        )
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise BadInput(source, "", "a loop of ours", f"{type(error).__name__}: {error}") from None
