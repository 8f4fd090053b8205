"""Genuine inputs for a search to start from."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from dtn.bpsec.block import BCB, BIB
from dtn.bpv7 import bundle as bundles
from dtn.bpv7.fragments import fragment
from dtn.ltp.segment import (
    CancelAckSegment,
    CancelSegment,
    DataSegment,
    Kind,
    ReportAckSegment,
    ReportSegment,
    SessionId,
    encode,
)
from tests.fuzz.targets import genuine, security

STATUS = bytes.fromhex("8201848482f50a81f481f581f4058202820101821904d207")
OURS, THEIRS = SessionId(1, 1), SessionId(2, 9)


def seeds(name: str) -> list[bytes]:
    """The inputs of a target."""
    secured = security().protect(genuine())
    if name == "bundle":
        pieces = fragment(genuine(bytes(range(60))), payload_bytes=25)
        whole = [genuine(), genuine(b""), secured, *pieces]
        encoded = [bundles.encode(bundle) for bundle in whole]
        return [*encoded, b"".join(encoded[:2]), STATUS]
    if name == "bpsec":
        content = [block.data for block in secured.blocks if block.type_code in (BIB, BCB)]
        return [*content, bundles.encode(secured), bundles.encode(genuine())]
    every = [
        encode(DataSegment(Kind.RED, THEIRS, 1, 0, bytes(20))),
        encode(DataSegment(Kind.RED_END_OF_BLOCK, THEIRS, 1, 20, bytes(9), 7)),
        encode(DataSegment(Kind.GREEN_END_OF_BLOCK, THEIRS, 1, 0, bytes(9))),
        encode(ReportSegment(OURS, 3, 1, 300, 0, ((0, 100), (150, 300)))),
        encode(ReportAckSegment(THEIRS, 3)),
        encode(CancelSegment(Kind.CANCEL_BY_SENDER, THEIRS, 1)),
        encode(CancelSegment(Kind.CANCEL_BY_RECEIVER, OURS, 1)),
        encode(CancelAckSegment(Kind.CANCEL_ACK_TO_SENDER, OURS)),
    ]
    return [*every, b"".join(bytes([len(frame)]) + frame for frame in every)]


def write_seeds(found: Sequence[bytes], folder: Path) -> None:
    """Put inputs into a corpus folder, under their hashes."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed in found:
        (folder / hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed)
