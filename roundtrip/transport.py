"""How both ends set up the bundle agent over their modem."""

from __future__ import annotations

from dtn.agent import AgentConfig, Rejected
from dtn.ltp.engine import LtpConfig
from roundtrip.modem import Carrier, Side
from roundtrip.units import ms_to_ns

ENGINE_IDS = {Side.GROUND: 1, Side.NODE: 2}
ENDPOINTS = {Side.GROUND: "ipn:1.1", Side.NODE: "ipn:2.1"}

PROCESSING_MARGIN_NS = ms_to_ns(200)
"""Part of the LTP timer margin (RFC 5326 §6.5, "additional anticipated latency"): the peer's disk
and scheduler."""


def agent_config(side: Side, cue: Carrier, *, dtn_epoch_ms: int, max_bundles: int) -> AgentConfig:
    """The agent's configuration by what the modem says of the link.

    Args:
        side: which end this is.
        cue: the modem's first cue.
        dtn_epoch_ms: DTN time at the plan's zero.
        max_bundles: that may wait for the peer at once.
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
        dtn_epoch_ms=dtn_epoch_ms,
        max_queued_bundles=max_bundles,
    )


def reason_of(rejected: Rejected) -> str:
    """Why something was not taken, in few different words, for counting."""
    return f"security: {rejected.detail}" if rejected.reason == "security" else rejected.reason
