"""How both ends set up the bundle agent over their modem."""

from __future__ import annotations

from dtn.agent import EXPIRED_BY_CLOCK, AgentConfig, Rejected
from dtn.compressed import LIFETIME_STEP_MS
from dtn.ltp.engine import LtpConfig
from roundtrip.modem import Carrier, Side
from roundtrip.units import NS_PER_MS, ms_to_ns
from roundtrip.words import long_duration

ENGINE_IDS = {Side.GROUND: 1, Side.NODE: 2}
ENDPOINTS = {Side.GROUND: "ipn:1.1", Side.NODE: "ipn:2.1"}

PROCESSING_MARGIN_NS = ms_to_ns(200)
"""Part of the LTP timer margin (RFC 5326 §6.5, "additional anticipated latency"): the peer's disk
and scheduler."""

CLOCKS_REMEDY = "set both, or start the end that is wrong with --untrusted-clock"
NO_DATE = "this machine's clock shows a time before 2000; bundles carry no date and go by their age"
MAX_REASONS = 32
"""Of what was not taken, that are told apart; a peer words some of them."""


def agent_config(
    side: Side, cue: Carrier, *, max_bundles: int, shared_clock: bool = True
) -> AgentConfig:
    """The agent's configuration by what the modem says of the link.

    Args:
        side: which end this is.
        cue: the modem's first cue.
        max_bundles: that may wait for the peer at once.
        shared_clock: the modem has told both ends the same date, so it and the peer are ours of
            this version; False: the cue's date is our own, and the peer may be anyone.
    """
    peer = Side.NODE if side is Side.GROUND else Side.GROUND
    return AgentConfig(
        eid=ENDPOINTS[side],
        peer_eid=ENDPOINTS[peer],
        ltp=LtpConfig(
            engine_id=ENGINE_IDS[side],
            peer_engine_id=ENGINE_IDS[peer],
            mtu_bytes=cue.mtu_bytes,
            margin_ns=PROCESSING_MARGIN_NS,
        ),
        dtn_epoch_ms=cue.dtn_epoch_ms or None,
        shared_clock=shared_clock,
        compresses=shared_clock,
        max_queued_bundles=max_bundles,
    )


def lifetime_ms(left_ns: int) -> int:
    """The lifetime of a bundle that matters for some time: rounded up, which takes fewer bytes."""
    step_ns = LIFETIME_STEP_MS * NS_PER_MS
    return max(1, -(-left_ns // step_ns)) * LIFETIME_STEP_MS


OTHER_RELEASE = "message of another release"


def reason_of(rejected: Rejected) -> str:
    """Why something was not taken, in few different words, for counting."""
    return f"security: {rejected.detail}" if rejected.reason == "security" else rejected.reason


def remedy_of(reason: str) -> str:
    """What an operator can do where something was not taken; empty where nothing is wrong."""
    if reason == EXPIRED_BY_CLOCK:
        return CLOCKS_REMEDY
    if reason == OTHER_RELEASE:
        return "install the same groundloop at both ends"
    if reason == "no age":
        return "a sender without a clock must give the age of its bundles, or this end needs one"
    if reason.startswith("security"):
        return "do both ends have the same key file? (`groundloop keys show`)"
    return ""


def with_remedy(reason: str) -> str:
    """Why something was not taken, and what to do, for a line that says so."""
    return f"{reason}; {remedy}" if (remedy := remedy_of(reason)) else reason


def clocks_differ(peer: Side, ahead_ms: int) -> str:
    """A line on a peer's clock that is `ahead_ms` ahead of ours, or behind."""
    way = "ahead of" if ahead_ms > 0 else "behind"
    return f"the {peer.value}'s clock is {long_duration(abs(ahead_ms))} {way} this machine's"
