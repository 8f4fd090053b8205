"""Sizes as people write them: 1024M, 1G, 800MB, 1.5GiB."""

from __future__ import annotations

import re

from roundtrip.errors import BadConfig

_UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}
_DECIMAL = {"": 1, "K": 1000, "M": 1000**2, "G": 1000**3, "T": 1000**4}
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(i?B)?\s*", re.IGNORECASE)


def parse_size(text: str, key: str) -> int:
    """Bytes of a size. K, M, G and KiB, MiB, GiB are powers of 1024; KB, MB, GB of 1000.

    Args:
        text: the size.
        key: where it stands, for errors.

    Raises:
        BadConfig: it is none, or not positive.
    """
    match = _SIZE.fullmatch(text)
    if match is None:
        raise BadConfig(key, "", "a size such as 1024M, 1G or 800MB", repr(text))
    number, unit, suffix = match.groups()
    factors = _DECIMAL if suffix is not None and suffix.upper() == "B" else _UNITS
    size_bytes = int(float(number) * factors[unit.upper()])
    if size_bytes <= 0:
        raise BadConfig(key, "", "a size above nothing", repr(text))
    return size_bytes
