"""The log of loops as a format for others, `docs/loop-log.md`: JSON lines or CSV, a loop a line.

Ours are written by `record.py` and read back, whole, by `load.py`. Here anyone's is read, with as
little as when questions were meant to be sent, or were sent, and when their answers were there.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, ValidationError

from dtn.ltp.segment import SessionId
from ground.results.record import LoopRecord, NodeTimes, Planned, Seen
from roundtrip.budget import Budget, Outcome
from roundtrip.config import MAX_S, to_date
from roundtrip.errors import BadInput
from roundtrip.files import bad_config, parse_json, read_text
from roundtrip.message import MAX_SIGHTS, Turn
from roundtrip.stages import STAGES, Stage, in_order
from roundtrip.units import NS_PER_S, s_to_ns

MAX_LOG_BYTES = 256 << 20
"""Half a million lines of ours."""
MAX_NS = 4 * MAX_S * NS_PER_S
"""From the first question to the last answer: four years."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EVENTS = {"intended": Stage.INTENDED, "sent": Stage.SUBMITTED, "answered": Stage.ANSWERED}
"""What has a time of its own in a line, and the stage that it is."""
STAMPS = "stamps_ns"


def _number(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("a number")
    return value


def _date(value: object) -> datetime:
    """A date of RFC 3339."""
    if isinstance(value, str) and len(value) > 10:
        moment = to_date(value)
        if datetime.fromisoformat(value).tzinfo is not None:
            return moment
    raise ValueError("a date of RFC 3339 with its zone, such as 2026-06-01T09:30:00.250Z")


def _id(value: object) -> object:
    """A name, or a number as one."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Ns = Annotated[int, Field(ge=0, lt=2**63), BeforeValidator(_number)]
Seconds = Annotated[float, Field(ge=0, lt=2**63 / NS_PER_S), BeforeValidator(_number)]
Count = Annotated[int, Field(ge=0, lt=2**63), BeforeValidator(_number)]
Date = Annotated[datetime, BeforeValidator(_date)]
Text = Annotated[str, Field(max_length=1 << 20)]
Id = Annotated[str, Field(min_length=1, max_length=200), BeforeValidator(_id)]
Session = tuple[Count, Count]


TIMED: list[JsonValue] = [
    {"required": [key]}
    for name in ("intended", "sent")
    for key in (f"{name}_s", f"{name}_ns", name)
]
TIMED.append({"required": [STAMPS]})
"""What a line needs one of."""


class SeenLine(BaseModel):
    """Something that a model was shown, or called."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False, use_attribute_docstrings=True)

    what: Id
    """`telemetry`, `passes.next` and the like."""
    age_ms: Count
    """When the answer was finished."""
    sha256: Annotated[str, Field(pattern="^([0-9a-f]{2}){1,32}$")]
    """Its first bytes."""
    bytes: Count
    """That it would have taken on the link, packed."""


class LoopLine(BaseModel):
    """One loop. Of `intended` and `sent` at least one is needed, each in one form alone; all else
    may be left out or be null, and what is not listed here is ignored."""

    model_config = ConfigDict(
        extra="ignore",
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        json_schema_extra={"anyOf": TIMED},
    )

    format: Literal["groundloop-loop/1"] | None = None
    """This format and its version; a log without it is taken for one of version 1."""
    intended_s: Seconds | None = None
    """When the question was meant to be sent, on any clock that all lines share. Where it is left
    out, `sent` counts: then the time in a queue on the ground is not seen."""
    intended_ns: Ns | None = None
    """The same in ns."""
    intended: Date | None = None
    """The same as a date of RFC 3339 with its zone, to 1 us."""
    sent_s: Seconds | None = None
    """When it was handed over to be sent."""
    sent_ns: Ns | None = None
    """The same in ns."""
    sent: Date | None = None
    """The same as a date."""
    answered_s: Seconds | None = None
    """When the whole answer was on the ground. Left out, null or empty: it never was."""
    answered_ns: Ns | None = None
    """The same in ns."""
    answered: Date | None = None
    """The same as a date."""
    stamps_ns: dict[Stage, Ns] | None = None
    """Stage to time, in the order of the stages (docs/measuring.md); instead of the times above. In
    CSV a column a stage: `stamps_ns.delivered`."""
    question_id: Id | None = None
    """A text or a whole number, one of its own for each line. Ours have 16 hexadecimal
    digits; others are checked, and lost in what is written."""
    index: Count | None = None
    """Number of the question; by default that of the line, from 0."""
    question: Text | None = None
    """Its text."""
    expected: Text | None = None
    """The one right answer, where there is one."""
    after: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")] | None = None
    """`question_id` of the question that it goes on from, in a conversation."""
    turns: Annotated[list[tuple[Text, Text]], Field(max_length=1000)] | None = None
    """What was said before where `after` does not tell: questions and their answers."""
    thoughts: Text | None = None
    """What the model thought before it answered."""
    answer: Text | None = None
    """The text that came, whole or not."""
    exposed: bool | None = None
    """The model's weights may have been damaged while it answered."""
    rule: Text | None = None
    """What the right answer follows from, given what was seen (docs/node.md); not read for a
    verdict."""
    seen: Annotated[list[SeenLine], Field(max_length=MAX_SIGHTS)] | None = None
    """What the model was shown on board, and what it called, in that order."""
    correct: bool | None = None
    """Whether the answer is right; only read where `expected` does not say it."""
    outcome: Outcome | None = None
    """Of an answer only `partial` is read (in time, but cut short): what is in time follows from
    the budget. Without one `refused` or, by default, `expired`."""
    reason: Annotated[str, Field(max_length=2000)] | None = None
    """Why there is no answer: one word or a few."""
    detail: Annotated[str, Field(max_length=2000)] | None = None
    """More about that."""
    loop_ns: Ns | None = None
    """Intended to answered. Not read: it follows from the times."""
    in_contact_ns: Ns | None = None
    """The loop less the time in which the ground had not both directions."""
    phases_ns: dict[str, Ns] | None = None
    """Phase to duration. Not read: they follow from `stamps_ns`."""
    settled_ns: Ns | None = None
    """When it got its outcome."""
    expected_at_ns: Ns | None = None
    """When the answer was expected, as said when the question was sent."""
    split: Annotated[str, Field(max_length=200)] | None = None
    """How the stamps between are known: `frame_log`, exactly, or `estimate`."""
    split_uncertainty_ns: Ns | None = None
    """How far the worst of them may be off."""
    uplink_sessions: tuple[Session, ...] | None = None
    """LTP sessions that carried the question: originator and number."""
    downlink_session: Session | None = None
    """LTP session that brought the answer."""
    node_ns: tuple[Ns, Ns, Ns] | None = None
    """When the engine began, had its first token and had finished, since the delivery."""
    node_called_ns: Ns | None = None
    """When the last tool that the model called had answered, since the delivery."""
    node_delivered_us: Count | None = None
    """The delivery on the node's clock, modulo 2^32 us."""
    node_rss_peak_bytes: Count | None = None
    """Memory of the engine at most."""
    node_spent_mj: Count | None = None
    """Energy for the answer above idling, mJ."""
    response_model: str | None = Field(None, alias="gen_ai.response.model", max_length=4096)
    """What answered, as the node has said: where several models flew in a run."""
    model_sha256: str | None = Field(None, pattern="^[0-9a-f]{0,64}$")
    """The first digits of the SHA-256 of its file, and of its adapter's after it, in hex."""
    model: str | None = Field(None, alias="gen_ai.request.model", max_length=4096)
    """The model that answered."""
    input_tokens: Count | None = Field(None, alias="gen_ai.usage.input_tokens")
    """Tokens of the prompt."""
    output_tokens: Count | None = Field(None, alias="gen_ai.usage.output_tokens")
    """Tokens of the answer."""
    finish_reasons: tuple[str, ...] | None = Field(
        None, alias="gen_ai.response.finish_reasons", min_length=1, max_length=1
    )
    """Why the model stopped: `stop`, `length`."""
    first_token_s: Seconds | None = Field(None, alias="gen_ai.server.time_to_first_token")
    """Reading of the prompt, s. Not read: it follows from `node_ns`."""
    engine_s: Seconds | None = Field(None, alias="gen_ai.server.request.duration")
    """Reading and writing, s. Not read: it follows from `node_ns`."""


KEYS = {field.alias or name: name for name, field in LoopLine.model_fields.items()}
"""What a field is called in a file, to what it is called here."""


@dataclass(frozen=True, slots=True)
class LoopLog:
    """What a log holds. Times are ns since the first question was intended."""

    records: Sequence[LoopRecord]
    ignored: Sequence[str]
    """Fields that are not of the format."""
    model: str
    """Of all loops that name one; "unknown" where they are not one."""
    started_unix_s: int
    """0 where the log has no dates."""
    length_ns: int
    """From the first question to the last event."""


def read_log(path: Path, budget: Budget) -> LoopLog:
    """The loops in a file of JSON lines, or of CSV where its name ends so.

    Args:
        path: the file.
        budget: judges the answers; questions without one count as its `expire_ns`.

    Raises:
        BadInput: it is no such file; names the line and the key.
    """
    text = read_text(path, "a log of loops", limit_bytes=MAX_LOG_BYTES)
    rows = _csv_rows(text, str(path)) if path.suffix.lower() == ".csv" else _json_rows(text, path)
    seen: dict[str, str] = {}
    ignored: dict[str, None] = {}
    loops: list[_Loop] = []
    for source, fields in rows:
        ignored |= dict.fromkeys(key for key in fields if key not in KEYS)
        loop = _loop(_checked(fields, source), source)
        if loops and loop.dated != loops[0].dated:
            kinds = ("times as numbers", "times as dates")
            first, found = kinds[loops[0].dated], kinds[loop.dated]
            raise BadInput(source, "", f"{first} as in the lines before", found)
        name = loop.line.question_id
        if name is not None and seen.setdefault(name, source) != source:
            raise BadInput(source, "question_id", "one of its own", f"that of {seen[name]}")
        loops.append(loop)
    if not loops:
        raise BadInput(str(path), "", "a loop a line", "none")
    zero_ns = min(loop.stamps[Stage.INTENDED] for loop in loops)
    records = [_record(loop, number, zero_ns, budget) for number, loop in enumerate(loops)]
    models = {loop.line.model for loop in loops} - {None, ""}
    return LoopLog(
        records,
        sorted(ignored),
        next(iter(models)) or "" if len(models) == 1 else "unknown",
        zero_ns // NS_PER_S if loops[0].dated else 0,
        max(max(record.stamps.values()) for record in records),
    )


@dataclass(frozen=True, slots=True)
class _Loop:
    """A line that holds together; times are ns on its own clock."""

    line: LoopLine
    stamps: dict[Stage, int]
    dated: bool
    source: str


def _json_rows(text: str, path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            source = f"{path}: line {number}"
            fields = parse_json(line, source)
            if not isinstance(fields, dict):
                raise BadInput(source, "", "a JSON object", repr(fields)[:80])
            yield source, fields


def _csv_rows(text: str, source: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows of a CSV file (RFC 4180) whose first names the fields; empty ones are left out."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    names: list[str] | None = None
    try:
        for row in reader:
            if not any(cell.strip() for cell in row):
                continue
            place = f"{source}: line {reader.line_num}"
            if names is None:
                names = [cell.strip() for cell in row]
                for at, name in enumerate(names):
                    if name in names[:at]:
                        raise BadInput(place, name, "each column once", "it twice")
                continue
            if len(row) != len(names):
                raise BadInput(place, "", f"{len(names)} values as in line 1", str(len(row)))
            yield place, _nested(dict(zip(names, row, strict=True)), place)
    except csv.Error as error:
        raise BadInput(f"{source}: line {reader.line_num}", "", "CSV", str(error)) from None


def _nested(cells: dict[str, str], source: str) -> dict[str, Any]:
    """A row's values as the fields of a line: JSON where a field is no text, columns of stamps as
    their table."""
    fields: dict[str, Any] = {}
    for name, cell in cells.items():
        prefix, _, stage = name.partition(".")
        if not cell.strip():
            continue
        if prefix == STAMPS and stage:
            fields.setdefault(STAMPS, {})[stage] = cell.strip()
        elif cell.lstrip()[:1] in "[{" and name in KEYS and KEYS[name] not in TEXTS:
            fields[name] = parse_json(cell, f"{source}: {name}")
        else:
            fields[name] = cell if KEYS.get(name) in TEXTS else cell.strip()
    return fields


TEXTS = ("question", "expected", "answer", "reason", "detail")
"""Fields of a line that are taken as they stand."""


def _checked(fields: dict[str, Any], source: str) -> LoopLine:
    try:
        return LoopLine.model_validate(fields)
    except ValidationError as error:
        raise bad_config(error, source) from None


def _loop(line: LoopLine, source: str) -> _Loop:
    """The line with its times; they must follow each other."""
    stamps = dict(line.stamps_ns or {})
    keys = {stage: f"{STAMPS}.{stage.value}" for stage in stamps}
    dated = False
    for name, stage in EVENTS.items():
        given = {
            key: value
            for key in (f"{name}_s", f"{name}_ns", name)
            if (value := getattr(line, key)) is not None
        }
        if stage in stamps:
            given[keys[stage]] = stamps[stage]
        if len(given) > 1:
            raise BadInput(source, name, "one time", " and ".join(given))
        for key, value in given.items():
            keys[stage], stamps[stage] = key, _ns(value)
            dated = dated or isinstance(value, datetime)
    if dated and any(not isinstance(getattr(line, key, None), datetime) for key in keys.values()):
        raise BadInput(source, "", "times as dates alone, or as numbers alone", "both")
    if Stage.INTENDED not in stamps:
        if Stage.SUBMITTED not in stamps:
            expected = "when it was intended or sent (intended_s, intended_ns, intended, sent_s, …)"
            raise BadInput(source, "", expected, "neither")
        keys[Stage.INTENDED] = keys[Stage.SUBMITTED]
        stamps[Stage.INTENDED] = stamps.pop(Stage.SUBMITTED)
    before = Stage.INTENDED
    for stage in STAGES:
        if stage in stamps:
            if stamps[stage] < stamps[before]:
                expected = f"a time at or after {keys[before]}"
                early_s = (stamps[before] - stamps[stage]) / NS_PER_S
                raise BadInput(source, keys[stage], expected, f"one {early_s:.9g} s earlier")
            before = stage
    _check_outcome(line, Stage.ANSWERED in stamps, source)
    return _Loop(line, stamps, dated, source)


def _ns(value: object) -> int:
    if isinstance(value, datetime):
        return (value - EPOCH) // timedelta(microseconds=1) * 1000
    if isinstance(value, float):
        return s_to_ns(value)
    assert isinstance(value, int)
    return value


def _check_outcome(line: LoopLine, answered: bool, source: str) -> None:
    without = line.outcome in (Outcome.REFUSED, Outcome.EXPIRED)
    if line.outcome is not None and without == answered:
        time = "an answered time" if answered else "no answered time"
        expected = "on_time, late or partial" if answered else "refused or expired"
        raise BadInput(source, "outcome", f"{expected} for a loop with {time}", line.outcome.value)


def _record(loop: _Loop, number: int, zero_ns: int, budget: Budget) -> LoopRecord:
    line = loop.line
    stamps = {stage: at_ns - zero_ns for stage, at_ns in loop.stamps.items()}
    intended_ns = stamps[Stage.INTENDED]
    last_ns = max(stamps.values())
    if last_ns > MAX_NS:
        expected = f"times within {MAX_NS / NS_PER_S:.0f} s of the first question"
        raise BadInput(loop.source, "", expected, f"one after {last_ns / NS_PER_S:.0f} s")
    answered_ns = stamps.get(Stage.ANSWERED)
    if answered_ns is None:
        outcome = line.outcome or Outcome.EXPIRED
        reason = line.reason or outcome.value
    else:
        partial = line.outcome is Outcome.PARTIAL
        outcome, reason = budget.judge(answered_ns - intended_ns, partial=partial), ""
    if line.in_contact_ns is not None and line.in_contact_ns > last_ns - intended_ns:
        found = f"{line.in_contact_ns} of {last_ns - intended_ns}"
        raise BadInput(loop.source, "in_contact_ns", "no more than the loop", found)
    ended_ns = intended_ns + budget.expire_ns if answered_ns is None else answered_ns
    session = line.downlink_session
    record = LoopRecord(
        _id_of(line.question_id, number),
        Planned(
            number if line.index is None else line.index,
            intended_ns,
            line.question or "",
            line.expected,
            turns=tuple(Turn(text, answer) for text, answer in line.turns or ()),
            after=None if line.after is None else int(line.after, 16),
            rule=line.rule or "",
        ),
        outcome,
        reason,
        in_order(stamps),
        min(ended_ns if line.settled_ns is None else max(0, line.settled_ns - zero_ns), MAX_NS),
        line.in_contact_ns if answered_ns is not None else None,
        line.split or "estimate",
        min(line.split_uncertainty_ns or 0, MAX_NS),
        answer=line.answer,
        thoughts=line.thoughts or "",
        exposed=bool(line.exposed),
        seen=tuple(
            Seen(one.what, one.age_ms, bytes.fromhex(one.sha256), one.bytes)
            for one in line.seen or ()
        ),
        model=line.response_model or "",
        model_sha256=line.model_sha256 or "",
        detail=line.detail or "",
        finish_reason=(line.finish_reasons or ("",))[0],
        spent_mj=line.node_spent_mj or 0,
        prompt_tokens=line.input_tokens or 0,
        output_tokens=line.output_tokens or 0,
        node_rss_peak_bytes=line.node_rss_peak_bytes or 0,
        uplink_sessions=tuple(SessionId(*numbers) for numbers in line.uplink_sessions or ()),
        downlink_session=SessionId(*session) if session else None,
        graded=line.correct if line.expected is None and answered_ns is not None else None,
    )
    if line.node_ns is not None:
        times = NodeTimes(*line.node_ns, line.node_delivered_us, line.node_called_ns)
        if not times.started_ns <= times.first_token_ns <= times.finished_ns <= MAX_NS:
            raise BadInput(loop.source, "node_ns", "three times in order", str(line.node_ns))
        called_ns = times.called_ns
        if called_ns is not None and not times.started_ns <= called_ns <= times.first_token_ns:
            expected = "a time between the first two of node_ns"
            raise BadInput(loop.source, "node_called_ns", expected, str(called_ns))
        record = replace(record, node_times=times)
    if line.expected_at_ns is not None:
        record = replace(record, expected_at_ns=max(0, line.expected_at_ns - zero_ns))
    return record


def _id_of(question_id: str | None, number: int) -> int:
    """Ours as it is; another's is numbered."""
    ours = question_id is not None and len(question_id) == 16
    if ours and question_id is not None and not set(question_id) - set("0123456789abcdef"):
        return int(question_id, 16)
    return number
