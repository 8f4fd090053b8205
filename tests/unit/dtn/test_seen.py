"""The duplicate filter and the gates."""

from __future__ import annotations

from dtn.bpv7.bundle import BundleId
from dtn.ltp.segment import SessionId
from dtn.seen import Gates, SeenBundles


def bundle(sequence: int) -> BundleId:
    return BundleId("ipn:1.1", 5, sequence)


def test_identities_are_kept_for_the_lifetime_then_dropped() -> None:
    seen = SeenBundles(limit=10)
    seen.add(bundle(1), expires_ns=100)
    seen.add(bundle(2), expires_ns=None)
    assert seen.trim(now_ns=99) == 0
    assert bundle(1) in seen
    assert seen.trim(now_ns=100) == 0
    assert bundle(1) not in seen
    assert bundle(2) in seen


def test_the_oldest_goes_when_there_are_too_many() -> None:
    seen = SeenBundles(limit=2)
    for sequence in range(3):
        seen.add(bundle(sequence), expires_ns=1_000)
    assert seen.trim(now_ns=0) == 1
    assert [bundle(sequence) in seen for sequence in range(3)] == [False, True, True]
    assert len(seen) == 2


def test_an_identity_seen_again_gets_its_new_lifetime() -> None:
    seen = SeenBundles(limit=2)
    seen.add(bundle(1), expires_ns=10)
    seen.add(bundle(1), expires_ns=50)
    seen.trim(now_ns=20)
    assert bundle(1) in seen
    seen.trim(now_ns=50)
    assert bundle(1) not in seen


def test_a_session_opens_with_its_last_bundle() -> None:
    gates = Gates()
    one, two = SessionId(1, 1), SessionId(1, 2)
    gates.wait(bundle(1), one)
    gates.wait(bundle(2), one)
    gates.wait(bundle(2), two)
    assert bundle(2) in gates
    assert gates.accept(bundle(2)) == [two]
    assert (gates.is_open(one), gates.is_open(two)) == (False, True)
    assert gates.accept(bundle(1)) == [one]
    assert gates.accept(bundle(1)) == []
