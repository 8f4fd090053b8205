"""The rows in the making: an id, a verdict, a clause, a reason, bytes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

ACCEPT, REJECT, EITHER = "accept", "reject", "either"


@dataclass(slots=True)
class Rows:
    """Rows of one kind, in their order."""

    kind: str
    found: list[dict[str, object]] = field(default_factory=list)

    def add(self, name: str, verdict: str, rfc: str, why: str, data: bytes, **more: object) -> None:
        """Add a row; what is empty is left out."""
        before = [one.hex() for one in more.pop("before", ())]
        row = {"id": name, "kind": self.kind, "verdict": verdict, "rfc": rfc, "why": why}
        row |= {key: value for key, value in more.items() if value}
        if before:
            row["before"] = before
        self.found.append(row | {"hex": data.hex()})


Add = Callable[..., None]
