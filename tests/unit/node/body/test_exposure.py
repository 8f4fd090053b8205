"""Upsets in the store's file and in the bundles that wait."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from node.body.exposure import FILE_BITS, STORE_BITS, Exposure
from roundtrip.radiation import QUEUE_BITS
from roundtrip.upsets import DAY_NS

SIZE = FILE_BITS // 8 // 1000
"""Bytes of a file that is hit by a thousandth of what is meant for it."""


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "node.sqlite"
    for file in (path, tmp_path / "node.sqlite-wal"):
        file.write_bytes(bytes(SIZE))
    return path


def test_each_is_hit_by_its_room_and_the_file_keeps_its_size(store: Path) -> None:
    queued: list[int] = []
    upsets = 200_000
    rate = upsets / (STORE_BITS + QUEUE_BITS)
    exposure = Exposure(rate, random.Random(1), store, queued.append, now_ns=0)
    exposure.happen(DAY_NS)
    in_queue = upsets * QUEUE_BITS / (STORE_BITS + QUEUE_BITS)
    assert len(queued) == pytest.approx(in_queue, rel=0.1)
    assert 0 <= min(queued) < QUEUE_BITS // 50
    assert QUEUE_BITS * 49 // 50 < max(queued) < QUEUE_BITS
    for file in (store, store.with_name("node.sqlite-wal")):
        data = file.read_bytes()
        flipped = sum(byte.bit_count() for byte in data)
        assert flipped == pytest.approx((upsets - in_queue) / 2000, rel=0.3)
        assert len(data) == SIZE
        assert {byte for byte in data if byte} <= {1 << bit for bit in range(8)}


def test_a_bit_that_is_hit_twice_is_what_it_was(store: Path) -> None:
    for seed in (1, 1):
        rate = 100_000 / STORE_BITS
        Exposure(rate, random.Random(seed), store, lambda bit: None, now_ns=0).happen(DAY_NS)
    assert store.read_bytes() == bytes(SIZE)


def test_a_store_that_is_not_there_is_not_made(store: Path) -> None:
    for file in store.parent.iterdir():
        file.unlink()
    rate = 10_000 / STORE_BITS
    Exposure(rate, random.Random(1), store, lambda bit: None, now_ns=0).happen(DAY_NS)
    assert not list(store.parent.iterdir())
