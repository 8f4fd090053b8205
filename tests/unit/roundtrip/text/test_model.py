from __future__ import annotations

from fractions import Fraction

import pytest

from roundtrip.text.model import ORDER, Model

DICTIONARY = b"the cat sat\0the dog sat\0a cat is a cat\0is the cat a dog\0"
MODEL = Model(DICTIONARY)


def by_the_book(context: bytes, byte: int) -> Fraction:
    """Probability of a byte by interpolated Kneser-Ney, from the text itself."""
    padded = bytes(ORDER) + DICTIONARY
    length = len(context)
    found = [
        (padded[at - length - 1] if length < ORDER else at, padded[at])
        for at in range(ORDER, len(padded))
        if padded[at - length : at] == context
    ]
    shorter = by_the_book(context[1:], byte) if context else Fraction(1, 256)
    if not found:
        return shorter
    once = found if length == ORDER else list(set(found))
    following = [after for _, after in once]
    discount = Fraction(3, 4)
    own = max(following.count(byte) - discount, 0)
    return (own + discount * len(set(following)) * shorter) / len(following)


@pytest.mark.parametrize(
    ("text", "context"),
    [
        (b"", b"\0"),
        (b"t", b"\0t"),
        (b"the ", b"\0the "),
        (b"see the cat", b"e cat"),
        (b"see a cat", b"a cat"),
        (b"that cat", b"t cat"),
        (b"of the", b"f the"),
        (b"xyz", b"\0xyz"),
        (b"no dogs", b" dogs"),
    ],
)
def test_guesses_as_kneser_and_ney_do(text: bytes, context: bytes) -> None:
    guess = MODEL.guess(text)
    for byte in range(256):
        frequency = guess.below(byte + 1) - guess.below(byte)
        assert frequency >= 1
        assert abs(frequency - 1 - 65536 * by_the_book(context, byte)) < 2


def test_only_the_end_of_the_text_matters() -> None:
    assert MODEL.guess(b"12345the c") == MODEL.guess(b"the c")


@pytest.mark.parametrize("text", [b"", b"the cat", b"\xff\xff", b"what a d"])
def test_each_part_of_the_total_has_its_byte(text: bytes) -> None:
    guess = MODEL.guess(text)
    for byte in range(256):
        assert guess.at(guess.below(byte)) == byte
        assert guess.at(guess.below(byte + 1) - 1) == byte


def test_guesses_the_same_after_others() -> None:
    model = Model(DICTIONARY)
    first = model.guess(b"the c")
    for at in range(len(DICTIONARY)):
        model.guess(DICTIONARY[:at])
    assert model.guess(b"the c") == first == Model(DICTIONARY).guess(b"the c")
