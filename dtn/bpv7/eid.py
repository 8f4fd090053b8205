"""Endpoint ids: `ipn:10.1`, `dtn://node/service`, `dtn:none`, as text inside and CBOR on the wire.

An id is plain text everywhere in the program and is checked where it enters. A scheme this module
does not know is refused, never guessed. An ipn node number has the allocator in its upper 32 bits,
whether it came in two numbers or in three: so that equal ids are equal texts.
Standard: RFC 9171 §4.2.5.1, RFC 9758 §6.
"""

from __future__ import annotations

import re
from functools import lru_cache

from dtn.bpv7 import cbor
from dtn.errors import BundleError

NULL_EID = "dtn:none"
"""The endpoint without members; as a source it means an anonymous bundle."""

_DTN = 1
_IPN = 2
_MAX_NUMBER = (1 << 64) - 1
_LOCAL_NODE = (1 << 32) - 1
_REG_NAME = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+")
"""A node name (RFC 3986 §3.2.2), but for the empty one."""


def is_null(eid: str) -> bool:
    """Whether an id is the null endpoint: dtn:none, or any of node 0 (RFC 9758 §3.4.1, §5.2)."""
    return eid == NULL_EID or eid.startswith("ipn:0.")


def is_local_node(eid: str) -> bool:
    """Whether an id means the node where it is read, and nothing elsewhere (RFC 9758 §5.4)."""
    return eid.startswith(f"ipn:{_LOCAL_NODE}.")


@lru_cache(maxsize=1024)
def encode_eid(eid: str, *, numbers: int = 2) -> bytes:
    """Encode an endpoint id.

    Args:
        eid: the id.
        numbers: how many an ipn id is written in: 2, or 3 with the allocator on its own.

    Raises:
        ValueError: the text is no ipn or dtn endpoint id.
    """
    scheme, _, rest = eid.partition(":")
    if scheme == "ipn":
        node, dot, service = rest.partition(".")
        if dot and _is_number(node) and _is_number(service):
            if numbers == 3:
                allocator, number = divmod(int(node), 1 << 32)
                parts = (allocator, number, int(service))
                return b"\x82\x02\x83" + b"".join(map(cbor.uint, parts))
            return b"\x82\x02\x82" + cbor.uint(int(node)) + cbor.uint(int(service))
    elif scheme == "dtn":
        if rest == "none":
            return b"\x82\x01\x00"
        if _is_dtn_path(rest):
            return b"\x82\x01" + cbor.text_string(rest)
    raise ValueError(f"not an ipn or dtn endpoint id: {eid!r}")


def read_eid(data: bytes, at: int) -> tuple[str, int]:
    """Read an endpoint id; return it and the offset behind it."""
    eid, _, after = read_eid_as_written(data, at)
    return eid, after


def read_eid_as_written(data: bytes, at: int) -> tuple[str, int, int]:
    """Read an endpoint id; return it, how many numbers an ipn id is written in, and the offset
    behind it."""
    if data[at : at + 3] == b"\x82\x02\x82":  # the usual one: both arrays definite, scheme ipn
        node, after = cbor.read_uint(data, at + 3)
        service, after = cbor.read_uint(data, after)
        return f"ipn:{node}.{service}", 2, after
    numbers = 2
    outer_open, after = cbor.open_pair(data, at)
    scheme_at = after
    scheme, after = cbor.read_uint(data, after)
    if scheme == _IPN:
        eid, numbers, after = _read_ipn(data, after)
    elif scheme == _DTN:
        eid, after = _read_dtn(data, after)
    else:
        raise BundleError(scheme_at, "endpoint id scheme 1 (dtn) or 2 (ipn)", str(scheme))
    if outer_open:
        after = cbor.close_array(data, after)
    return eid, numbers, after


def _read_ipn(data: bytes, at: int) -> tuple[str, int, int]:
    count, after = cbor.open_array(data, at)
    numbers: list[int] = []
    while len(numbers) <= 3 and cbor.has_item(data, after, count, len(numbers)):
        number, after = cbor.read_uint(data, after)
        numbers.append(number)
    if not 2 <= len(numbers) <= 3:
        raise BundleError(at, "2 or 3 numbers", str(len(numbers)))
    after = cbor.end_array(data, after, count)
    if len(numbers) == 2:
        return f"ipn:{numbers[0]}.{numbers[1]}", 2, after
    if max(numbers[:2]) >> 32:
        raise BundleError(at, "allocator and node of 32 bits", f"{numbers[0]} and {numbers[1]}")
    return f"ipn:{numbers[0] << 32 | numbers[1]}.{numbers[2]}", 3, after


def _read_dtn(data: bytes, at: int) -> tuple[str, int]:
    if at < len(data) and data[at] >> 5 == 0:
        none, after = cbor.read_uint(data, at)
        if none != 0:
            raise BundleError(at, "0 (dtn:none)", str(none))
        return NULL_EID, after
    path, after = cbor.read_text(data, at)
    if not _is_dtn_path(path):
        raise BundleError(at, "//node/demux", repr(path[:40]))
    return "dtn:" + path, after


def _is_number(text: str) -> bool:
    if not (text.isascii() and text.isdigit()) or len(text) > 20:
        return False
    return int(text) <= _MAX_NUMBER and (text == "0" or text[0] != "0")


def _is_dtn_path(path: str) -> bool:
    """Whether the text is `//node-name/demux`: a reg-name, and visible ASCII."""
    node, slash, demux = path.removeprefix("//").partition("/")
    if not path.startswith("//") or not slash or not _REG_NAME.fullmatch(node):
        return False
    return all("!" <= character <= "~" for character in demux)
