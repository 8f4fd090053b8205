"""A measured figure, and what it should reach."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    name: str
    value: float
    unit: str
    reach: float
    at_least: bool
    """Whether more is better."""
    note: str = ""

    @property
    def met(self) -> bool:
        """Whether the figure reaches what it should."""
        return self.value >= self.reach if self.at_least else self.value <= self.reach
