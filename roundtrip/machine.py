"""The protocol that every state machine follows.

A machine holds no clock, no socket and no thread. It is told what happened and when, and answers
with outputs that somebody else carries out: the same machine runs live and in virtual time.

Rules:
- `receive` never raises, whatever the bytes: bad input is an output `Rejected(reason)`.
- `timeout` before `deadline`, or a second time, does nothing.
- Typed commands (`carrier`, `persisted`, `inference_done`, ...) also return outputs.
- Outputs are carried out in order, before the machine is called again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

Deadline = tuple[int, str]
"""When the machine wants `timeout` to be called, in ns, and why."""


class Machine(Protocol):
    """What a driver needs to know of a machine."""

    def timeout(self, *, now_ns: int) -> Sequence[Any]:
        """Do what is due at `now_ns`; nothing if nothing is."""

    @property
    def deadline(self) -> Deadline | None:
        """The next time `timeout` is wanted, or None."""


def earliest(*deadlines: Deadline | None) -> Deadline | None:
    """The first of several deadlines; None when there is none."""
    present = [deadline for deadline in deadlines if deadline is not None]
    return min(present) if present else None
