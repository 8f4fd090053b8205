"""Randomness that no one can foresee, for keys and initialisation vectors: the only place that asks
the system for it. In virtual time a seeded stream stands in, and what it encrypts is no secret."""

from __future__ import annotations

import os


def system_bytes(size_bytes: int) -> bytes:
    """That many bytes from the system's generator, for live use."""
    return os.urandom(size_bytes)
