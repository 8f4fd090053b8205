"""Any symbols that are enough make a piece whole."""

from __future__ import annotations

import random

import pytest

from roundtrip import codec
from roundtrip.bulk.coding import EXTRA, MOST_OPEN, Assembly, available, repairs, shards_of
from roundtrip.bulk.wire import Piece, Shard, encode
from roundtrip.errors import BadMessage

pytest.importorskip("raptorq")
ID = bytes(range(8))


def piece(size: int, number: int = 3) -> Piece:
    return Piece(ID, number, random.Random(size).randbytes(size), True)


def test_it_is_there() -> None:
    assert available()


@pytest.mark.parametrize("size", [1, 7, 1000, 1001, 65_536])
@pytest.mark.parametrize("symbol_bytes", [64, 1091, 1400])
def test_any_symbols_that_are_enough_make_it_whole(size: int, symbol_bytes: int) -> None:
    it = piece(size)
    shards = shards_of(it, symbol_bytes, 0.1)
    count = -(-size // (symbol_bytes // 8 * 8))
    assert len(shards) == count + repairs(count, 0.1)
    assert all(len(shard.packet) <= symbol_bytes + 4 for shard in shards)
    for seed in range(5):
        some = random.Random(seed).sample(shards, count + EXTRA)
        assembly = Assembly()
        found = (assembly.take(codec.decode(encode(shard))) for shard in some)
        assert next((one for one in found if one is not None), None) == it


def test_pieces_do_not_mix(monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = piece(900, 1), piece(901, 2)
    assembly = Assembly()
    pairs = zip(shards_of(one, 64, 0), shards_of(two, 64, 0), strict=True)
    found = [assembly.take(shard) for pair in pairs for shard in pair]
    assert {found.number for found in found if found is not None} == {1, 2}


def test_what_was_begun_longest_ago_is_forgotten() -> None:
    assembly = Assembly()
    first, *rest = shards_of(piece(600, 0), 64, 0.5)
    assert assembly.take(first) is None
    for number in range(1, MOST_OPEN + 1):
        assembly.take(shards_of(piece(600, number), 64, 0)[0])
    needed = -(-600 // 64)
    assert all(assembly.take(shard) is None for shard in rest[: needed - 1])
    assert assembly.take(rest[needed]) is not None


@pytest.mark.parametrize(
    ("count", "loss", "more"),
    [(60, 0.0, 4), (60, 0.01, 4), (60, 0.1, 15), (60, 0.5, 90), (1, 0.1, 3)],
)
def test_so_many_are_sent_that_enough_arrive(count: int, loss: float, more: int) -> None:
    assert repairs(count, loss) == more
    rng = random.Random(1)
    arrive = [sum(rng.random() >= loss for _ in range(count + more)) for _ in range(2000)]
    assert sum(come >= count + EXTRA for come in arrive) > 0.98 * 2000


@pytest.mark.parametrize(
    "packet", [bytes(4), bytes(5), bytes(13), b"\x01" + bytes(11), b"", bytes(3)]
)
def test_what_is_no_symbol_is_refused(packet: bytes) -> None:
    """The package would end the process for some of them."""
    with pytest.raises(BadMessage, match="symbol"):
        codec.decode(encode(Shard(ID, 1, False, 900, packet)))
    with pytest.raises(BadMessage, match="symbol"):
        codec.decode(encode(Shard(ID, 1, False, 0, bytes(12))))


def test_symbols_of_anything_are_no_crash() -> None:
    rng = random.Random(2)
    for _ in range(300):
        assembly, size = Assembly(), rng.randrange(1, 65_537)
        symbol_bytes = 8 * rng.randrange(1, 180)
        for _ in range(rng.randrange(1, 90)):
            packet = bytes(1) + rng.randbytes(symbol_bytes + 3)
            assembly.take(Shard(ID, 1, False, size, packet))
