"""What the bundle agent is told once, and what it tells its owner: configuration and outputs.

Plain data; nothing here decides. Identities and lifetimes as in RFC 9171.
"""

from __future__ import annotations

from dataclasses import dataclass

from dtn.bpv7.bundle import Bundle, BundleId
from dtn.bpv7.eid import encode_eid
from dtn.bpv7.status import StatusReport
from dtn.ltp.notices import LtpConfig, ReceiveCancelled, Rejected
from dtn.ltp.segment import SessionId


@dataclass(frozen=True, slots=True)
class AgentConfig:
    """Who we are, who the peer is, and the limits.

    Raises:
        ValueError: an endpoint id or a limit is wrong.
    """

    eid: str
    """Our endpoint, such as `ipn:10.1`: source of what we send, destination of what we take."""
    peer_eid: str
    ltp: LtpConfig
    dtn_epoch_ms: int | None
    """DTN time (milliseconds since 2000-01-01 UTC) when `now_ns` is 0; None: the time is not known
    here, and bundles go by their age."""
    shared_clock: bool = True
    """The peer has the time from the same source; else its clock may show anything."""
    hop_limit: int = 4
    compresses: bool = False
    """Whether the peer is known to be one of ours of this version, which expands compressed
    bundles; else that shows when one comes from it."""
    max_queued_bundles: int = 1024
    """Most bundles not yet acknowledged."""
    max_seen: int = 65_536
    """Most identities the duplicate filter keeps."""
    pace_ahead_ns: int | None = None
    """How far the modelled transmitter may be ahead of now when another frame is handed out; None
    for the time one MTU takes."""

    def __post_init__(self) -> None:
        encode_eid(self.eid)
        encode_eid(self.peer_eid)
        if not 1 <= self.hop_limit <= 255:
            raise ValueError(f"hop_limit {self.hop_limit} is not in 1..255")
        if min(self.max_queued_bundles, self.max_seen) < 1:
            raise ValueError("limits must be positive")
        if self.dtn_epoch_ms is not None and self.dtn_epoch_ms <= 0:
            raise ValueError(f"dtn_epoch_ms {self.dtn_epoch_ms} must be positive, or None")


@dataclass(frozen=True, slots=True)
class Transmit:
    """Give this frame to the transmitter now."""

    frame: bytes
    priority: int
    """Of the bundle that it is of; 0 also for what LTP itself has to say."""


@dataclass(frozen=True, slots=True)
class BundleReceived:
    """A bundle for us that was not seen before. Put it on disk, then call `accept`."""

    bundle: Bundle
    session: SessionId
    received_ns: int
    age_ms: int
    """Since it was made, as far as its age block and a shared clock say."""
    block_bytes: int
    """Of the LTP block that brought it."""


@dataclass(frozen=True, slots=True)
class DuplicateReceived:
    """A bundle came again, whole. If it was answered, the answer may be lost."""

    bundle_id: BundleId
    session: SessionId


@dataclass(frozen=True, slots=True)
class TransmissionStarted:
    """The first frame of a bundle leaves; again, with another session, when one has failed."""

    bundle_id: BundleId
    session: SessionId
    at_ns: int
    """When its first bit leaves, which may be a little later than now."""
    block_bytes: int
    """Of the session's block."""


@dataclass(frozen=True, slots=True)
class SentOnce:
    """A bundle that goes once has left, whether it arrives or not, or its lifetime is over."""

    bundle_id: BundleId


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The peer has accepted the bundle; it may be forgotten here."""

    bundle_id: BundleId
    session: SessionId
    at_ns: int


@dataclass(frozen=True, slots=True)
class Expired:
    """The lifetime of a bundle of ours was over before the peer had it; it is dropped."""

    bundle_id: BundleId


@dataclass(frozen=True, slots=True)
class Damaged:
    """A bundle of ours is not as it was made any more, before it had a session; it is dropped."""

    bundle_id: BundleId


@dataclass(frozen=True, slots=True)
class SessionFailed:
    """A session ended in vain; its bundle waits for another."""

    bundle_id: BundleId
    session: SessionId
    reason: str


@dataclass(frozen=True, slots=True)
class QueueFull:
    """A bundle was not taken, as this many wait already."""

    limit: int


@dataclass(frozen=True, slots=True)
class ClocksDiffer:
    """A bundle shows that the peer's clock is not ours; said once."""

    peer_ahead_ms: int
    """At least so far; negative: behind, by at most so much."""


@dataclass(frozen=True, slots=True)
class StatusReported:
    """Another node says what it did with a bundle of ours. Nothing is done about it here."""

    report: StatusReport


@dataclass(frozen=True, slots=True)
class SeenForgotten:
    """The duplicate filter dropped this many identities before their time, being full."""

    count: int


AgentOutput = (
    Transmit
    | BundleReceived
    | DuplicateReceived
    | TransmissionStarted
    | SentOnce
    | Acknowledged
    | Expired
    | Damaged
    | SessionFailed
    | QueueFull
    | SeenForgotten
    | ClocksDiffer
    | StatusReported
    | ReceiveCancelled
    | Rejected
)
