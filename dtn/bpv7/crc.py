"""The two checksums a bundle block may carry.

Standard: RFC 9171 §4.2.1: X-25 CRC-16 (type 1) and CRC-32C, Castagnoli (type 2).
"""

from __future__ import annotations

import binascii

import crc32c as _castagnoli

CRC_NONE = 0
CRC_16 = 1
CRC_32C = 2

CRC_BYTES = (0, 2, 4)
"""Length of the checksum by CRC type."""

_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def crc(crc_type: int, data: bytes | memoryview) -> bytes:
    """The checksum of data, in network byte order; nothing for CRC_NONE."""
    if crc_type == CRC_32C:
        value: int = _castagnoli.crc32c(data)
        return value.to_bytes(4, "big")
    if crc_type == CRC_16:
        return crc_16_x25(data).to_bytes(2, "big")
    return b""


def crc_16_x25(data: bytes | memoryview) -> int:
    """CRC-16/X-25: 0x906e for `123456789`.

    binascii computes the same polynomial with the bits the other way round, so its input and its
    result are reversed.
    """
    raw = binascii.crc_hqx(bytes(data).translate(_REVERSED), 0xFFFF)
    return (_REVERSED[raw & 0xFF] << 8 | _REVERSED[raw >> 8]) ^ 0xFFFF
