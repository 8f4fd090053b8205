"""What a modem and its user say to each other over a ZeroMQ socket: two-part messages, [kind,
body].

The user (ground or node) says HELLO until it is answered; FRAME carries one LTP segment either way;
CARRIER is the modem's cue that a direction opened or closed, and carries the plan's clock.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

import cbor2

from roundtrip.errors import BadMessage

HELLO = b"H"
FRAME = b"F"
CARRIER = b"C"


class Side(enum.Enum):
    """Who uses the modem."""

    GROUND = "ground"
    NODE = "node"


@dataclass(frozen=True, slots=True)
class Carrier:
    """A modem's cue: what its user can send and hear from now on."""

    tx_up: bool
    """Frames handed to the modem now go out."""
    rx_up: bool
    """The other end's signal is there."""
    tx_rate_bps: int
    rx_rate_bps: int
    one_way_ns: int
    """Propagation delay to the other end."""
    mtu_bytes: int
    """Largest frame that the modem takes."""
    elapsed_ns: int
    """The plan's clock when the cue was sent."""
    origin_ns: int
    """The modem's CLOCK_MONOTONIC at the plan's zero; means something only on the host `host`."""
    host: str
    """Boot id of the modem's host; empty in virtual time."""


def encode_carrier(cue: Carrier) -> bytes:
    """The cue as a CBOR array, in the order of its fields."""
    return cbor2.dumps([getattr(cue, name) for name in Carrier.__slots__], canonical=True)


def decode_carrier(body: bytes) -> Carrier:
    """The cue in `body`.

    Raises:
        BadMessage: not a carrier cue.
    """
    try:
        fields = cbor2.loads(body)
    except Exception as error:  # noqa: BLE001 - cbor2 documents no closed set of errors
        raise BadMessage("carrier cue", "", "CBOR", type(error).__name__) from None
    types = [bool, bool, int, int, int, int, int, int, str]
    if not isinstance(fields, list) or [type(field) for field in fields] != types:
        raise BadMessage("carrier cue", "", "nine fields of known types", type(fields).__name__)
    cue = Carrier(*fields)
    positive = (cue.tx_rate_bps, cue.rx_rate_bps, cue.mtu_bytes)
    if min(positive) < 1 or cue.one_way_ns < 0 or max(abs(f) for f in fields[2:8]) >= 1 << 63:
        raise BadMessage("carrier cue", "", "positive rates and MTU, 64-bit numbers", "others")
    return cue
