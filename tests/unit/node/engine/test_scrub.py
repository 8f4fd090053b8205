"""Damage is found within one round, mended, and told; the share of the time is kept."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.engine.scrub import SHARE, SLICE_BYTES, Mended, Scrubber

SLICE_NS = 10


class Clock:
    now_ns = 1000

    def __call__(self) -> int:
        return self.now_ns


class Bytes:
    """A memory of zeros, mended to zeros; it knows what was read of it, which takes time."""

    def __init__(self, sizes: Sequence[int], clock: Clock) -> None:
        self._clock = clock
        self.tensors = [bytearray(size) for size in sizes]
        self.mended: list[int] = []
        self.slices: list[tuple[int, int, int]] = []

    @property
    def sizes(self) -> Sequence[int]:
        return [len(tensor) for tensor in self.tensors]

    def checksum(self, tensor: int, start: int, end: int, so_far: int) -> int:
        self.slices.append((tensor, start, end))
        self._clock.now_ns += SLICE_NS
        return zlib.crc32(self.tensors[tensor][start:end], so_far)

    def mend(self, tensor: int) -> str:
        self.mended.append(tensor)
        self.tensors[tensor][:] = bytes(len(self.tensors[tensor]))
        return "a file"

    def name(self, tensor: int) -> str:
        return f"tensor {tensor}"


LARGE = SLICE_BYTES + 1000
SIZES = (100, LARGE, 7)
"""The one in the middle takes two slices."""


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def memory(clock: Clock) -> Bytes:
    return Bytes(SIZES, clock)


def a_round(scrubber: Scrubber, clock: Clock) -> list[Mended]:
    """Until all was whole from now on."""
    clock.now_ns += 1
    return scrubber.until(clock.now_ns, 10**9)


@given(st.sampled_from([(0, 0), (0, 99), (1, 0), (1, SLICE_BYTES), (1, LARGE - 1), (2, 6)]))
def test_any_flip_is_found_within_one_round_and_mended_once(where: tuple[int, int]) -> None:
    clock = Clock()
    memory = Bytes(SIZES, clock)
    scrubber = Scrubber(memory, clock)
    tensor, at = where
    memory.tensors[tensor][at] ^= 16
    before_ns = scrubber.whole_ns
    (mended,) = a_round(scrubber, clock)
    assert (mended.name, mended.source) == (f"tensor {tensor}", "a file")
    assert mended.whole_ns <= before_ns
    assert memory.mended == [tensor]
    assert a_round(scrubber, clock) == []
    assert memory.mended == [tensor]


def test_a_round_reads_each_byte_once_in_slices(memory: Bytes, clock: Clock) -> None:
    scrubber = Scrubber(memory, clock)
    memory.slices.clear()
    assert scrubber.rounds == 0
    a_round(scrubber, clock)
    assert memory.slices == [
        (0, 0, 100), (1, 0, SLICE_BYTES), (1, SLICE_BYTES, LARGE), (2, 0, 7),
    ]  # fmt: skip
    assert scrubber.rounds == 1


def test_a_flip_behind_the_reading_is_found_in_the_next_round(memory: Bytes, clock: Clock) -> None:
    scrubber = Scrubber(memory, clock)
    scrubber.until(clock.now_ns + 1, SLICE_NS + 1)
    assert memory.slices[-1] == (1, 0, SLICE_BYTES)
    memory.tensors[1][0] ^= 1
    flipped_ns = clock.now_ns
    scrubber.until(clock.now_ns + 1, 2 * SLICE_NS)
    assert scrubber.rounds == 1
    assert scrubber.whole_ns < flipped_ns, "the tensor's reading began before"
    assert [one.name for one in a_round(scrubber, clock)] == ["tensor 1"]


def test_a_tensor_that_was_mended_is_whole_from_then_on(memory: Bytes, clock: Clock) -> None:
    scrubber = Scrubber(memory, clock)
    memory.tensors[0][0] ^= 1
    flipped_ns = clock.now_ns
    (mended,) = a_round(scrubber, clock)
    assert mended.whole_ns < flipped_ns < scrubber.whole_ns


def test_a_check_ends_when_its_time_is_over_and_goes_on_there(memory: Bytes, clock: Clock) -> None:
    scrubber = Scrubber(memory, clock)
    memory.slices.clear()
    far_ns = clock.now_ns + 10**12
    scrubber.until(far_ns, 0)
    assert memory.slices == []
    scrubber.until(far_ns, 1)
    assert memory.slices == [(0, 0, 100)]
    scrubber.until(far_ns, 1)
    assert memory.slices[1:] == [(1, 0, SLICE_BYTES)]
    scrubber.until(scrubber.whole_ns, 10**9)
    assert len(memory.slices) == 2, "all was whole then"


def test_beside_work_it_takes_its_share_of_the_time(memory: Bytes, clock: Clock) -> None:
    scrubber = Scrubber(memory, clock)
    memory.slices.clear()
    for _ in range(2000):
        scrubber.beside(1000)
    assert len(memory.slices) * SLICE_NS == pytest.approx(2000 * 1000 * SHARE, abs=SLICE_NS)
