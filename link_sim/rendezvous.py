"""Who is at the modems, and which run is theirs. Pure.

A run starts when both sides are there, at the ground's clock and date: zero for a new run, or where
it was for one that outlived a relay. A side has its place until it is silent for SILENT_NS; whoever
else comes before that is told that it is busy.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from roundtrip.modem import Hello, Side
from roundtrip.units import NS_PER_MS

SILENT_NS = 2_000_000_000
"""Ten greetings missed."""


class Answer(enum.Enum):
    """What to tell whoever said hello."""

    NOTHING = "nothing"
    CUE = "cue"
    """How its side of the link stands."""
    BUSY = "busy"


@dataclass(frozen=True, slots=True)
class Start:
    """Start a run, with the plan's clock at `elapsed_ns`."""

    run_id: int
    elapsed_ns: int
    dtn_epoch_ms: int
    """DTN time at the plan's zero; 0: the ground does not know it."""


@dataclass(frozen=True, slots=True)
class _Place:
    peer: bytes
    hello: Hello
    heard_ns: int


class Rendezvous:
    """Both sides' places."""

    def __init__(self) -> None:
        self._places: dict[Side, _Place] = {}
        self._run_id: int | None = None

    def peer(self, side: Side) -> bytes | None:
        """Who has a side's place."""
        place = self._places.get(side)
        return None if place is None else place.peer

    def hello(self, side: Side, peer: bytes, hello: Hello, *, now_ns: int) -> Answer | Start:
        """Somebody said hello; a ground without a run is not heard."""
        if side is Side.GROUND and hello.run_id is None:
            return Answer.NOTHING
        before = self._places.get(side)
        newcomer = before is None or before.peer != peer
        if newcomer and self._is_there(side, now_ns):
            return Answer.BUSY
        self._places[side] = _Place(peer, hello, now_ns)
        run = self._places[Side.GROUND].hello if Side.GROUND in self._places else None
        if run is not None and run.run_id is not None and run.run_id != self._run_id:
            if not all(self._is_there(each, now_ns) for each in Side):
                return Answer.NOTHING
            self._run_id = run.run_id
            return _start(run.run_id, run, now_ns - self._places[Side.GROUND].heard_ns)
        if self._run_id is None:
            return Answer.NOTHING
        if side is Side.GROUND:
            has_cue = hello.elapsed_ns is not None
        else:
            has_cue = hello.run_id == self._run_id
        return Answer.CUE if newcomer or not has_cue else Answer.NOTHING

    def _is_there(self, side: Side, now_ns: int) -> bool:
        place = self._places.get(side)
        return place is not None and now_ns - place.heard_ns < SILENT_NS


def _start(run_id: int, ground: Hello, since_ns: int) -> Start:
    """The run of a ground that said hello `since_ns` ago."""
    if ground.elapsed_ns is not None:
        return Start(run_id, ground.elapsed_ns + since_ns, ground.dtn_epoch_ms)
    since_ms = since_ns // NS_PER_MS if ground.dtn_epoch_ms else 0
    return Start(run_id, 0, ground.dtn_epoch_ms + since_ms)
