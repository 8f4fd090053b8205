"""Bundles of ours while they wait."""

from __future__ import annotations

import pytest

from dtn.bpv7.blocks import PAYLOAD, CanonicalBlock, PrimaryBlock
from dtn.bpv7.bundle import Bundle, encode, make_bundle
from dtn.ltp.segment import SessionId
from dtn.outgoing import OutgoingBundle, OutgoingTable, outgoing
from dtn.tally import NOTHING

MS = 1_000_000


def primary(sequence: int = 1) -> PrimaryBlock:
    return PrimaryBlock("ipn:2.1", "ipn:1.1", 800_000_000_000, sequence, 60_000)


def waiting(sequence: int = 1, *, priority: int = 1, order: int = 1, made_ms: int = 0):
    bundle = make_bundle(primary(sequence), b"payload", hop_limit=4)
    return outgoing(bundle, priority=priority, order=order, made_ms=made_ms)


def test_a_bundle_comes_out_as_it_went_in() -> None:
    for bundle in (
        make_bundle(primary(), b"payload", hop_limit=4, age_ms=5),
        make_bundle(primary(), b""),
        Bundle(primary(), (CanonicalBlock(PAYLOAD, 1, b"no age"),)),
    ):
        assert outgoing(bundle, priority=0, order=1, made_ms=0).encoded() == encode(bundle)


def test_its_age_is_put_in_where_it_has_one() -> None:
    older = make_bundle(primary(), b"payload", hop_limit=4, age_ms=70)
    assert waiting().encoded(70) == encode(older)
    without = Bundle(primary(), (CanonicalBlock(PAYLOAD, 1, b"no age"),))
    entry = outgoing(without, priority=0, order=1, made_ms=0)
    assert entry.encoded(70) == encode(without)


def test_it_expires_a_lifetime_after_it_was_made() -> None:
    assert waiting(made_ms=7).expires_ns == 60_007 * MS


def test_its_size_is_that_without_the_age() -> None:
    entry = waiting()
    assert entry.size_bytes == len(entry.head) + len(entry.tail) < len(entry.encoded())


@pytest.mark.parametrize("part", ["head", "tail"])
def test_one_that_was_hit_is_not_whole(part: str) -> None:
    entry = waiting()
    assert entry.whole
    data = getattr(entry, part)
    setattr(entry, part, data[:-1] + bytes((data[-1] ^ 1,)))
    assert not entry.whole


@pytest.fixture
def table() -> OutgoingTable:
    return OutgoingTable()


def put(table: OutgoingTable, *entries: OutgoingBundle) -> None:
    for entry in entries:
        table.add(entry)


def in_line(table: OutgoingTable) -> list[int]:
    """Sequence numbers, as their turn comes."""
    found: list[int] = []
    number = 0
    while (head := table.head()) is not None:
        found.append(head.id.sequence)
        number += 1
        table.assign(head, SessionId(1, number), NOTHING)
    return found


def test_urgent_ones_go_first_then_those_that_came_first(table: OutgoingTable) -> None:
    put(
        table,
        waiting(1, priority=2, order=1),
        waiting(2, priority=0, order=2),
        waiting(3, priority=2, order=3),
        waiting(4, priority=1, order=4),
    )
    assert in_line(table) == [2, 4, 1, 3]
    assert len(table) == 4


def test_one_whose_session_failed_has_its_old_place(table: OutgoingTable) -> None:
    first, second = waiting(1, order=1), waiting(2, order=2)
    put(table, first, second)
    session = SessionId(1, 9)
    table.assign(first, session, NOTHING)
    assert table.in_session(session) is first
    assert table.release(session) is first
    assert table.release(session) is None
    assert table.in_session(session) is None
    assert in_line(table) == [1, 2]


def test_one_that_is_forgotten_is_nowhere(table: OutgoingTable) -> None:
    first, second = waiting(1, order=1), waiting(2, order=2)
    put(table, first, second)
    session = SessionId(1, 9)
    table.assign(second, session, NOTHING)
    assert table.remove(first.id) is first
    assert table.remove(second.id) is second
    assert table.remove(second.id) is None
    assert (len(table), table.head(), table.in_session(session)) == (0, None, None)
    assert table.next_expiry_ns is None


def test_those_whose_time_is_over_are_told_once(table: OutgoingTable) -> None:
    first, second = waiting(1, order=1, made_ms=5), waiting(2, order=2)
    put(table, first, second)
    assert table.next_expiry_ns == 60_000 * MS
    assert table.expired(now_ns=60_000 * MS - 1) == []
    assert table.expired(now_ns=60_000 * MS) == [second]
    assert table.next_expiry_ns == 60_005 * MS
    table.remove(second.id)
    assert table.expired(now_ns=60_005 * MS) == [first]
    assert table.expired(now_ns=60_005 * MS) == []


def test_orders_are_counted_up(table: OutgoingTable) -> None:
    assert [table.next_order() for _ in range(3)] == [1, 2, 3]


def test_a_bit_counts_through_all_of_them(table: OutgoingTable) -> None:
    first, second = waiting(1, order=1), waiting(2, order=2)
    put(table, first, second)
    size = 8 * first.size_bytes
    assert table.upset(size - 1) is None
    assert (first.whole, second.whole) == (False, True)
    assert table.upset(size) is None
    assert not second.whole
    assert table.upset(size + 8 * second.size_bytes + 3) == 3
    assert table.upset(size - 1) is table.upset(size) is None
    assert first.whole
    assert second.whole, "the same bits again"
