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
    outer, at = _open(payload, 0, 2)
    kind, at = cbor.read_uint(payload, at)
    if kind != _STATUS_REPORT:
        raise BundleError(at, "a status report (1)", str(kind))
    inner, at = _open(payload, at, 4, 6)
    asserted, at = _assertions(payload, at)
    reason, at = cbor.read_uint(payload, at)
    source, at = read_eid(payload, at)
    pair_open, at = cbor.open_pair(payload, at)
    creation_ms, at = cbor.read_uint(payload, at)
    sequence, at = cbor.read_uint(payload, at)
    if pair_open:
        at = cbor.close_array(payload, at)
    offset: int | None = None
    elements = 4
    if cbor.has_item(payload, at, inner, elements):
        offset, at = cbor.read_uint(payload, at)
        _, at = cbor.read_uint(payload, at)
        elements = 6
    at = _end(payload, at, inner, elements)
    at = _end(payload, at, outer, 2)
    if at != len(payload):
        raise BundleError(at, "end of data", f"{len(payload) - at} more bytes")
    return StatusReport(BundleId(source, creation_ms, sequence, offset), asserted, reason)


def _assertions(payload: bytes, at: int) -> tuple[dict[str, int], int]:
    """The four status items; there may be more, which mean nothing here."""
    count, after = cbor.open_array(payload, at)
    asserted: dict[str, int] = {}
    taken = 0
    while cbor.has_item(payload, after, count, taken):
        said, at_ms, after = _assertion(payload, after)
        if said and taken < len(_ASSERTIONS):
            asserted[_ASSERTIONS[taken]] = at_ms
        taken += 1
    if taken < len(_ASSERTIONS):
        raise BundleError(at, f"at least {len(_ASSERTIONS)} status items", str(taken))
    return asserted, cbor.end_array(payload, after, count)


def _assertion(payload: bytes, at: int) -> tuple[bool, int, int]:
    count, after = _open(payload, at, 1, 2)
    if after >= len(payload) or payload[after] not in (_FALSE, _TRUE):
        raise BundleError(after, "true or false", cbor.describe(payload, after))
    said, after = payload[after] == _TRUE, after + 1
    at_ms, elements = 0, 1
    if said and cbor.has_item(payload, after, count, elements):
        at_ms, after = cbor.read_uint(payload, after)
        elements = 2
    return said, at_ms, _end(payload, after, count, elements)


def _open(payload: bytes, at: int, *counts: int) -> tuple[int, int]:
    """Open an array of one of these counts, or an indefinite one."""
    count, after = cbor.open_array(payload, at)
    if count not in (*counts, cbor.INDEFINITE):
        raise BundleError(at, f"array of {' or '.join(map(str, counts))}", str(count))
    return count, after


def _end(payload: bytes, at: int, count: int, elements: int) -> int:
    """Step behind an array that has so many elements, and no more."""
    if count not in (elements, cbor.INDEFINITE):
        raise BundleError(at, f"array of {elements}", f"array of {count}")
    return cbor.end_array(payload, at, count)
