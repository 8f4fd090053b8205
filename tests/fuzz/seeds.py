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
from roundtrip import codec
from roundtrip.message import (
    GREEDY,
    Answer,
    Health,
    Part,
    Question,
    Refusal,
    Unreadable,
    Vitals,
    question_id,
)
from tests.fuzz.targets import compressed, genuine, security

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
    if name == "message":
        return _messages()
    if name == "compressed":
        return compressed()
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


def _messages() -> list[bytes]:
    asked = Question(question_id(1, 2), "Is it well?", "Be short.", 64, GREEDY, "off", 119_000)
    vitals = Vitals(80_000_000, 0, 15, -40_250, 0x50005, 4210, 613, 2)
    replies = (
        Answer(1, "Yes.", "stop", 12, 3, 100, 200, 300, 40, 80 << 20),
        Answer(1, "s.", "deadline", 12, 3, 0, 0, 0, 40, 0, 9, 2, bytes(8)),
        Answer(1, "Yes.", "stop", 12, 3, 100, 200, 300, 40, 80 << 20, called_us=150, model=b"ab"),
        Part(1, 0, "Ye"),
        Refusal(1, "bad_schema", "no such keyword", 0, 40),
        Health("tiny", "Q8_0", 2048, 2, 0, vitals, (3, 4)),
        Unreadable(1, "settings"),
    )
    questions = [codec.encode(asked, texts=texts, unpacks=(1,)) for texts in (None, ())]
    return [*questions, codec.encode(asked, named=True), *map(codec.encode, replies)]


def write_seeds(found: Sequence[bytes], folder: Path) -> None:
    """Put inputs into a corpus folder, under their hashes."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed in found:
        (folder / hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed)
