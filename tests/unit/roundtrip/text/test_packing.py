from __future__ import annotations

import tracemalloc
import zlib
from dataclasses import replace

import pytest

from bench.text_size import REACH, sets, size
from roundtrip.errors import BadMessage, UnknownDictionary
from roundtrip.text import packing
from roundtrip.text.packing import MODELLED_BYTES, QUICK_BPS, known, pack, unpack, worth
from scripts.make_dictionary import MADE, dictionary

MOST = 64 * 1024
MODEL, DEFLATE = known()
UNKNOWN = next(key for key in range(256) if key not in known())
SHORT = "Is the battery warm enough for the next pass?"
LONG = "The battery is warm enough for the next pass. " * 60
TEXTS = [
    "",
    "x",
    "\0",
    "Yes.\0No.",
    SHORT,
    LONG,
    "é中🙂",
    "电池温度在正常范围内，可以拍照。",
    "Погода хорошая, ветер слабый.",
    "🛰️" * 100,
    '{"status": "ok", "alarms": []}',
    "\n\t\r ",
    "\U0010ffff",
    "a" * MOST,
]


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_comes_back_and_is_never_longer(text: str) -> None:
    value = pack(text)
    assert unpack(value, MOST) == text
    assert value == text or len(value) < size(text)


def test_each_text_goes_by_what_makes_it_shortest() -> None:
    assert pack("") == ""
    assert pack("qXz#") == "qXz#"
    assert pack(SHORT)[0] == MODEL
    assert pack(LONG)[0] == pack("a\0" * 40)[0] == DEFLATE
    assert pack("ab" * 300)[0] == DEFLATE


def test_the_model_reads_texts_of_up_to_so_many_bytes() -> None:
    longest = LONG[:MODELLED_BYTES]
    assert pack(longest, (MODEL,))[0] == MODEL
    assert pack(longest + "s", (MODEL,)) == longest + "s"
    raw = (longest + "s").encode()
    check = packing._check(packing._methods()[MODEL], raw)
    with pytest.raises(BadMessage):
        unpack(bytes([MODEL, check]) + packing._coder().encode(raw), MOST)


def test_packs_by_what_the_other_end_knows() -> None:
    assert pack(SHORT, ()) == pack(SHORT, (UNKNOWN,)) == SHORT
    assert pack(SHORT, (DEFLATE,))[0] == DEFLATE
    assert pack(SHORT, (UNKNOWN, *known())) == pack(SHORT)


def test_another_dictionary_is_noticed() -> None:
    with pytest.raises(UnknownDictionary) as caught:
        unpack(bytes([UNKNOWN]) + bytes(pack(SHORT)[1:]), MOST)
    assert caught.value.method == UNKNOWN


def test_another_dictionary_of_the_same_id_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    value = pack(SHORT)
    assert isinstance(value, bytes)
    theirs = replace(packing._methods()[MODEL], seed=1)
    monkeypatch.setattr(packing, "_methods", lambda: {MODEL: theirs})
    with pytest.raises(BadMessage, match="check byte"):
        unpack(value, MOST - 1)


@pytest.mark.parametrize("text", [SHORT, LONG, "a\0" * 40])
def test_truncated_or_continued_is_refused(text: str) -> None:
    value = pack(text)
    assert isinstance(value, bytes)
    for wrong in (value + b"\0", value + b"\x01", *(value[:end] for end in range(len(value)))):
        with pytest.raises(BadMessage):
            unpack(wrong, MOST)


@pytest.mark.parametrize("text", [SHORT, LONG])
def test_a_changed_check_byte_is_refused(text: str) -> None:
    method, check, *code = bytes(pack(text))
    with pytest.raises(BadMessage, match="offset 1"):
        unpack(bytes([method, check ^ 1, *code]), MOST)


def test_what_is_no_utf8_is_refused() -> None:
    stream = zlib.compressobj(9, zlib.DEFLATED, -15)
    code = stream.compress(b"\xff" * 50) + stream.flush()
    check = packing._check(packing._methods()[DEFLATE], b"\xff" * 50)
    with pytest.raises(BadMessage, match="UTF-8"):
        unpack(bytes([DEFLATE, check]) + code, MOST)


@pytest.mark.parametrize("text", ["é" * 10, SHORT, LONG])
def test_no_text_is_longer_than_the_most(text: str) -> None:
    for value in (text, pack(text)):
        assert unpack(value, size(text)) == text
        with pytest.raises(BadMessage):
            unpack(value, size(text) - 1)


def test_a_bomb_of_deflate_takes_no_more_memory_than_the_most() -> None:
    stream = zlib.compressobj(9, zlib.DEFLATED, -15)
    code = stream.compress(bytes(50_000_000)) + stream.flush()
    value = bytes([DEFLATE, 0]) + code
    assert len(value) < MOST
    tracemalloc.start()
    with pytest.raises(BadMessage):
        unpack(value, MOST)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 8 * MOST


def test_lone_surrogates_are_refused() -> None:
    with pytest.raises(UnicodeEncodeError):
        pack("Is it \ud800?")
    with pytest.raises(BadMessage, match="character 6"):
        unpack("Is it \ud800?", MOST)


def test_the_dictionary_is_what_its_recipe_makes() -> None:
    assert MADE.read_bytes() == dictionary()


def test_the_dictionary_holds_whole_texts_and_none_of_those_that_measure() -> None:
    known_texts = set(dictionary().decode().split("\0"))
    assert dictionary().endswith(b"\0")
    for name in ("English", "Chinese", "JSON"):
        assert not known_texts & set(sets()[name])


@pytest.mark.parametrize("name", REACH)
def test_ordinary_texts_get_as_short_as_they_should(name: str) -> None:
    texts = sets()[name][::5]
    assert sum(size(pack(text)) for text in texts) / sum(map(size, texts)) <= REACH[name]


def test_methods_have_ids_of_their_own() -> None:
    assert len(set(known())) == 2


def test_on_a_wide_link_only_what_takes_no_time_is_worth_it() -> None:
    assert worth(None, 0) is worth(None, QUICK_BPS - 1) is None
    assert worth((MODEL,), QUICK_BPS - 1) == (MODEL,)
    assert worth(None, QUICK_BPS) == worth((UNKNOWN, DEFLATE, MODEL), QUICK_BPS) == [DEFLATE]
    assert worth((MODEL,), QUICK_BPS) == worth((), QUICK_BPS) == []
