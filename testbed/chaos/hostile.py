"""A virtual run whose link belongs to an enemy, who has every frame and no key."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from typing import Any

from dtn.compressed import SERVICE
from dtn.errors import SegmentError
from dtn.ltp.segment import (
    CancelReason,
    CancelSegment,
    DataSegment,
    Kind,
    ReportAckSegment,
    ReportSegment,
    SessionId,
    decode,
    encode,
)
from link_sim.link import Deliver
from node.service_time import Profile
from roundtrip.modem import Side
from roundtrip.rng import substream
from roundtrip.scenario import Scenario
from roundtrip.units import NS_PER_S
from testbed.chaos.faults import Faults
from testbed.chaos.world import ChaosWorld

NO_FAULTS = Faults({"ground": (), "node": (), "link": ()}, (), own_clock=False, lies=False)
RECORDED = 2_000
"""Frames that the enemy keeps of each direction."""
SWALLOWED = 0.1
"""Of all sessions."""
MOST_DELAY_NS = 3 * 3600 * NS_PER_S
SERVICES = (1, SERVICE)
BLOCK_BYTES = (1, 40, 300, 60_000, 1 << 20)


class HostileWorld(ChaosWorld):
    """One such run: nothing dies, the enemy does what an enemy can.

    Args:
        scenario, seed, profile: as of `World`.
        per_frame: hostile frames for each honest one.
        until_ns: from then on the enemy is gone.
        meddles: honest frames are dropped, kept and answered; else they pass untouched.
    """

    def __init__(
        self,
        scenario: Scenario,
        seed: int,
        profile: Profile,
        *,
        per_frame: float = 1.0,
        until_ns: int | None = None,
        meddles: bool = True,
    ) -> None:
        super().__init__(scenario, seed, profile, NO_FAULTS, forged=True)
        self._enemy = substream(seed, "enemy")
        self._per_frame = per_frame
        self._meddles = meddles
        self._until_ns = self.heals_ns if until_ns is None else until_ns
        self._recorded: dict[Side, deque[bytes]] = {side: deque(maxlen=RECORDED) for side in Side}
        self._mine: dict[SessionId, bool] = {}
        self.attempts: Counter[str] = Counter()
        self._forge: dict[str, Callable[[Side], bytes | None]] = {
            "bits flipped": self._flipped,
            "cut": self._cut,
            "spliced": self._spliced,
            "replayed": self._again,
            "session opened": self._opened,
            "block of junk": self._junk,
            "block of another session": self._moved,
            "report of a known session": self._report,
            "report of no session": self._stray_report,
            "cancelled by sender": lambda side: self._cancel(side, Kind.CANCEL_BY_SENDER),
            "cancelled by receiver": lambda side: self._cancel(side, Kind.CANCEL_BY_RECEIVER),
            "report acknowledged": self._report_ack,
            "noise": lambda side: self._enemy.randbytes(self._enemy.randrange(1, 200)),
        }

    def _from_link(self, output: Any) -> None:
        if not isinstance(output, Deliver) or self._clock.now_ns() >= self._until_ns:
            super()._from_link(output)
            return
        rng, side = self._enemy, output.side
        self._recorded[side].append(output.frame)
        if self._meddles and self._swallows(output):
            return
        fate = rng.random() if self._meddles else 1.0
        if fate < 0.05:
            self.attempts["dropped"] += 1
        elif fate < 0.08:
            self._later(output, rng.randrange(MOST_DELAY_NS), "delayed by hours")
        elif fate < 0.15:
            self._later(output, rng.randrange(NS_PER_S), "overtaken")
        else:
            super()._from_link(output)
            if fate < 0.25:
                self._later(output, rng.randrange(NS_PER_S), "doubled")
        hostile = int(self._per_frame) + (rng.random() < self._per_frame % 1)
        for _ in range(hostile):
            name = rng.choice(list(self._forge))
            victim = rng.choice(list(Side))
            frame = self._forge[name](victim)
            if frame:
                self._later(Deliver(victim, frame), rng.randrange(NS_PER_S // 10), name)

    def _swallows(self, deliver: Deliver) -> bool:
        """Whether the enemy keeps a whole session to itself, and thanks the sender for it."""
        segment = _segment(deliver.frame)
        if not isinstance(segment, DataSegment) or segment.kind >= Kind.GREEN:
            return False
        if segment.session not in self._mine:
            self._mine[segment.session] = self._enemy.random() < SWALLOWED
        if not self._mine[segment.session]:
            return False
        if segment.checkpoint:
            end = segment.offset + len(segment.data)
            thanks = ReportSegment(segment.session, 1, segment.checkpoint, end, 0, ((0, end),))
            sender = Side.NODE if deliver.side is Side.GROUND else Side.GROUND
            self._later(Deliver(sender, encode(thanks)), 0, "session swallowed")
        return True

    def _later(self, deliver: Deliver, after_ns: int, name: str) -> None:
        self.attempts[name] += 1
        give = super()._from_link
        self._clock.call_at(self._clock.now_ns() + after_ns, lambda: give(deliver))

    # -- what is forged --------------------------------------------------------------------------

    def _known(self, side: Side) -> bytes | None:
        frames = self._recorded[side]
        return self._enemy.choice(frames) if frames else None

    def _again(self, side: Side) -> bytes | None:
        return self._known(side)

    def _flipped(self, side: Side) -> bytes | None:
        frame = bytearray(self._known(side) or b"")
        for _ in range(self._enemy.choice((1, 1, 2, 8))):
            if frame:
                frame[self._enemy.randrange(len(frame))] ^= 1 << self._enemy.randrange(8)
        return bytes(frame)

    def _cut(self, side: Side) -> bytes | None:
        frame = self._known(side)
        return frame and frame[: self._enemy.randrange(len(frame))]

    def _spliced(self, side: Side) -> bytes | None:
        one, other = self._known(side), self._known(self._enemy.choice(list(Side)))
        if one is None or other is None:
            return None
        return one[: self._enemy.randrange(len(one))] + other[self._enemy.randrange(len(other)) :]

    def _session(self, side: Side) -> SessionId | None:
        """One whose blocks, or reports, go to that side."""
        frame = self._known(side)
        return None if frame is None else _session_of(frame)

    def _of_own(self, side: Side) -> SessionId | None:
        """A session whose sender that side is: it hears the reports."""
        other = Side.NODE if side is Side.GROUND else Side.GROUND
        frame = self._known(other)
        return None if frame is None else _session_of(frame)

    def _opened(self, _: Side) -> bytes:
        rng = self._enemy
        session = SessionId(rng.choice((1, 2, 977)), rng.getrandbits(32))
        offset = rng.choice((0, rng.choice(BLOCK_BYTES)))
        data = rng.randbytes(rng.randrange(1, 80))
        kind = rng.choice((Kind.RED, Kind.RED_CHECKPOINT, Kind.GREEN))
        serial = rng.getrandbits(14) if kind == Kind.RED_CHECKPOINT else 0
        return encode(DataSegment(kind, session, rng.choice(SERVICES), offset, data, serial))

    def _junk(self, _: Side) -> bytes:
        rng = self._enemy
        session = SessionId(rng.choice((1, 2)), rng.getrandbits(32))
        data = rng.randbytes(rng.randrange(1, 200))
        return encode(DataSegment(Kind.RED_END_OF_BLOCK, session, rng.choice(SERVICES), 0, data, 7))

    def _moved(self, side: Side) -> bytes | None:
        """A genuine block in a session of the enemy's, or one of the other direction."""
        frame = self._known(self._enemy.choice(list(Side)))
        segment = None if frame is None else _segment(frame)
        if not isinstance(segment, DataSegment):
            return None
        session = SessionId(segment.session.originator, self._enemy.getrandbits(32))
        return encode(
            DataSegment(Kind.RED_END_OF_BLOCK, session, segment.service, 0, segment.data, 7)
        )

    def _report(self, side: Side) -> bytes | None:
        """All is here, says the enemy."""
        session = self._of_own(side)
        if session is None:
            return None
        size = self._enemy.choice((20, 60, 100, 300, 2_000, self._enemy.randrange(1, 4_000)))
        serial = self._enemy.choice((1, self._enemy.getrandbits(14)))
        return encode(ReportSegment(session, serial, serial, size, 0, ((0, size),)))

    def _stray_report(self, _: Side) -> bytes:
        session = SessionId(self._enemy.choice((1, 2)), self._enemy.getrandbits(32))
        return encode(ReportSegment(session, 9, 9, 300, 0, ((0, 300),)))

    def _cancel(self, side: Side, kind: Kind) -> bytes | None:
        find = self._session if kind is Kind.CANCEL_BY_SENDER else self._of_own
        session = find(side)
        if session is None:
            return None
        return encode(CancelSegment(kind, session, self._enemy.choice(list(CancelReason))))

    def _report_ack(self, side: Side) -> bytes | None:
        session = self._session(side)
        if session is None:
            return None
        return encode(ReportAckSegment(session, self._enemy.randrange(1, 1 << 15)))


def _segment(frame: bytes) -> Any:
    try:
        return decode(frame)
    except SegmentError:
        return None


def _session_of(frame: bytes) -> SessionId | None:
    segment = _segment(frame)
    return None if segment is None else segment.session
