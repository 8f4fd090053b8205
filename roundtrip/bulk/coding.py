"""A piece as symbols of an erasure code, of which any that are enough make it whole: RaptorQ (RFC
6330), by the package `raptorq`.

For times in which the node is not heard: nothing is acknowledged then, and nothing can be repaired.
"""

from __future__ import annotations

import importlib.util
from collections import OrderedDict
from functools import cache
from math import exp, lgamma, log
from typing import Any

from roundtrip.bulk.wire import SYMBOL_STEP, Piece, Shard

SURE = 0.99
"""How likely a piece is to be whole with the symbols that are sent of it."""
LEAST_LOSS = 0.01
"""That is reckoned with, whatever was seen."""
EXTRA = 1
"""Symbols beyond as many as there are in a piece: with one the code fails once in 10,000 times (RFC
6330 §5.8)."""
MOST_OPEN = 64
"""Pieces that are put together at a time."""


@cache
def available() -> bool:
    """Whether the package is there."""
    return importlib.util.find_spec("raptorq") is not None


def shards_of(piece: Piece, symbol_bytes: int, loss: float) -> list[Shard]:
    """The symbols of a piece, each in a message.

    Args:
        piece: to be sent.
        symbol_bytes: that fit into a frame, besides the symbol's number.
        loss: share of frames that get lost.
    """
    import raptorq

    encoder = raptorq.Encoder.with_defaults(piece.body, symbol_bytes // SYMBOL_STEP * SYMBOL_STEP)
    count = len(encoder.get_encoded_packets(0))
    more = repairs(count, loss)
    return [
        Shard(piece.upload, piece.number, piece.packed, len(piece.body), packet)
        for packet in encoder.get_encoded_packets(more)
    ]


@cache
def repairs(count: int, loss: float) -> int:
    """How many symbols are sent beyond those that a piece has, so that enough arrive with SURE."""
    lost, needed = min(0.9, max(LEAST_LOSS, round(loss, 2))), count + EXTRA
    sent = needed
    while _at_least(needed, sent, 1 - lost) < SURE:
        sent += 1
    return sent - count


def _at_least(needed: int, sent: int, arrives: float) -> float:
    """Of a binomial distribution."""
    fewer = (
        exp(
            lgamma(sent + 1) - lgamma(come + 1) - lgamma(sent - come + 1)
            + come * log(arrives) + (sent - come) * log(1 - arrives)
        )
        for come in range(needed)
    )  # fmt: skip
    return 1 - sum(fewer)


class Assembly:
    """Pieces that come as symbols. What was begun longest ago is forgotten first."""

    def __init__(self) -> None:
        self._decoders: OrderedDict[tuple[bytes, int, int, int], Any] = OrderedDict()

    def take(self, shard: Shard) -> Piece | None:
        """One more symbol; the piece, if that makes it whole."""
        import raptorq

        key = shard.upload, shard.number, shard.size, shard.symbol_bytes
        if key not in self._decoders:
            self._decoders[key] = raptorq.Decoder.with_defaults(shard.size, shard.symbol_bytes)
            if len(self._decoders) > MOST_OPEN:
                self._decoders.popitem(last=False)
        body = self._decoders[key].decode(shard.packet)
        if body is None:
            return None
        del self._decoders[key]
        return Piece(shard.upload, shard.number, body, shard.packed)
