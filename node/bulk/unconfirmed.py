"""How long a model on trial may fly without a word from the ground. Pure."""

from __future__ import annotations

CONTACTS = 2
"""It must be confirmed before the end of the second."""


class Unconfirmed:
    """Counts contacts."""

    def __init__(self) -> None:
        self._heard = True
        """A trial begins in a contact, or before one."""
        self._left = CONTACTS

    def over(self, rx_up: bool) -> bool:
        """The modem says whether the ground is heard; whether the time is over."""
        if self._heard and not rx_up:
            self._left -= 1
        self._heard = rx_up
        return self._left <= 0
