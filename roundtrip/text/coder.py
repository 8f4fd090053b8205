"""Arithmetic coding of a text by the guesses of a model (Witten, Neal and Cleary 1987).

A text is a path of ever narrower intervals, and its code the shortest byte string that names a
point in the last one. Each text has exactly one code: what is truncated, continued or changed at
its end does not decode.
"""

from __future__ import annotations

from roundtrip.text.model import END, ORDER, Guess, Model

_WIDTH_BYTES = 4
_NARROW = 1 << 24
"""Below this an interval is scaled up by a byte; far above the total of a guess."""


class _Interval:
    """Where a code lies: from `low`, `width` wide, in units of the last of `size` bytes."""

    def __init__(self) -> None:
        self.low = 0
        self.width = 1 << 8 * _WIDTH_BYTES
        self.size = _WIDTH_BYTES

    def narrow(self, guess: Guess, byte: int, unit: int) -> None:
        """To a byte's part of it."""
        start = guess.below(byte)
        self.low += unit * start
        self.width = unit * (guess.below(byte + 1) - start)
        while self.width < _NARROW:
            self.low <<= 8
            self.width <<= 8
            self.size += 1

    def shortest(self) -> bytes:
        """The fewest bytes which, followed by zeros, lie in it."""
        dropped = 0
        while dropped < self.size and _up(self.low, dropped + 1) < self.low + self.width:
            dropped += 1
        return (_up(self.low, dropped) >> 8 * dropped).to_bytes(self.size - dropped, "big")


class Coder:
    """Codes of texts by the guesses of one model."""

    def __init__(self, model: Model) -> None:
        self._model = model

    def encode(self, text: bytes) -> bytes:
        """The code of a text.

        Args:
            text: any bytes but END.
        """
        interval = _Interval()
        for index, byte in enumerate((*text, END)):
            guess = self._model.guess(text[max(index - ORDER, 0) : index])
            interval.narrow(guess, byte, interval.width // guess.below(256))
        return interval.shortest()

    def decode(self, code: bytes, most: int) -> bytes | None:
        """The text of a code; None where there is none of at most `most` bytes.

        Its time is bounded by `most`, whatever the code.
        """
        interval = _Interval()
        text = bytearray()
        while True:
            guess = self._model.guess(bytes(text[-ORDER:]))
            total = guess.below(256)
            unit = interval.width // total
            point = int.from_bytes(code[: interval.size].ljust(interval.size, b"\0"), "big")
            part = (point - interval.low) // unit
            if part >= total:
                return None
            byte = guess.at(part)
            interval.narrow(guess, byte, unit)
            if byte == END:
                return bytes(text) if interval.shortest() == code else None
            if len(text) == most:
                return None
            text.append(byte)


def _up(value: int, dropped: int) -> int:
    """Rounded up to a multiple of 256^dropped."""
    step = 8 * dropped
    return -(-value >> step) << step
