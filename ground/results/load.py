"""Reads a run's folder back. Its files may have been cut off, damaged or written by others: each is
checked here, once, so that reports and verdicts need not."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ground.results.record import FORMAT, LoopRecord, from_json
from ground.results.summary import SCHEMA_VERSION, Run, summarise
from roundtrip.config import MAX_S, Probability
from roundtrip.errors import BadInput
from roundtrip.files import bad_config, parse_json, read_text
from roundtrip.scenario_file import load_scenario
from roundtrip.stages import Stage, in_order
from roundtrip.units import NS_PER_S

Count = Annotated[int, Field(ge=0, lt=2**63)]
Ns = Annotated[int, Field(ge=0, le=4 * MAX_S * NS_PER_S)]
"""On the plan's clock: a run starts, asks and waits for at most `MAX_S` each."""
RunSeconds = Annotated[float, Field(ge=0, le=4 * MAX_S)]
Session = tuple[Count, Count]


class _Line(BaseModel):
    """What `from_json` reads of a line of `loops.jsonl`."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)

    format: Literal["groundloop-loop/1"] = FORMAT
    question_id: Annotated[str, Field(pattern="^[0-9a-f]{16}$")]
    index: Count
    question: str
    expected: str | None = None
    outcome: str
    reason: str
    stamps_ns: dict[Stage, Ns]
    settled_ns: Ns
    in_contact_ns: Ns | None
    split: str
    split_uncertainty_ns: Ns
    uplink_sessions: tuple[Session, ...]
    downlink_session: Session | None
    node_ns: tuple[Ns, Ns, Ns] | None = None
    node_called_ns: Ns | None = None
    node_delivered_us: Count | None = None
    answer: str | None = None
    correct: bool | None = None
    exposed: bool = False
    detail: str = ""
    node_rss_peak_bytes: Count = 0
    node_spent_mj: Count = 0
    response_model: str = Field("", alias="gen_ai.response.model")
    model_sha256: str = ""
    input_tokens: Count = Field(0, alias="gen_ai.usage.input_tokens")
    output_tokens: Count = Field(0, alias="gen_ai.usage.output_tokens")
    finish_reasons: Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        ("",), alias="gen_ai.response.finish_reasons"
    )


class _HeldUp(BaseModel):
    """What waited for frames of uploads."""

    frames: Count
    s: RunSeconds
    most_s: RunSeconds


class _Bulk(BaseModel):
    """What uploads took of one direction."""

    frames: Count
    bytes: Count
    air_s: RunSeconds
    held_up: _HeldUp


class _Frames(BaseModel):
    """One direction of a summary's `link`."""

    frames: Count
    bytes: Count
    dropped: dict[str, Count]
    bulk: _Bulk | None = None


class _Layers(BaseModel):
    """One direction of a summary's `air`, see `ground.air`."""

    text: Count
    message: Count
    upload: Count = 0
    bundle: Count
    security: Count
    segments: Count
    control: Count
    repeats: Count
    unfinished: Count
    total: Count
    raw_text: Count


class _Air(BaseModel):
    """A summary's `air`."""

    up: _Layers
    down: _Layers


class _Charge(BaseModel):
    """What is read of a summary's `energy`."""

    charge: tuple[tuple[RunSeconds, Probability], ...]


class _Upload(BaseModel):
    """A summary's `upload`."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    name: str
    bytes: Count
    state: str
    sent_bytes: Count
    passes: Count
    began_s: RunSeconds
    whole_s: RunSeconds | None
    flies_s: RunSeconds | None


class _Summary(BaseModel):
    """What is read of `summary.json` besides what follows from the loops."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)

    schema_version: Annotated[int, Field(ge=SCHEMA_VERSION, le=SCHEMA_VERSION)]
    seed: Annotated[int, Field(ge=0, lt=2**63)]
    mode: str
    length_s: RunSeconds
    interrupted: bool
    rejected: dict[str, Count]
    node: dict[str, float | int | str | bool | dict[str, int | None] | None]
    link: dict[Literal["uplink", "downlink"], _Frames] | None
    energy: _Charge | None
    air: _Air | None = None
    upsets: dict[str, Count] | None = None
    real_engine: bool = False
    upload: _Upload | None = None


def load_run(folder: Path) -> tuple[Run, dict[str, Any]]:
    """The run in a folder, and its summary.

    Raises:
        BadInput: a file is missing, or not one that a run writes.
    """
    path = folder / "summary.json"
    summary = parse_json(read_text(path, "a file of a run"), str(path))
    known = _checked(_Summary, summary, str(path))
    path = folder / "loops.jsonl"
    records = [
        _record(line, f"{path}: line {number}")
        for number, line in enumerate(read_text(path, "a file of a run").split("\n"), 1)
        if line
    ]
    charge = known.energy.charge if known.energy is not None else ()
    run = Run(
        load_scenario(folder / "scenario.toml"),
        known.seed,
        known.mode,
        records,
        None,
        None,
        0,
        known.length_s,
        known.interrupted,
        known.rejected,
        [(round(at_s * 1e9), round(share * 1000)) for at_s, share in charge],
        None if known.air is None else known.air.model_dump(),
        upsets=known.upsets,
        real_engine=known.real_engine,
        upload=None if known.upload is None else known.upload.model_dump(),
    )
    again = summarise(run)
    for way in (summary.get("air") or {}).values():
        way.setdefault("upload", 0)
    for new in (
        "sentence",
        "upsets",
        "real_engine",
        "upload",
    ):  # runs from before they were written
        summary.setdefault(new, again[new])
    _check_alike(summary, again, "", str(folder / "summary.json"))
    return run, summary


def _record(line: str, source: str) -> LoopRecord:
    fields = parse_json(line, source)
    stamps = _checked(_Line, fields, source).stamps_ns
    record = from_json(fields, source)
    if in_order(stamps) != stamps:
        raise BadInput(source, "stamps_ns", "times in the order of the stages", "another")
    if record.answered and Stage.ANSWERED not in stamps:
        expected = "when it was answered"
        raise BadInput(source, "stamps_ns", expected, f"nothing; it is {fields['outcome']}")
    return record


M = TypeVar("M", bound=BaseModel)


def _checked(model: type[M], fields: object, source: str) -> M:
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        raise bad_config(error, source) from None


NOT_OF_THE_LOOPS = ("node", "link", "rejected", "air")
"""Parts of a summary that the loops do not tell; `_Summary` has checked them."""


def _check_alike(found: Any, again: Any, key: str, source: str) -> None:
    """Whether a part of a summary is built as the one that follows from the loops.

    Raises:
        BadInput: a value is missing, or of another kind.
    """
    if _kind(found) != _kind(again):
        raise BadInput(source, key, _kind(again), repr(found)[:80])
    if not isinstance(again, dict):
        return
    for name in again.keys() - found.keys() or (found.keys() - again.keys() if key else ()):
        raise BadInput(source, f"{key}.{name}".lstrip("."), "a value", "nothing")
    for name, value in again.items():
        if key or name not in NOT_OF_THE_LOOPS:
            _check_alike(found[name], value, f"{key}.{name}".lstrip("."), source)


def _kind(value: object) -> str:
    match value:
        case dict():
            return "a table"
        case list():
            return "a list"
        case str():
            return "a text"
        case None:
            return "null"
        case _:
            return "a number"
