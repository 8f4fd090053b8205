"""Each row of the table against our agent, and against our LTP engine."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from dtn.agent import AgentConfig, AgentOutput, BundleAgent
from dtn.agent_notices import BundleReceived
from dtn.bpsec.keys import AesKey, AesVariant, HmacKey, KeyRing, ShaVariant
from dtn.bpsec.security import Rule, Security
from dtn.ltp.engine import LtpEngine
from dtn.ltp.notices import (
    BlockAcknowledged,
    BlockReceived,
    LtpConfig,
    LtpOutput,
    ReceiveCancelled,
    Rejected,
    SendFailed,
)
from dtn.ltp.segment import (
    CancelAckSegment,
    CancelSegment,
    DataSegment,
    Kind,
    ReportAckSegment,
    ReportSegment,
    Segment,
    decode,
)
from tests.interop.conformance.make import table
from tests.interop.conformance.rows_security import AES_KEY, HMAC_KEY
from tests.interop.conformance.rows_segments import ASKING, SERIAL, SIZE, data
from tests.interop.conformance.table import TABLE, Row, rows

EPOCH_MS = 820_000_000_000
"""The receiver's clock shows December 2025."""
ROWS = rows()
BUNDLES = [row for row in ROWS if row.kind == "bundle"]
SEGMENTS = [row for row in ROWS if row.kind == "segment"]


class Drawn(random.Random):
    """Numbers that the table names: of the session and of the checkpoint in it."""

    def randrange(self, start: int, stop: int | None = None, step: int = 1) -> int:
        return {1 << 32: ASKING, 1 << 7: SERIAL}.get(stop or 0, start)


def agent(row: Row) -> BundleAgent:
    """Node ipn:2.1, its link open."""
    config = AgentConfig("ipn:2.1", "ipn:1.1", LtpConfig(2, 1), EPOCH_MS, shared_clock=False)
    rule = Rule(
        "ipn:1.1",
        KeyRing((HmacKey(ShaVariant.HMAC_256, HMAC_KEY),), (AesKey(AesVariant.A128GCM, AES_KEY),)),
        sign=(),
        encrypt=(),
    )
    security = Security([rule], random_bytes=bytes) if row.keys else None
    made = BundleAgent(config, rng=random.Random(1), security=security)
    made.carrier(tx_up=True, rx_up=True, tx_rate_bps=10**9, one_way_ns=0, now_ns=0)
    return made


def taken(it: BundleAgent, bundle: bytes, session: int) -> list[AgentOutput]:
    """What comes of a bundle in an LTP block; it is accepted if it is delivered."""
    outputs = it.receive(data(Kind.RED_END_OF_BLOCK, session, 0, bundle), now_ns=session)
    for output in list(outputs):
        if isinstance(output, BundleReceived):
            outputs += it.accept(output.bundle.id, now_ns=session)
    return outputs


def id_of(row: Row) -> str:
    return f"{row.kind}-{row.id}"


@pytest.mark.parametrize("row", BUNDLES, ids=id_of)
def test_bundle(row: Row) -> None:
    it = agent(row)
    for session, earlier in enumerate(row.before, 1):
        assert not [o for o in taken(it, earlier, session) if isinstance(o, Rejected)]
    outputs = taken(it, row.data, 9)
    rejected = [output for output in outputs if isinstance(output, Rejected)]
    assert rejected or not any(isinstance(output, ReceiveCancelled) for output in outputs)
    verdict = "reject" if rejected else "accept"
    if row.ours:
        assert verdict != row.verdict, "there is no deviation to be told of"
    elif row.verdict != "either":
        assert verdict == row.verdict, rejected


def engine(row: Row) -> LtpEngine:
    """Engine 2, which sends the block that rows with `sending` speak of."""
    made = LtpEngine(LtpConfig(2, 1, echo_segments=0), rng=Drawn())
    made.carrier(tx_up=True, rx_up=True, one_way_ns=0, now_ns=0)
    if row.sending:
        session = made.submit(bytes(SIZE), now_ns=0)
        assert session == (2, ASKING)
        (segment,) = leaving(made)
        assert isinstance(segment, DataSegment)
        assert (segment.kind, segment.checkpoint) == (Kind.RED_END_OF_BLOCK, SERIAL)
    return made


def leaving(it: LtpEngine) -> list[Segment]:
    """What leaves now."""
    found: list[Segment] = []
    while (frame := it.next_segment(now_ns=0)) is not None:
        found.append(decode(frame.frame))
    return found


def given(it: LtpEngine, frame: bytes) -> list[LtpOutput]:
    """What comes of a segment; whole blocks are accepted."""
    outputs = it.receive(frame, now_ns=0)
    for output in list(outputs):
        if isinstance(output, BlockReceived):
            outputs += it.accept(output.session, now_ns=0)
    return outputs


def name(segment: Segment) -> str:
    """Its name in the table."""
    match segment:
        case DataSegment():
            return "data"
        case ReportSegment():
            return "report"
        case ReportAckSegment():
            return "report-ack"
        case CancelSegment():
            return f"cancel {segment.reason}"
        case CancelAckSegment():
            back = segment.kind is Kind.CANCEL_ACK_TO_RECEIVER
            return "cancel-back-ack" if back else "cancel-ack"


def effect_of(outputs: list[LtpOutput], sent: list[DataSegment]) -> str:
    """What became of our own session."""
    if any(isinstance(output, BlockAcknowledged) for output in outputs):
        return "acknowledged"
    if any(isinstance(output, SendFailed) for output in outputs):
        return "failed"
    return "sent again" if sent else "waits"


@pytest.mark.parametrize("row", SEGMENTS, ids=id_of)
def test_segment(row: Row) -> None:
    it = engine(row)
    before: list[Segment] = []
    for earlier in row.before:
        assert not [o for o in given(it, earlier) if isinstance(o, Rejected)]
        before += leaving(it)
    outputs = given(it, row.data)
    after = leaving(it)
    sent = [one for one in (*before, *after) if isinstance(one, DataSegment)]
    told = [name(one) for one in after if not isinstance(one, DataSegment)]
    refused = [o for o in outputs if isinstance(o, (Rejected, ReceiveCancelled))]
    if row.answer:
        assert told == ([] if row.answer == "none" else [row.answer]), refused
    if row.effect:
        assert effect_of(outputs, sent) == row.effect
    if row.verdict == "reject":
        assert refused
    elif row.verdict == "accept":
        wrong = [output for output in refused if isinstance(output, Rejected)]
        assert not wrong or row.answer.startswith("cancel ")
    if row.effect == "sent again":
        (gap,) = sent
        assert (gap.offset, len(gap.data)) == (50, 50)
        assert (gap.checkpoint, gap.report) == (SERIAL + 1, 50)


def reports(name_of_row: str) -> list[ReportSegment]:
    """What a row is answered with, and what came before it."""
    row = next(row for row in SEGMENTS if row.id == name_of_row)
    it = engine(row)
    for frame in (*row.before, row.data):
        given(it, frame)
        it.timeout(now_ns=0)
    return [one for one in leaving(it) if isinstance(one, ReportSegment)]


def test_reports_say_what_is_there() -> None:
    (whole,) = reports("block")
    assert whole.claims == ((0, whole.upper),)
    (gap,) = reports("gap-at-start")
    ((start, end),) = gap.claims
    assert (gap.lower, gap.upper) == (0, end)
    assert 0 < start < end


def test_the_table_is_what_its_rows_make() -> None:
    assert table() == TABLE.read_text()


def test_the_table_is_large_and_each_row_is_another() -> None:
    assert len(ROWS) >= 150
    assert Counter((row.kind, row.id) for row in ROWS).most_common(1)[0][1] == 1
    shown = Counter((row.data, row.before, row.sending) for row in ROWS)
    assert shown.most_common(1)[0][1] == 1
    for row in ROWS:
        assert row.kind in ("bundle", "segment")
        assert row.verdict in ("accept", "reject", "either")
        assert row.why
        assert row.rfc.split()[0] in ("5326", "9171", "9172", "9758")
        if row.kind == "segment" and row.verdict != "either":
            assert row.answer or row.effect, row.id
