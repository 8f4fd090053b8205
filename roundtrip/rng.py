"""Named random streams: one per cause, so that changing one leaves the others' draws as they
were."""

from __future__ import annotations

import hashlib
import random


def substream(seed: int, label: str) -> random.Random:
    """The random stream for one cause.

    Args:
        seed: the run's seed.
        label: the cause, such as "down/loss".

    Returns:
        A generator that depends on nothing but (seed, label).
    """
    digest = hashlib.sha256(f"{seed}/{label}".encode()).digest()
    return random.Random(int.from_bytes(digest, "big"))
