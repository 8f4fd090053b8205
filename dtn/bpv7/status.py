"""Bundle status reports: what another node says it did with a bundle of ours.

Read only; none is sent. A report that does not decode to the last byte is refused.
Standard: RFC 9171 §6.1.
"""

from __future__ import annotations

from dataclasses import dataclass

from dtn.bpv7 import cbor
from dtn.bpv7.bundle import BundleId
from dtn.bpv7.eid import read_eid
from dtn.errors import BundleError

_STATUS_REPORT = 1
_ASSERTIONS = ("received", "forwarded", "delivered", "deleted")
_FALSE, _TRUE = 0xF4, 0xF5


@dataclass(frozen=True, slots=True)
class StatusReport:
    """One report. The times are DTN time in ms; 0 where the bundle did not ask for them."""

    bundle_id: BundleId
    asserted: dict[str, int]
    """Of "received", "forwarded", "delivered" and "deleted" those that are asserted, and when."""
    reason: int
    """Reason code (RFC 9171 §6.1.1, figure 4)."""


def decode_status_report(payload: bytes) -> StatusReport:
    """The status report in the payload of an administrative record.

    Raises:
        BundleError: another record, or none.
    """
    at = _array(payload, 0, 2)
    kind, at = cbor.read_uint(payload, at)
    if kind != _STATUS_REPORT:
        raise BundleError(at, "a status report (1)", str(kind))
    count, after = cbor.open_array(payload, at)
    if count not in (4, 6):
        raise BundleError(at, "array of 4 or 6", str(count))
    at = _array(payload, after, len(_ASSERTIONS))
    asserted: dict[str, int] = {}
    for name in _ASSERTIONS:
        said, at_ms, at = _assertion(payload, at)
        if said:
            asserted[name] = at_ms
    reason, at = cbor.read_uint(payload, at)
    source, at = read_eid(payload, at)
    at = _array(payload, at, 2)
    creation_ms, at = cbor.read_uint(payload, at)
    sequence, at = cbor.read_uint(payload, at)
    offset: int | None = None
    if count == 6:
        offset, at = cbor.read_uint(payload, at)
        _, at = cbor.read_uint(payload, at)
    if at != len(payload):
        raise BundleError(at, "end of data", f"{len(payload) - at} more bytes")
    return StatusReport(BundleId(source, creation_ms, sequence, offset), asserted, reason)


def _assertion(payload: bytes, at: int) -> tuple[bool, int, int]:
    count, after = cbor.open_array(payload, at)
    if count not in (1, 2):
        raise BundleError(at, "array of 1 or 2", str(count))
    if after >= len(payload) or payload[after] not in (_FALSE, _TRUE):
        raise BundleError(after, "true or false", cbor.describe(payload, after))
    said, after = payload[after] == _TRUE, after + 1
    at_ms = 0
    if count == 2:
        at_ms, after = cbor.read_uint(payload, after)
    return said, at_ms, after


def _array(payload: bytes, at: int, expected: int) -> int:
    count, after = cbor.open_array(payload, at)
    if count != expected:
        raise BundleError(at, f"array of {expected}", str(count))
    return after
