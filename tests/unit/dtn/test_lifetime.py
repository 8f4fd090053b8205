"""How old a bundle is by its age block and by clocks that may show anything."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import pairwise

import pytest

from dtn.agent import (
    EXPIRED_BY_CLOCK,
    Acknowledged,
    AgentConfig,
    AgentOutput,
    BundleAgent,
    BundleReceived,
    ClocksDiffer,
    Expired,
    Rejected,
    Transmit,
)
from dtn.bpsec.keys import AesKey, AesVariant, HmacKey, KeyRing, ShaVariant
from dtn.bpsec.rules import Rule
from dtn.bpsec.security import Security
from dtn.bpv7.blocks import PrimaryBlock
from dtn.bpv7.bundle import Bundle, decode, encode, make_bundle
from dtn.incoming import Incoming
from dtn.lifetime import CLOCKS_AGREE_MS, DtnClock
from dtn.ltp.engine import BlockReceived, LtpConfig, SessionId

MS = 1_000_000
S = 1_000 * MS
YEAR_MS = 365 * 86_400_000
EPOCH_MS = 26 * YEAR_MS
LIFETIME_MS = 60_000


def security(number: int) -> Security:
    draw = random.Random(1).randbytes
    keys = KeyRing(
        (HmacKey(ShaVariant.HMAC_256, draw(32)),), (AesKey(AesVariant.A256GCM, draw(32)),)
    )
    return Security([Rule(f"ipn:{3 - number}.1", keys)], random_bytes=random.Random(9).randbytes)


def agent(
    number: int, epoch_ms: int | None, *, shared: bool = False, plain: bool = False, seed: int = 1
) -> BundleAgent:
    config = AgentConfig(
        f"ipn:{number}.1", f"ipn:{3 - number}.1", LtpConfig(number, 3 - number), epoch_ms, shared
    )
    it = BundleAgent(config, rng=random.Random(seed), security=None if plain else security(number))
    it.carrier(tx_up=True, rx_up=True, tx_rate_bps=10**9, one_way_ns=5 * MS, now_ns=0)
    return it


def frames(outputs: list[AgentOutput]) -> list[bytes]:
    return [output.frame for output in outputs if isinstance(output, Transmit)]


def arrival(
    sender: BundleAgent, receiver: BundleAgent, *, sent_ns: int = 0, at_ns: int = 5 * MS
) -> list[AgentOutput]:
    """What the receiver makes of a bundle of the sender."""
    _, outputs = sender.send(b"text", lifetime_ms=LIFETIME_MS, now_ns=sent_ns)
    made = [o for frame in frames(outputs) for o in receiver.receive(frame, now_ns=at_ns)]
    return [output for output in made if not isinstance(output, Transmit)]


def received(outputs: list[AgentOutput]) -> BundleReceived:
    (output,) = outputs
    assert isinstance(output, BundleReceived)
    return output


@pytest.mark.parametrize("epoch_ms", [1, EPOCH_MS, 300 * YEAR_MS, None])
def test_ends_with_one_date_reach_each_other_whatever_it_is(epoch_ms: int | None) -> None:
    one, two = agent(1, epoch_ms, shared=True), agent(2, epoch_ms, shared=True)
    bundle = received(arrival(one, two)).bundle
    assert bundle.primary.creation_ms == (epoch_ms or 0)
    reports = frames(two.accept(bundle.id, now_ns=6 * MS))
    told = [o for frame in reports for o in one.receive(frame, now_ns=11 * MS)]
    assert any(isinstance(output, Acknowledged) for output in told)


def test_a_shared_date_counts_the_time_on_the_way_an_age_block_does_not() -> None:
    for shared, plain, age_ms in ((True, False, 3000), (True, True, 0), (False, False, 0)):
        one = agent(1, EPOCH_MS, shared=shared, plain=plain)
        two = agent(2, EPOCH_MS, shared=shared, plain=plain)
        assert received(arrival(one, two, at_ns=3 * S)).age_ms == age_ms


@pytest.mark.parametrize("plain", [False, True])
def test_a_source_without_a_date_is_taken_by_the_age_of_its_bundles(plain: bool) -> None:
    one, two = agent(1, None, plain=plain), agent(2, EPOCH_MS, plain=plain)
    one.carrier(tx_up=False, rx_up=False, tx_rate_bps=0, one_way_ns=5 * MS, now_ns=0)
    _, outputs = one.send(b"text", lifetime_ms=LIFETIME_MS, now_ns=S)
    outputs += one.carrier(
        tx_up=True, rx_up=True, tx_rate_bps=10**9, one_way_ns=5 * MS, now_ns=21 * S
    )
    made = [o for frame in frames(outputs) for o in two.receive(frame, now_ns=0)]
    bundle = received(made)
    assert bundle.bundle.primary.creation_ms == 0
    assert bundle.age_ms == 20_000


def test_bundles_without_a_date_end_with_their_lifetime_here() -> None:
    one = agent(1, None)
    bundle_id, _ = one.send(b"text", lifetime_ms=LIFETIME_MS, now_ns=30 * S)
    assert bundle_id is not None
    assert Expired(bundle_id) not in one.timeout(now_ns=90 * S - 1)
    assert Expired(bundle_id) in one.timeout(now_ns=90 * S)


def test_undated_bundles_of_two_starts_are_not_taken_for_each_other() -> None:
    """A thousand each of forty starts: no number twice."""
    firsts = sorted(
        agent(1, None, seed=seed).send(b"", lifetime_ms=1, now_ns=0)[0].sequence
        for seed in range(40)
    )
    assert all(second - first > 1000 for first, second in pairwise(firsts))
    dated = agent(1, EPOCH_MS).send(b"", lifetime_ms=1, now_ns=0)[0]
    assert dated is not None
    assert dated.sequence < 1 << 16, "short on the wire"


@pytest.mark.parametrize("made", [None, EPOCH_MS])
@pytest.mark.parametrize("epoch_ms", [None, EPOCH_MS + 7000])
def test_what_was_kept_for_a_restart_has_the_age_that_can_be_told(
    made: int | None, epoch_ms: int | None
) -> None:
    before = agent(1, made)
    before.carrier(tx_up=False, rx_up=False, tx_rate_bps=0, one_way_ns=0, now_ns=0)
    bundle_id, _ = before.send(b"text", lifetime_ms=LIFETIME_MS, now_ns=2 * S)
    assert bundle_id is not None
    kept = before.encoded(bundle_id)
    again = agent(1, epoch_ms)
    again.send_encoded(kept, now_ns=10 * S)
    age_ms = 15_000 if made and epoch_ms else 0  # by the date: made at -5 s, sent at 10 s
    assert Expired(bundle_id) not in again.timeout(now_ns=(69_999 - age_ms) * MS)
    assert Expired(bundle_id) in again.timeout(now_ns=(70_000 - age_ms) * MS)


def test_a_peer_behind_is_told_of_and_its_bundles_are_over_by_our_clock() -> None:
    one, two = agent(1, EPOCH_MS - YEAR_MS), agent(2, EPOCH_MS)
    differ, rejected = arrival(one, two)
    assert differ == ClocksDiffer(-YEAR_MS - 5)
    assert isinstance(rejected, Rejected)
    assert rejected.reason == EXPIRED_BY_CLOCK
    assert [type(o) for o in arrival(one, two)] == [Rejected], "said once"


def test_a_peer_ahead_is_told_of_and_its_bundles_are_taken() -> None:
    one, two = agent(1, EPOCH_MS + YEAR_MS), agent(2, EPOCH_MS)
    differ, bundle = arrival(one, two)
    assert differ == ClocksDiffer(YEAR_MS - 5)
    assert received([bundle]).age_ms == 0


@pytest.mark.parametrize("off_ms", [-30_000, -5_000, 0, 5_000])
def test_a_clock_that_is_a_little_off_changes_neither_age_nor_outcome(off_ms: int) -> None:
    one, two = agent(1, EPOCH_MS + off_ms), agent(2, EPOCH_MS)
    assert received(arrival(one, two)).age_ms == 0


@pytest.mark.parametrize(
    ("ahead_ms", "told"), [(CLOCKS_AGREE_MS, None), (CLOCKS_AGREE_MS + 1, CLOCKS_AGREE_MS + 1)]
)
def test_a_peer_is_ahead_from_what_an_operator_would_notice(
    ahead_ms: int, told: int | None
) -> None:
    clock = DtnClock(EPOCH_MS, shared=False, signed=True)
    assert clock.peer_ahead_ms(stamped(EPOCH_MS + ahead_ms, 0), 0) == told


@pytest.mark.parametrize(
    ("counted_ms", "age_ms", "told"),
    [
        (LIFETIME_MS, 0, False), (LIFETIME_MS + 1, 0, True),
        (LIFETIME_MS + 1, LIFETIME_MS - 1, True), (LIFETIME_MS + 1, LIFETIME_MS, False),
    ],
)  # fmt: skip
def test_a_peer_is_behind_where_a_bundle_would_have_been_on_its_way_for_longer_than_it_may(
    counted_ms: int, age_ms: int, told: bool
) -> None:
    clock = DtnClock(EPOCH_MS, shared=False, signed=True)
    ahead_ms = clock.peer_ahead_ms(stamped(EPOCH_MS - counted_ms, age_ms), 0)
    assert ahead_ms == (age_ms - counted_ms if told else None)


def test_without_security_an_age_counts_more_than_any_clock() -> None:
    one, two = agent(1, EPOCH_MS - YEAR_MS, plain=True), agent(2, EPOCH_MS, plain=True)
    differ, bundle = arrival(one, two)
    assert isinstance(differ, ClocksDiffer)
    assert received([bundle]).age_ms == 0


def test_others_than_the_peer_say_nothing_of_its_clock() -> None:
    clock = DtnClock(EPOCH_MS, shared=False, signed=False)
    config = AgentConfig("ipn:2.1", "ipn:1.1", LtpConfig(2, 1), EPOCH_MS, shared_clock=False)
    incoming = Incoming(config, clock, None)

    def differ(source: str) -> list[bool]:
        bundle = make_bundle(PrimaryBlock("ipn:2.1", source, 5, 1, LIFETIME_MS), b"text")
        assert clock.peer_ahead_ms(bundle, 0) is not None
        taken = incoming.take(BlockReceived(SessionId(1, 1), encode(bundle), 0))
        return [isinstance(output, ClocksDiffer) for output in taken.outputs]

    assert differ("ipn:7.1") == [False]
    assert differ("ipn:1.1") == [True, False]
    assert differ("ipn:1.1") == [False], "said once"


def stamped(creation_ms: int, age_ms: int | None) -> Bundle:
    made = make_bundle(
        PrimaryBlock("ipn:2.1", "ipn:1.1", creation_ms, 1, LIFETIME_MS), b"", age_ms=age_ms or 0
    )
    return made if age_ms is not None else replace(made, blocks=made.blocks[-1:])


OURS = EPOCH_MS + 100_000
"""The date at 100 s."""


@pytest.mark.parametrize(
    ("clock", "bundle", "age_ms", "left_ms"),
    [
        # The age block alone, our clock alone, neither.
        (DtnClock(EPOCH_MS, False, False), stamped(OURS - 9000, 2000), 2000, 58_000),
        (DtnClock(EPOCH_MS, False, False), stamped(OURS - 9000, None), 9000, 51_000),
        (DtnClock(EPOCH_MS, False, False), stamped(0, None), None, None),
        (DtnClock(None, False, True), stamped(OURS, None), None, None),
        # A signed date ends the lifetime; it makes a bundle older only where it is shared.
        (DtnClock(EPOCH_MS, False, True), stamped(OURS - 9000, 2000), 2000, 51_000),
        (DtnClock(EPOCH_MS, True, True), stamped(OURS - 9000, 2000), 9000, 51_000),
        (DtnClock(EPOCH_MS, True, True), stamped(OURS - 1000, 2000), 2000, 58_000),
        (DtnClock(EPOCH_MS, True, True), stamped(0, 2000), 2000, 58_000),
        (DtnClock(None, True, True), stamped(OURS - 9000, 2000), 2000, 58_000),
        (DtnClock(EPOCH_MS, False, True), stamped(OURS + YEAR_MS, 2000), 2000, 58_000),
    ],
)
def test_ages(clock: DtnClock, bundle: Bundle, age_ms: int | None, left_ms: int | None) -> None:
    assert clock.age_ms(bundle, 100 * S) == age_ms
    assert clock.left_ms(bundle, 100 * S) == left_ms


def test_the_filter_forgets_when_a_replay_would_be_over() -> None:
    bundle = stamped(OURS - 9000, 2000)
    assert DtnClock(EPOCH_MS, False, False).forget_ns(bundle, 58_000, 100 * S) == 158 * S
    assert DtnClock(EPOCH_MS, False, True).forget_ns(bundle, 51_000, 100 * S) == 151 * S
    assert DtnClock(None, False, True).forget_ns(bundle, 58_000, 100 * S) is None
    assert DtnClock(EPOCH_MS, False, True).forget_ns(stamped(0, 1), 1, 0) is None


def test_an_undated_bundle_is_well_formed() -> None:
    one = agent(1, None, plain=True)
    bundle_id, _ = one.send(b"text", lifetime_ms=LIFETIME_MS, now_ns=0)
    assert bundle_id is not None
    bundle = decode(one.encoded(bundle_id))
    assert (bundle.primary.creation_ms, bundle.age_ms) == (0, 0), "RFC 9171 §4.4.2: has an age"
