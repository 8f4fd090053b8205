"""CBOR from outside: one value and nothing after it, whatever the bytes."""

from __future__ import annotations

import io
from typing import Any

import cbor2

from roundtrip.errors import BadMessage


def read_cbor(data: bytes, source: str) -> Any:
    """The value in `data`.

    Args:
        data: any bytes.
        source: what they are, for errors.

    Raises:
        BadMessage: they are not CBOR, or there are more of them.
    """
    stream = io.BytesIO(data)
    try:
        value = cbor2.CBORDecoder(stream).decode()
    except Exception as error:  # noqa: BLE001 - cbor2 documents no closed set of errors
        raise BadMessage(source, "offset 0", "CBOR", type(error).__name__) from None
    if stream.tell() != len(data):
        raise BadMessage(source, f"offset {stream.tell()}", "the end", "more bytes")
    return value
