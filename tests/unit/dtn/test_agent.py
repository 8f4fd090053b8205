"""The bundle agent as it sends: pacing, gate, lifetimes, failures, outages."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dtn.agent import (
    Acknowledged,
    AgentConfig,
    AgentOutput,
    BundleReceived,
    Damaged,
    Expired,
    QueueFull,
    Rejected,
    SentOnce,
    SessionFailed,
    TransmissionStarted,
    Transmit,
)
from dtn.bpv7.bundle import BundleId, decode
from dtn.errors import LtpLimitError
from dtn.ltp.engine import LtpConfig
from dtn.ltp.segment import Kind
from dtn.ltp.segment import decode as decode_segment
from tests.unit.dtn.agents import (
    EPOCH_MS,
    LIFETIME_MS,
    MS,
    S,
    agent,
    down,
    drain,
    frames,
    give,
    others,
    up,
)


def test_a_bundle_there_and_its_acknowledgment_back() -> None:
    one, two = agent(1), agent(2)
    up(one)
    up(two)
    bundle_id, outputs = one.send(b"question", lifetime_ms=LIFETIME_MS, now_ns=0)
    assert bundle_id is not None
    (started,) = others(outputs)
    assert isinstance(started, TransmissionStarted)
    assert (started.bundle_id, started.at_ns) == (bundle_id, 0)
    assert started.block_bytes == len(one.encoded(bundle_id))
    received = give(two, frames(outputs), 200 * MS)
    (delivered,) = received
    assert isinstance(delivered, BundleReceived)
    assert delivered.block_bytes == started.block_bytes
    assert delivered.bundle.id == bundle_id
    assert delivered.bundle.payload == b"question"
    assert delivered.received_ns == 200 * MS
    reports = two.accept(bundle_id, now_ns=210 * MS)
    assert two.accept(bundle_id, now_ns=210 * MS) == []
    outputs = give(one, frames(reports), 250 * MS)
    assert others(outputs) == [Acknowledged(bundle_id, started.session, 250 * MS)]
    assert one.queued_bundles == 0
    assert give(two, frames(outputs), 300 * MS) == []
    assert one.deadline is None
    assert two.deadline is None


def test_frames_are_paced_by_the_rate() -> None:
    """At most one frame beyond the one in the transmitter; the rest as it frees up."""
    one = agent()
    up(one)
    _, outputs = one.send(bytes(1_000), lifetime_ms=LIFETIME_MS, now_ns=0)
    sent = frames(outputs)
    assert len(sent) == 2
    busy_until_ns = sum(len(frame) for frame in sent) * MS
    assert one.deadline == (busy_until_ns - 120 * MS, "transmitter")
    assert one.timeout(now_ns=busy_until_ns - 120 * MS - 1) == []
    assert len(frames(one.timeout(now_ns=busy_until_ns - 120 * MS))) == 1
    rest, _ = drain(one, 0)
    assert len(frames(rest)) == 7
    assert all(len(frame) <= 120 for frame in frames(rest))


def test_pace_ahead_0_hands_frames_out_when_the_transmitter_is_free() -> None:
    one = agent(pace_ahead_ns=0)
    up(one)
    _, outputs = one.send(bytes(300), lifetime_ms=LIFETIME_MS, now_ns=0)
    (first,) = frames(outputs)
    assert one.deadline == (len(first) * MS, "transmitter")


def test_nothing_leaves_before_the_carrier_is_up() -> None:
    one = agent()
    bundle_id, outputs = one.send(b"x", lifetime_ms=LIFETIME_MS, now_ns=0)
    assert outputs == []
    assert one.deadline == (60 * S, "lifetime")
    outputs = up(one, 5 * S)
    assert len(frames(outputs)) == 1
    (started,) = others(outputs)
    assert isinstance(started, TransmissionStarted)
    assert (started.bundle_id, started.at_ns) == (bundle_id, 5 * S)


def test_the_age_is_right_when_the_bundle_leaves() -> None:
    one, two = agent(1), agent(2)
    up(two)
    bundle_id, _ = one.send(b"x", lifetime_ms=LIFETIME_MS, now_ns=2 * S)
    assert bundle_id is not None
    assert bundle_id.creation_ms == EPOCH_MS + 2_000
    (delivered,) = give(two, frames(up(one, 5 * S)), 6 * S)
    assert isinstance(delivered, BundleReceived)
    assert delivered.bundle.age_ms == 3_000
    assert decode(one.encoded(bundle_id)).age_ms == 0


def test_a_bundle_that_is_hit_while_it_waits_is_dropped_and_said_so() -> None:
    """Nobody else would notice: it is signed when it leaves."""
    probe = agent()
    probe.send(b"first", lifetime_ms=LIFETIME_MS, now_ns=0)
    size = next(iter(probe._outgoing._bundles.values())).size_bytes
    for bit in range(0, 2 * 8 * size + 8, 7):
        one, two = agent(1), agent(2)
        up(two)
        ids = [
            one.send(text, lifetime_ms=LIFETIME_MS, now_ns=0)[0] for text in (b"first", b"other")
        ]
        one.upset(bit)
        outputs = up(one)
        hit = ids[bit // (8 * size)] if bit < 2 * 8 * size else None
        assert [o.bundle_id for o in outputs if isinstance(o, Damaged)] == [hit] * (hit is not None)
        more, _ = drain(one, 0)
        came = [
            o.bundle.id
            for o in give(two, frames(outputs + more), S)
            if isinstance(o, BundleReceived)
        ]
        assert came == [bundle_id for bundle_id in ids if bundle_id != hit]
        assert one.queued_bundles == len(came)


def test_one_that_is_hit_in_a_session_leaves_as_it_is() -> None:
    """The other end throws it away."""
    one, two = agent(1), agent(2)
    up(two)
    one.send(bytes(3000), lifetime_ms=LIFETIME_MS, now_ns=0)
    outputs = up(one)
    size = next(iter(one._outgoing._bundles.values())).size_bytes
    one.upset(8 * (size + 2000))
    more, _ = drain(one, 0)
    (rejected,) = give(two, frames(outputs + more), S)[:1]
    assert isinstance(rejected, Rejected)


def test_urgent_bundles_overtake() -> None:
    one = agent(max_tx_sessions=4)
    for _ in range(8):
        one.send(bytes(400), lifetime_ms=LIFETIME_MS, priority=1, now_ns=0)
    outputs = up(one)
    urgent, more = one.send(b"now", lifetime_ms=LIFETIME_MS, priority=0, now_ns=0)
    rest, _ = drain(one, 0)
    started = [o for o in outputs + more + rest if isinstance(o, TransmissionStarted)]
    assert started[1].bundle_id == urgent


def test_a_report_of_a_patient_bundle_is_urgent() -> None:
    one, two = agent(1), agent(2)
    up(two)
    _, outputs = one.send(b"later", lifetime_ms=LIFETIME_MS, priority=3, now_ns=0)
    sent = [o for o in outputs + up(one) if isinstance(o, Transmit)]
    assert [o.priority for o in sent] == [3]
    received = give(two, [o.frame for o in sent], S)
    bundle = next(o.bundle for o in received if isinstance(o, BundleReceived))
    replies = [*received, *two.accept(bundle.id, now_ns=S)]
    assert {o.priority for o in replies if isinstance(o, Transmit)} == {0}


def test_expired_before_acknowledged() -> None:
    one = agent()
    up(one)
    bundle_id, _ = one.send(b"x", lifetime_ms=100, now_ns=0)
    assert bundle_id is not None
    outputs = one.timeout(now_ns=100 * MS)
    assert Expired(bundle_id) in outputs
    assert one.queued_bundles == 0
    assert one.timeout(now_ns=100 * MS) == []
    with pytest.raises(KeyError):
        one.encoded(bundle_id)


def test_a_failed_session_is_followed_by_another() -> None:
    one = agent(retry_limit=1)
    up(one)
    bundle_id, outputs = one.send(b"x", lifetime_ms=LIFETIME_MS, now_ns=0)
    now_ns = 0
    while not any(isinstance(output, SessionFailed) for output in outputs):
        deadline = one.deadline
        assert deadline is not None
        now_ns = deadline[0]
        outputs = one.timeout(now_ns=now_ns)
    failed, started = others(outputs)
    assert isinstance(failed, SessionFailed)
    assert isinstance(started, TransmissionStarted)
    assert failed.bundle_id == started.bundle_id == bundle_id
    assert failed.session != started.session


def test_through_an_outage_nobody_is_told_of() -> None:
    """Frames vanish for 30 s; the bundle still arrives, once."""
    one, two = agent(1), agent(2)
    up(one)
    up(two)
    bundle_id, _ = one.send(bytes(200), lifetime_ms=LIFETIME_MS, now_ns=0)
    assert bundle_id is not None
    now_ns = 0
    delivered: list[AgentOutput] = []
    done = False
    while not done:
        deadline = min(d for d in (one.deadline, two.deadline) if d is not None)
        now_ns = max(now_ns, deadline[0])
        out_one, out_two = one.timeout(now_ns=now_ns), two.timeout(now_ns=now_ns)
        while (out_one or out_two) and now_ns > 30 * S:
            got_two = give(two, frames(out_one), now_ns)
            delivered += [o for o in got_two if isinstance(o, BundleReceived)]
            got_two += two.accept(bundle_id, now_ns=now_ns)
            out_one = give(one, frames(out_two) + frames(got_two), now_ns)
            out_two = []
            done = done or any(isinstance(o, Acknowledged) for o in out_one)
    assert len(delivered) == 1
    assert 30 * S < now_ns < 33 * S


def test_queue_full() -> None:
    one = agent(max_queued_bundles=1)
    one.send(b"x", lifetime_ms=LIFETIME_MS, now_ns=0)
    assert one.send(b"x", lifetime_ms=LIFETIME_MS, now_ns=0) == (None, [QueueFull(1)])


def test_too_large() -> None:
    one = agent(max_block_bytes=200)
    bundle_id, (output,) = one.send(bytes(200), lifetime_ms=LIFETIME_MS, now_ns=0)
    assert bundle_id is None
    assert isinstance(output, Rejected)
    assert output.reason == "bundle too large"


@pytest.mark.parametrize("expires", [False, True])
def test_a_bundle_given_up_takes_no_more_of_the_link(expires: bool) -> None:
    one = agent()
    up(one)
    bundle_id, _ = one.send(bytes(500), lifetime_ms=1, now_ns=0)
    assert bundle_id is not None
    outputs = one.timeout(now_ns=MS) if expires else one.cancel(bundle_id, now_ns=MS)
    assert (Expired(bundle_id) in outputs) is expires
    assert one.queued_bundles == 0
    assert one.cancel(bundle_id, now_ns=MS) == []
    rest = frames(outputs) + frames(drain(one, MS)[0])
    assert [decode_segment(frame).kind for frame in rest] == [Kind.CANCEL_BY_SENDER]


def test_a_transmitter_needs_a_rate() -> None:
    with pytest.raises(ValueError, match="tx_rate_bps"):
        agent().carrier(tx_up=True, rx_up=True, tx_rate_bps=0, one_way_ns=0, now_ns=0)


def test_carrier_lost_and_back() -> None:
    one, two = agent(1), agent(2)
    up(one)
    up(two)
    bundle_id, outputs = one.send(bytes(600), lifetime_ms=LIFETIME_MS, now_ns=0)
    assert bundle_id is not None
    assert down(one, 100 * MS) == []
    assert one.timeout(now_ns=S) == []
    outputs += up(one, 2 * S)
    rest, now_ns = drain(one, 2 * S)
    assert any(isinstance(o, BundleReceived) for o in give(two, frames(outputs + rest), now_ns))


def test_ids_of_a_config_are_checked() -> None:
    ltp = LtpConfig(1, 2)
    for changes in (
        {"eid": "ipn:1"},
        {"peer_eid": "x"},
        {"hop_limit": 0},
        {"max_seen": 0},
        {"dtn_epoch_ms": 0},
    ):
        with pytest.raises(ValueError, match=r"endpoint id|hop_limit|positive"):
            replace(AgentConfig("ipn:1.1", "ipn:2.1", ltp, EPOCH_MS), **changes)


def test_ids_print_shortly() -> None:
    assert str(BundleId("ipn:1.1", 5, 6)) == "ipn:1.1/5/6"


def test_a_bundle_that_goes_once_is_delivered_and_not_acknowledged() -> None:
    one, two = agent(1, mtu_bytes=300), agent(2, mtu_bytes=300)
    up(one)
    up(two)
    bundle_id, outputs = one.send_once(b"symbol", lifetime_ms=LIFETIME_MS, priority=4, now_ns=0)
    assert others(outputs) == [SentOnce(bundle_id)]
    (received,) = give(two, frames(outputs), 200 * MS)
    assert isinstance(received, BundleReceived)
    assert received.bundle.payload == b"symbol"
    assert two.accept(received.bundle.id, now_ns=210 * MS) == []
    assert (one.deadline, two.deadline, one.queued_bundles) == (None, None, 0)
    assert one.sent.payload == len(b"symbol")
    assert one.sent.total == sum(map(len, frames(outputs)))


def test_it_goes_compressed_where_the_peer_is_one_of_ours() -> None:
    one, two = agent(1, mtu_bytes=300), agent(2, mtu_bytes=300)
    up(one)
    plain = frames(one.send_once(b"symbol", lifetime_ms=LIFETIME_MS, priority=4, now_ns=0)[1])
    drain(one, 0)
    one.compress()
    short = frames(one.send_once(b"symbol", lifetime_ms=LIFETIME_MS, priority=4, now_ns=2 * S)[1])
    assert len(short[0]) < len(plain[0]) - 20
    (received,) = give(two, short, 2 * S)
    assert received.bundle.payload == b"symbol"


def test_it_waits_for_everything_else() -> None:
    one = agent(1, mtu_bytes=300)
    up(one)
    one.send(bytes(500), lifetime_ms=LIFETIME_MS, now_ns=0)
    _, outputs = one.send_once(b"symbol", lifetime_ms=LIFETIME_MS, priority=4, now_ns=0)
    one.send(bytes(500), lifetime_ms=LIFETIME_MS, priority=4, now_ns=0)
    outputs += drain(one, 0)[0]
    kinds = [decode_segment(frame).kind for frame in frames(outputs)]
    assert kinds[-1] == Kind.GREEN_END_OF_BLOCK
    assert others(outputs)[-1].__class__ is SentOnce


@pytest.mark.parametrize("compresses", [False, True])
def test_as_much_fits_as_is_said(compresses: bool) -> None:
    one = agent(1, mtu_bytes=300, max_queued_bundles=2)
    if compresses:
        one.compress()
    room = one.once_bytes(now_ns=0)
    assert room > 150
    for _ in range(2):
        assert (
            one.send_once(bytes(room), lifetime_ms=LIFETIME_MS, priority=4, now_ns=0)[0] is not None
        )
    assert one.send_once(b"", lifetime_ms=LIFETIME_MS, priority=4, now_ns=0) == (None, [])
    with pytest.raises(LtpLimitError, match=r"a frame of 4\d\d bytes; 300 fit"):
        agent(1, mtu_bytes=300).send_once(bytes(350), lifetime_ms=LIFETIME_MS, priority=4, now_ns=0)


def test_it_does_not_leave_when_its_lifetime_is_over() -> None:
    one = agent(1, mtu_bytes=300)
    early, _ = one.send_once(b"early", lifetime_ms=1000, priority=4, now_ns=0)
    late, _ = one.send_once(b"late", lifetime_ms=1000, priority=4, now_ns=S // 2)
    outputs = up(one, S)
    outputs += drain(one, S)[0]
    assert others(outputs) == [SentOnce(early), SentOnce(late)]
    assert len(frames(outputs)) == 1


def test_frames_have_the_priority_of_their_bundle() -> None:
    one, two = agent(1, mtu_bytes=300), agent(2, mtu_bytes=300)
    up(one)
    up(two)
    outputs = one.send(bytes(400), lifetime_ms=LIFETIME_MS, priority=3, now_ns=0)[1]
    outputs += one.send_once(b"symbol", lifetime_ms=LIFETIME_MS, priority=7, now_ns=0)[1]
    outputs += drain(one, 0)[0]
    sent = [output for output in outputs if isinstance(output, Transmit)]
    assert [one.priority for one in sent] == [3, 3, 7]
    back = give(two, frames(outputs), 2 * S)
    reports = [o for o in two.accept(back[0].bundle.id, now_ns=2 * S) if isinstance(o, Transmit)]
    assert [report.priority for report in reports] == [0]


def test_what_waits_to_go_once_can_be_forgotten() -> None:
    one = agent(1, mtu_bytes=300)
    one.send_once(b"early", lifetime_ms=LIFETIME_MS, priority=4, now_ns=0)
    one.forget_once()
    assert up(one, S) == []
    assert one.deadline is None
    assert frames(one.send_once(b"late", lifetime_ms=LIFETIME_MS, priority=4, now_ns=S)[1])
