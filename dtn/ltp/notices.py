"""What the LTP engine is told once, and what it tells its client: configuration and notices.

Plain data; nothing here decides. Standard: RFC 5326 §7.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from dtn.ltp.segment import SessionId

NS_PER_S = 1_000_000_000

LEAST_MTU_BYTES = 96
"""Room for the largest data segment header with 64-bit numbers, and some data."""


BUNDLE_PROTOCOL = 1
"""Client service of bundles (RFC 7116 §3.2)."""


@dataclass(frozen=True, slots=True)
class LtpConfig:
    """One engine and its one peer, with a limit on everything.

    Raises:
        ValueError: a value makes no sense.
    """

    engine_id: int
    peer_engine_id: int
    mtu_bytes: int = 1400
    """Largest segment sent."""
    margin_ns: int = 200_000_000
    """What an answer may take besides light time and the frames before it: mostly the peer's disk.
    RFC 5326 §6.5 finds 2 s reasonable; 0.2 s is HDTN's default, and repairs a loss sooner."""
    retry_limit: int = 5
    """How often a checkpoint, report or cancellation is sent again before the session ends."""
    echo_segments: int = 1024
    """How many of a block's last segments are sent a second time when nothing else waits for the
    transmitter, so that a loss at the tail costs no round trip; 0 for none. No more than fit into
    one round trip, but at least the very last one, the checkpoint."""
    checkpoint_bytes: int = 1 << 16
    """Least distance between checkpoints in a long block; on a long link it is half of what is in
    flight."""
    cycle_limit: int = 4096
    """How many reports with gaps (sending) or reports at all (receiving) one session may take."""
    max_tx_sessions: int = 32
    max_rx_sessions: int = 64
    max_block_bytes: int = 64 << 20
    """Largest block sent or received."""
    closed_sessions_kept: int = 1024
    """How many finished receptions are remembered, to answer late checkpoints."""
    client_services: tuple[int, ...] = (BUNDLE_PROTOCOL,)
    """Those that are served; data for another is refused (§6.20)."""

    def __post_init__(self) -> None:
        if self.mtu_bytes < LEAST_MTU_BYTES:
            raise ValueError(f"mtu_bytes {self.mtu_bytes} is below {LEAST_MTU_BYTES}")
        if self.engine_id == self.peer_engine_id:
            raise ValueError(f"engine and peer have the same id {self.engine_id}")
        if self.margin_ns < 0 or self.retry_limit < 0:
            raise ValueError("margin_ns and retry_limit must not be negative")
        least = min(
            self.cycle_limit,
            self.checkpoint_bytes,
            self.max_tx_sessions,
            self.max_rx_sessions,
            self.max_block_bytes,
            self.closed_sessions_kept,
        )
        if least < 1:
            raise ValueError("every limit must be at least 1")


class Leaving(NamedTuple):
    """A frame to transmit."""

    frame: bytes
    session: SessionId | None = None
    """Whose data it has; None for a control segment."""
    before: int = 0
    after: int = 0
    """How much of the block had left for the first time before this frame, and has with it."""

    @property
    def is_first(self) -> bool:
        """Whether the block begins with it."""
        return not self.before and self.after > 0


@dataclass(frozen=True, slots=True)
class BlockReceived:
    """The whole block is here (§7.3); the peer is told once the client has accepted it."""

    session: SessionId
    block: bytes
    received_ns: int
    service: int = BUNDLE_PROTOCOL
    """That it is for."""


@dataclass(frozen=True, slots=True)
class GreenReceived:
    """A green segment came (§7.2): never acknowledged, never sent again."""

    session: SessionId
    offset: int
    data: bytes
    is_end: bool
    """The block ends with it."""
    received_ns: int
    service: int = BUNDLE_PROTOCOL
    """That it is for."""


@dataclass(frozen=True, slots=True)
class BlockAcknowledged:
    """The peer has the whole block (§7.4); the session is closed."""

    session: SessionId


@dataclass(frozen=True, slots=True)
class SendFailed:
    """The session ended before the peer had the block (§7.5)."""

    session: SessionId
    reason: str
    by_peer: bool = False
    """Whether the peer cancelled it."""


@dataclass(frozen=True, slots=True)
class ReceiveCancelled:
    """The session ended before the block was whole (§7.6)."""

    session: SessionId
    reason: str
    by_peer: bool = False
    """Whether the peer cancelled it."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """Something that came in was not used."""

    reason: str
    """One of a few fixed words, to be counted by."""
    detail: str = ""
    """For a log."""


LtpOutput = (
    BlockReceived | GreenReceived | BlockAcknowledged | SendFailed | ReceiveCancelled | Rejected
)


def serialisation_ns(size_bytes: int, rate_bps: int) -> int:
    """How long a transmitter takes for a frame, rounded up; a rate of 0 means no time at all."""
    if not rate_bps:
        return 0
    return -(-size_bytes * 8 * NS_PER_S // rate_bps)
