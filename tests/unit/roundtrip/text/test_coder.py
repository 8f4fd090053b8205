from __future__ import annotations

import math

import pytest

from roundtrip.text.coder import Coder, _Interval
from roundtrip.text.model import Guess, Model

DICTIONARY = b"the cat sat\0the dog sat\0a cat is a cat\0is the cat a dog\0"
MODEL = Model(DICTIONARY)
CODER = Coder(MODEL)
TEXTS = [b"", b"a", b"the cat", b"\xff\xfe", b"the dog is a cat", bytes(range(1, 256)), b"a" * 500]


@pytest.mark.parametrize("text", TEXTS)
def test_decodes_what_it_encodes(text: bytes) -> None:
    assert CODER.decode(CODER.encode(text), len(text)) == text


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b"the catalogue", "ba110deeaf0fbf"),
        (b"it is a good dog", "77e6808d236260"),
        (b"dogma", "5c3b36e0"),
    ],
)
def test_codes_are_the_same_everywhere(text: bytes, code: str) -> None:
    assert CODER.encode(text).hex() == code


@pytest.mark.parametrize("text", TEXTS)
def test_is_as_short_as_the_guesses_allow(text: bytes) -> None:
    bits = 0.0
    for at, byte in enumerate((*text, 0)):
        guess = MODEL.guess(text[:at])
        bits -= math.log2((guess.below(byte + 1) - guess.below(byte)) / guess.below(256))
    assert len(CODER.encode(text)) <= bits / 8 + 1.01


@pytest.mark.parametrize("text", [b"the cat", b"the dog is a cat", bytes(range(1, 256))])
def test_refuses_what_is_no_code(text: bytes) -> None:
    code = CODER.encode(text)
    changed = [code + b"\0", code + b"\x01", *(code[:end] for end in range(len(code)))]
    for wrong in changed:
        assert CODER.decode(wrong, 1000) != text
    assert CODER.decode(code + b"\0", 1000) is None
    assert CODER.decode(b"\xff" * 100, 1000) is None


def test_gives_no_more_than_is_asked_for() -> None:
    code = CODER.encode(b"the cat")
    assert CODER.decode(code, 6) is None
    assert CODER.decode(code, 7) == b"the cat"


def test_takes_no_more_steps_than_it_may_give_bytes() -> None:
    asked: list[bytes] = []

    class Counting(Model):
        def guess(self, text: bytes) -> Guess:
            asked.append(text)
            return super().guess(text)

    code = CODER.encode(b"a cat is " * 200)
    assert Coder(Counting(DICTIONARY)).decode(code, 20) is None
    assert len(asked) == 21
    asked.clear()
    assert Coder(Counting(DICTIONARY)).decode(b"\xff" * 100, 20) is None
    assert len(asked) == 1


def test_the_point_is_below_the_end_of_the_interval() -> None:
    interval = _Interval()
    interval.width = 1 << 24
    interval.low = (1 << 32) - interval.width
    assert interval.shortest() == b"\xff"
