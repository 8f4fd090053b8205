"""Endpoint ids: `ipn:10.1`, `dtn://node/service`, `dtn:none`, as text inside and CBOR on the wire.

An id is plain text everywhere in the program and is checked where it enters. A scheme this module
does not know is refused, never guessed. Standard: RFC 9171 §4.2.5.1.
"""

from __future__ import annotations

from functools import lru_cache

from dtn.bpv7 import cbor
from dtn.errors import BundleError

NULL_EID = "dtn:none"
"""The endpoint without members; as a source it means an anonymous bundle."""

_DTN = 1
_IPN = 2
_MAX_NUMBER = (1 << 64) - 1


@lru_cache(maxsize=1024)
def encode_eid(eid: str) -> bytes:
    """Encode an endpoint id.

    Raises:
        ValueError: the text is no ipn or dtn endpoint id.
    """
    scheme, _, rest = eid.partition(":")
    if scheme == "ipn":
        node, dot, service = rest.partition(".")
        if dot and _is_number(node) and _is_number(service):
            return b"\x82\x02\x82" + cbor.uint(int(node)) + cbor.uint(int(service))
    elif scheme == "dtn":
        if rest == "none":
            return b"\x82\x01\x00"
        if _is_dtn_path(rest):
            return b"\x82\x01" + cbor.text_string(rest)
    raise ValueError(f"not an ipn or dtn endpoint id: {eid!r}")


def read_eid(data: bytes, at: int) -> tuple[str, int]:
    """Read an endpoint id; return it and the offset behind it."""
    if data[at : at + 3] == b"\x82\x02\x82":  # the usual one: both arrays definite, scheme ipn
        node, after = cbor.read_uint(data, at + 3)
        service, after = cbor.read_uint(data, after)
        return f"ipn:{node}.{service}", after
    outer_open, after = cbor.open_pair(data, at)
    scheme_at = after
    scheme, after = cbor.read_uint(data, after)
    if scheme == _IPN:
        inner_open, after = cbor.open_pair(data, after)
        node, after = cbor.read_uint(data, after)
        service, after = cbor.read_uint(data, after)
        if inner_open:
            after = cbor.close_array(data, after)
        eid = f"ipn:{node}.{service}"
    elif scheme == _DTN:
        eid, after = _read_dtn(data, after)
    else:
        raise BundleError(scheme_at, "endpoint id scheme 1 (dtn) or 2 (ipn)", str(scheme))
    if outer_open:
        after = cbor.close_array(data, after)
    return eid, after


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
    """Whether the text is `//node-name/demux` in visible ASCII."""
    if not path.startswith("//") or path.find("/", 2) <= 2:
        return False
    return all("!" <= character <= "~" for character in path)
