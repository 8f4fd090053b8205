"""The link's log: what became of every frame, one JSON object a line in `frames.jsonl`.

The link writes it; the ground reads it to split transit between uplink and downlink exactly.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from roundtrip.errors import BadInput

MAX_CUT_OFF = 5
"""Lines that may be cut off in the shortest log: one each time the link was killed."""
HEAD_BYTES = 32
"""How much of each frame the log keeps: enough for an LTP header and a data segment's extent."""


class Fate(enum.Enum):
    """What became of a frame."""

    DELIVERED = "delivered"
    LOST = "lost"
    """By `loss`."""
    BURST = "burst"
    HANDOVER = "handover"
    FADE = "fade"
    CORRUPTED = "corrupted"
    """Some of its bits are wrong. It arrives, unless the modem checks its frames."""
    NO_CONTACT = "no_contact"
    """Handed in while there was no contact, or a planned outage."""
    NO_CARRIER = "no_carrier"
    """Handed in during a cued outage."""
    SILENT_OUTAGE = "silent_outage"
    CUT_OFF = "cut_off"
    """Contact or carrier ended before its last bit was out: on the air, or still in the queue."""
    QUEUE_FULL = "queue_full"
    TOO_LONG = "too_long"
    """Longer than the MTU."""


@dataclass(frozen=True, slots=True)
class FrameFate:
    """One line of the link's log. Times are ns on the plan's clock."""

    direction: str
    """`uplink` or `downlink`."""
    index: int
    """Counts the frames of one direction, from 0."""
    size_bytes: int
    handed_ns: int
    """When the modem got it."""
    tx_start_ns: int | None
    """When its first bit was on the air; None where none ever was."""
    tx_end_ns: int | None
    """When its last bit was, or when it was cut off."""
    arrives_ns: int | None
    """When its last bit reaches the other end; None where it never does."""
    fate: Fate
    head: bytes
    """Its first HEAD_BYTES."""
    bulk: bool = False
    """It is of an upload."""


def to_line(fate: FrameFate) -> str:
    """The log line, without its newline."""
    bulk = ', "bulk": true' if fate.bulk else ""
    return (  # as json.dumps would, in a quarter of the time
        f'{{"direction": "{fate.direction}", "index": {fate.index}, '
        f'"size_bytes": {fate.size_bytes}, "handed_ns": {fate.handed_ns}, '
        f'"tx_start_ns": {_number(fate.tx_start_ns)}, "tx_end_ns": {_number(fate.tx_end_ns)}, '
        f'"arrives_ns": {_number(fate.arrives_ns)}, "fate": "{fate.fate.value}", '
        f'"head": "{fate.head.hex()}"{bulk}}}'
    )


def _number(value: int | None) -> str:
    return "null" if value is None else str(value)


def hour_log(folder: Path, hour: int) -> Path:
    """Where the log of one hour is, counted from the plan's zero, of a link that keeps one each."""
    return folder / f"frames-{hour:06d}.jsonl"


def hourly(folder: Path) -> list[tuple[int, Path]]:
    """The hours of which there are logs in a folder, and where they are."""
    found = folder.glob(f"frames-{'[0-9]' * 6}.jsonl")
    return sorted((int(path.stem.rpartition("-")[2]), path) for path in found)


def read_log(path: Path) -> Iterator[FrameFate]:
    """The fates in a log file, in its order; a line that was cut off is left out.

    Raises:
        BadInput: most lines are no frame's fate.
    """
    good = bad = 0
    with path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            try:
                fields = json.loads(line)
                fields["fate"] = Fate(fields["fate"])
                fields["head"] = bytes.fromhex(fields["head"])
                fate = FrameFate(**fields)
            except (ValueError, KeyError, TypeError):
                bad += bool(line.strip())
                continue
            good += 1
            yield fate
    if bad > max(good, MAX_CUT_OFF):
        raise BadInput(str(path), "", "fates of frames", f"{bad} lines of something else")
