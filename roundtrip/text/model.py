"""Which byte comes next in a text, guessed from the bytes of a dictionary.

Interpolated Kneser-Ney smoothing (Chen and Goodman, "An Empirical Study of Smoothing Techniques for
Language Modeling", 1999, section 2.7) over contexts of up to ORDER bytes, with one fixed discount.
All in integers: both ends must agree to the last bit, whatever their machines. The model is never
changed by what it reads, so a text packs the same whatever was packed before it.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

ORDER = 5
END = 0
"""Ends every text of the dictionary, and every text that is coded."""
_BROAD = 2
"""Up to this length so many bytes may follow a context that all 256 are counted; of the few that
follow longer ones only those."""
_CACHED = 4096
"""Contexts kept: 2 KiB each for broad ones, and below 1 KiB for others."""
_ONE_BITS = 24
_ONE = 1 << _ONE_BITS
"""Probability 1."""
_FREQUENCY_SHIFT = 8
"""From probabilities to the frequencies of the coder, whose total stays below 2^17."""


@dataclass(frozen=True, slots=True)
class Guess:
    """How often each byte is to be expected after a context; each at least once."""

    first: int
    last: int
    """Past the last of the context's places in the dictionary, in the order of contexts."""
    broad: array[int]
    """(257,) cumulative probabilities after the broad part of the context; the last of them is
    `_ONE`, less what rounding takes."""
    weight: int = _ONE
    """Probability that the longer contexts leave to it."""
    likely: dict[int, int] = field(default_factory=dict)
    """What the longer contexts add to single bytes."""

    def below(self, byte: int) -> int:
        """The frequencies of all bytes smaller than `byte`; of 256, their total."""
        likely = sum([added for other, added in self.likely.items() if other < byte])
        broad = self.weight * self.broad[byte] >> _ONE_BITS
        return (broad >> _FREQUENCY_SHIFT) + (likely >> _FREQUENCY_SHIFT) + byte

    def at(self, part: int) -> int:
        """The byte within whose frequencies a part of the total lies."""
        if self.likely:
            likeliest = max(self.likely, key=self.likely.__getitem__)
            if self.below(likeliest) <= part < self.below(likeliest + 1):
                return likeliest
        return bisect_right(range(256), part, key=self.below) - 1


class Model:
    """The guesses of one dictionary.

    Args:
        dictionary: texts, each ended by END.
    """

    def __init__(self, dictionary: bytes) -> None:
        padded = np.frombuffer(bytes(ORDER) + dictionary, dtype=np.uint8)
        nearest_first = sliding_window_view(padded, ORDER)[: len(dictionary), ::-1]
        places = np.lexsort(nearest_first.T[::-1])
        contexts = nearest_first[places]
        following = padded[ORDER:][places]
        self._contexts = [row.tobytes() for row in contexts]
        counting = [_counting(contexts, following, length) for length in range(ORDER + 1)]
        self._following = [following[which].tobytes() for which in counting]
        self._before = [_cumulative(which) for which in counting]
        self._after = lru_cache(maxsize=_CACHED)(self._guess)

    def guess(self, text: bytes) -> Guess:
        """What follows `text`, of which no more than the last ORDER bytes matter."""
        guess: Guess = self._after((bytes([END]) + text)[: -ORDER - 1 : -1])
        return guess

    def _guess(self, context: bytes) -> Guess:
        """What follows a context, its nearest byte first.

        From each count 3/4 is taken, and what is taken given to the context that is shorter by a
        byte.
        """
        if not context:
            flat = np.full(256, _ONE // 256, dtype=np.int64)
            return self._broad(0, 0, len(self._contexts), flat)
        shorter: Guess = self._after(context[:-1])
        first = bisect_left(self._contexts, context, shorter.first, shorter.last)
        # UTF-8 has no byte 0xFF, so this is past all that begin with the context.
        last = bisect_left(self._contexts, context + b"\xff", first, shorter.last)
        if first == last:
            return shorter
        if len(context) > _BROAD:
            return self._narrow(len(context), first, last, shorter)
        return self._broad(len(context), first, last, np.diff(shorter.broad))

    def _broad(self, length: int, first: int, last: int, shorter: NDArray[np.int64]) -> Guess:
        following = np.frombuffer(self._counted(length, first, last), dtype=np.uint8)
        counts = np.bincount(following, minlength=256).astype(np.int64)
        own = np.maximum(4 * counts - 3, 0) * _ONE
        given = 3 * np.count_nonzero(counts) * shorter
        return Guess(first, last, _cumulative((own + given) // (4 * len(following))))

    def _narrow(self, length: int, first: int, last: int, shorter: Guess) -> Guess:
        following = self._counted(length, first, last)
        counts = Counter(following)
        whole = 4 * len(following)
        given = 3 * len(counts)
        likely = {byte: added * given // whole for byte, added in shorter.likely.items()}
        for byte, count in counts.items():
            likely[byte] = likely.get(byte, 0) + (4 * count - 3) * _ONE // whole
        weight = shorter.weight * given // whole
        return Guess(first, last, shorter.broad, weight, likely)

    def _counted(self, length: int, first: int, last: int) -> bytes:
        """What follows the places from first to last, as far as it counts after a context of this
        length."""
        before = self._before[length]
        return self._following[length][before[first] : before[last]]


def _cumulative(values: NDArray[np.int64] | NDArray[np.bool_]) -> array[int]:
    """(n + 1,) sums, from 0; an `array`, as its items are read one by one."""
    sums = np.concatenate(([0], np.cumsum(values, dtype=np.int64)))
    return array("q", sums.tobytes())


def _counting(
    contexts: NDArray[np.uint8], following: NDArray[np.uint8], length: int
) -> NDArray[np.bool_]:
    """The places that count after contexts of a length.

    After the longest, all. After a shorter one a byte counts once for each byte that stands before
    the context (Kneser and Ney): a byte that is found after many different contexts is one to
    expect after a new one.

    Args:
        contexts: (n, ORDER) uint8, nearest byte first, sorted.
        following: (n,) uint8, the byte after each.

    Returns:
        (n,) bool.
    """
    counts = np.ones(len(following), dtype=np.bool_)
    if length == ORDER:
        return counts
    longer = contexts[:, : length + 1]
    group = np.concatenate(([0], np.cumsum(np.any(longer[1:] != longer[:-1], axis=1))))
    _, once = np.unique(group * 256 + following, return_index=True)
    counts[:] = False
    counts[once] = True
    return counts
