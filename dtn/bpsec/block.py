"""The abstract security block: what integrity and confidentiality blocks hold, to and from bytes.

Also the parts that both security contexts share: which headers a signature or a tag covers besides
its target, and in what form. Written and read in the one deterministic form; it must never accept
another, nor read a value that is no integer and no byte string.
Standard: RFC 9172 §3.6 and §4; RFC 9173 §3.3.3, §3.7, §4.3.4 and §4.7.2.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from dtn.bpv7 import cbor
from dtn.bpv7.blocks import (
    DELETE_BUNDLE_IF_UNPROCESSED,
    DISCARD_BLOCK_IF_UNPROCESSED,
    REPLICATE_BLOCK,
    REPORT_IF_UNPROCESSED,
    CanonicalBlock,
)
from dtn.bpv7.eid import encode_eid, read_eid_as_written
from dtn.errors import BundleError

BIB = 11
"""Block type of a block integrity block."""
BCB = 12
"""Block type of a block confidentiality block."""
PRIMARY_NUMBER = 0
"""How a security block names the primary block as its target."""

COVER_PRIMARY = 0x01
COVER_TARGET_HEADER = 0x02
COVER_SECURITY_HEADER = 0x04
COVER_ALL = 0x07
"""Scope flags: what is covered besides the target's data (RFC 9173 §3.3.3, §4.3.4)."""

MAX_TARGETS = 32
"""Most targets one security block may have here; the standard sets no limit."""
MAX_VALUES = 16
"""Most parameters, or results of one target."""

_HAS_PARAMETERS = 0x01
_MAX_SCOPE = 0xFFFF
_ASSIGNED_FLAGS = (
    REPLICATE_BLOCK
    | REPORT_IF_UNPROCESSED
    | DELETE_BUNDLE_IF_UNPROCESSED
    | DISCARD_BLOCK_IF_UNPROCESSED
)

Value = int | bytes
"""What the two contexts of RFC 9173 use as parameters and results."""
Values = tuple[tuple[int, Value], ...]
"""Pairs of an id and a value."""


@dataclass(frozen=True, slots=True)
class SecurityBlock:
    """An abstract security block (RFC 9172 §3.6)."""

    targets: tuple[int, ...]
    """Block numbers; 0 is the primary block."""
    context: int
    """Security context: 1 for BIB-HMAC-SHA2, 2 for BCB-AES-GCM (RFC 9173 §5.1)."""
    source: str
    """The endpoint id of the node that added the block."""
    parameters: Values
    results: tuple[Values, ...]
    """One entry for each target, in the same order."""


def encode_security(block: SecurityBlock) -> bytes:
    """Encode an abstract security block.

    Raises:
        ValueError: no target, or not one entry of results for each.
    """
    if not block.targets or len(block.targets) != len(block.results):
        raise ValueError(f"{len(block.results)} results for {len(block.targets)} targets")
    uint, head = cbor.uint, cbor.head
    parts = [head(4, len(block.targets)), *[uint(number) for number in block.targets]]
    parts += [uint(block.context), uint(_HAS_PARAMETERS if block.parameters else 0)]
    parts.append(encode_eid(block.source))
    if block.parameters:
        _write_values(parts, block.parameters)
    parts.append(head(4, len(block.results)))
    for values in block.results:
        _write_values(parts, values)
    return b"".join(parts)


def decode_security(data: bytes) -> SecurityBlock:
    """Decode the data of an integrity or confidentiality block.

    Raises:
        BundleError: the bytes are anything else; the offset counts within them.
    """
    count, at = _open_array(data, 0, MAX_TARGETS)
    targets: list[int] = []
    for _ in range(count):
        number, after = cbor.read_uint(data, at)
        if number in targets:
            raise BundleError(at, "each target once", f"block {number} again")
        targets.append(number)
        at = after
    context, at = cbor.read_uint(data, at)
    flags, at = cbor.read_uint(data, at)
    source_at = at
    source, numbers, at = read_eid_as_written(data, at)
    if data[source_at:at] != encode_eid(source, numbers=numbers):
        raise BundleError(source_at, "deterministic encoding", "another form of the endpoint id")
    parameters: Values = ()
    if flags & _HAS_PARAMETERS:
        parameters, at = _read_values(data, at)
    results_at = at
    count, at = _open_array(data, at, MAX_TARGETS)
    if count != len(targets):
        raise BundleError(results_at, f"results for {len(targets)} targets", str(count))
    results: list[Values] = []
    for _ in range(count):
        values, at = _read_values(data, at, least=0)
        results.append(values)
    if at != len(data):
        raise BundleError(at, "end of the security block", f"{len(data) - at} more bytes")
    return SecurityBlock(tuple(targets), context, source, parameters, tuple(results))


def signs_primary(blocks: Iterable[CanonicalBlock]) -> bool:
    """Whether one of these blocks is a signature over the primary block, as far as can be read."""
    for block in blocks:
        if block.type_code == BIB:
            with suppress(BundleError):
                if PRIMARY_NUMBER in decode_security(block.data).targets:
                    return True
    return False


def header(block: CanonicalBlock) -> bytes:
    """The header of a block as it is covered: type, number, and the flags the standard assigns."""
    flags = block.flags & _ASSIGNED_FLAGS
    if block.type_code < 24 and block.number < 24:  # the usual ones, at once
        return bytes((block.type_code, block.number, flags))
    return cbor.uint(block.type_code) + cbor.uint(block.number) + cbor.uint(flags)


def covered(
    scope: int, primary: bytes, target: CanonicalBlock | None, security: CanonicalBlock
) -> bytes:
    """What is covered besides the target's data, after the scope itself.

    Args:
        scope: the scope flags; unassigned ones count as 0.
        primary: the primary block, encoded.
        target: the target block, None for the primary one, which has no header of that kind.
        security: the integrity or confidentiality block.
    """
    parts = [cbor.uint(scope & COVER_ALL)]
    if target is not None:
        if scope & COVER_PRIMARY:
            parts.append(primary)
        if scope & COVER_TARGET_HEADER:
            parts.append(header(target))
    if scope & COVER_SECURITY_HEADER:
        parts.append(header(security))
    return b"".join(parts)


def is_scope(value: Value) -> bool:
    """Whether a parameter's value is a set of scope flags: 16 bits."""
    return isinstance(value, int) and value <= _MAX_SCOPE


def _write_values(parts: list[bytes], values: Values) -> None:
    parts.append(cbor.head(4, len(values)))
    for identifier, value in values:
        parts.append(b"\x82")
        parts.append(cbor.uint(identifier))
        parts.append(cbor.uint(value) if isinstance(value, int) else cbor.byte_string(value))


def _read_values(data: bytes, at: int, least: int = 1) -> tuple[Values, int]:
    """Read an array of pairs, each with an id of its own."""
    count, at = _open_array(data, at, MAX_VALUES, least)
    size, read_uint = len(data), cbor.read_uint
    values: dict[int, Value] = {}
    for _ in range(count):
        if at >= size or data[at] != 0x82:
            raise BundleError(at, "array of 2", cbor.describe(data, at))
        identifier, after = read_uint(data, at + 1)
        if identifier in values:
            raise BundleError(at + 1, "each id once", f"{identifier} again")
        if after < size and data[after] >> 5 == 2:
            start, at = cbor.read_bytes(data, after)
            values[identifier] = data[start:at]
        else:
            values[identifier], at = read_uint(data, after)
    return tuple(values.items()), at


def _open_array(data: bytes, at: int, most: int, least: int = 1) -> tuple[int, int]:
    if at < len(data) and least <= data[at] - 0x80 <= min(most, 23):  # the usual ones, at once
        return data[at] - 0x80, at + 1
    count, after = cbor.open_array(data, at)
    if count == cbor.INDEFINITE:
        raise BundleError(at, "definite-length array", cbor.describe(data, at))
    if not least <= count <= most:
        raise BundleError(at, f"array of {least} to {most}", f"array of {count}")
    return count, after
