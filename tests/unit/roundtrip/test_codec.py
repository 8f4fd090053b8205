"""Messages to bytes and back: vectors, what is left out, every bad field, any bytes."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roundtrip import codec
from roundtrip.codec import decode, encode, question_in
from roundtrip.errors import BadMessage, UnknownDictionary
from roundtrip.message import (
    GREEDY,
    MAX_MESSAGE_BYTES,
    MAX_SIGHTS,
    MAX_TEXT_BYTES,
    REASONS,
    Answer,
    Asked,
    Cancel,
    Health,
    Part,
    Question,
    Refusal,
    Sampling,
    Sent,
    Settings,
    Sight,
    Turn,
    Unreadable,
    Vitals,
    digest_of,
    question_id,
)
from roundtrip.settings import name_of
from roundtrip.text.packing import known

MIB = 1 << 20
ID = question_id(0x01020304, 5)
ASKED = Question(ID, "Is it well?", "Be short.", 64, Sampling(seed=8), "off", 119_000)
PLAIN = Question(ID, "Is it well?", "", 256, Sampling(seed=5), "off", 120_000)
QUESTIONS = [
    ASKED,
    PLAIN,
    replace(ASKED, thoughts=True),
    Question((1 << 56) - 1, "é中🙂", "", 1, GREEDY, "auto", 0, 99, 2, "{}"),
    Question(0, "", "", 1, GREEDY, "on", 1 << 40, 0, 0),
    replace(ASKED, turns=(Turn("Is it?", "It is."), Turn("", "é中🙂")), after=ID - 3, priority=2),
    replace(PLAIN, turns=(Turn("Is it?", ""),), priority=0),
    Question(9, "x" * MAX_TEXT_BYTES, "y" * 50_000, 1, GREEDY, "on", 5, 0, 0, "z" * 50_000),
]
REPLIES: list[Sent] = [
    Answer(ID, "Yes.", "stop", 12, 3, 100, 200, 300, 40, 80 * MIB),
    Answer(ID, "s.", "deadline", 12, 3, 0, 0, 0, 40, 0, 9, 2, bytes(range(8))),
    Part(ID, 0, "Ye"),
    Refusal(ID, "queue_full", "", 1500, 40),
    Refusal(ID, "bad_schema", "no such keyword", 0, (1 << 32) - 1),
    Health("tiny", "Q8_0", 2048, 2, 0),
    Health("tiny", "Q8_0", 2048, 2, 0, Vitals(), (3, 4), "0123456789abcdef"),
    Health("tiny", "Q8_0", 2048, 2, 0, Vitals(80_000_000, 0, 15, -40_250, 0x50005, 4210, 613, 2)),
    Unreadable(ID, "settings"),
    Unreadable(0, "text"),
    Cancel(ID),
    Answer(ID, "Yes.", "length", 12, 3, 0, 0, 0, 40, thoughts="Hm, 中.", rss_peak_bytes=0),
    Answer(ID, "s.", "stop", 1, 1, 0, 0, 0, 4, 0, 9, 2, bytes(range(8)), thoughts="Hm. " * 50),
    Answer(ID, "Yes.", "deadline", 12, 3, 0, 0, 0, 40, rss_peak_bytes=0, exposed=True),
    Answer(ID, "Yes.", "stop", 12, 3, 0, 0, 0, 40, 0, thoughts="Hm.", exposed=True),
    Answer(ID, "Yes.", "stop", 12, 3, 0, 0, 0, 40, 0, seen=(Sight(0, 9000, bytes(4), 41),)),
    Answer(ID, "Yes.", "stop", 12, 3, 2000, 9000, 9500, 40, 0, called_us=7000),
    Health("tiny", "Q8_0", 2048, 2, 0, Vitals(engine_mb=1_600, room_mb=0)),
    Answer(ID, "Yes.", "deadline", 12, 3, 2000, 9000, 9500, 40, 0, model=b"\x00\xff"),
    Answer(ID, "Yes.", "stop", 12, 3, 2000, 9000, 9500, 40, 0, called_us=7000, model=b"ab"),
    Answer(ID, "Yes.", "stop", 12, 3, 0, 0, 9500, 40, 0, thoughts="Hm.", called_us=0),
    Answer(
        ID,
        "",
        "length",
        12,
        3,
        0,
        0,
        0,
        40,
        0,
        thoughts="Hm.",
        seen=tuple(Sight(what % 32, 0, bytes([what] * 4), 300) for what in range(MAX_SIGHTS)),
    ),
]
RAW = {"texts": ()}


def bytes_of(message: Sent, **options: object) -> bytes:
    return encode(message, **options)


# There and back


@pytest.mark.parametrize("texts", [None, ()])
@pytest.mark.parametrize("asked", QUESTIONS, ids=range(len(QUESTIONS)))
def test_a_question_with_its_settings_comes_back(asked: Question, texts: object) -> None:
    assert question_in(encode(asked, texts=texts, unpacks=known())) == asked


@pytest.mark.parametrize("asked", QUESTIONS, ids=range(len(QUESTIONS)))
def test_a_question_by_the_name_of_its_settings_comes_back(asked: Question) -> None:
    first, second = decode(encode(asked)), decode(encode(asked, named=True))
    assert isinstance(first, Asked)
    assert isinstance(second, Asked)
    assert first.settings is not None
    assert second.settings is None
    assert first.name == second.name == name_of(asked.settings)
    assert second.question(first.settings) == asked


@pytest.mark.parametrize("texts", [None, ()])
@pytest.mark.parametrize("reply", REPLIES, ids=lambda m: type(m).__name__)
def test_a_reply_comes_back(reply: Sent, texts: object) -> None:
    assert decode(encode(reply, texts=texts)) == reply


def test_a_conversation_as_long_as_a_text_may_be_comes_back_and_no_longer_one() -> None:
    half = "x" * (MAX_TEXT_BYTES // 2)
    asked = replace(PLAIN, text=half, turns=(Turn(half[:-1], "y"),))
    assert question_in(encode(asked)) == asked
    with pytest.raises(BadMessage):
        question_in(encode(replace(asked, text=half + "x")))


def test_turns_come_from_the_node_where_they_do_not_go_up() -> None:
    turns = (Turn("Is it?", "It is."),)
    asked = replace(ASKED, turns=turns, after=ID - 3)
    told = decode(encode(asked, continued=True))
    assert isinstance(told, Asked)
    assert (told.after, told.values) == (ID - 3, ())
    assert told.settings is not None
    assert told.question(told.settings, turns) == asked
    alone = replace(asked, after=None)
    assert question_in(encode(alone, continued=True)) == alone, "a node that has it not"


def test_durations_are_told_in_steps_of_a_tenth_of_a_millisecond_and_memory_in_mib() -> None:
    told = decode(encode(replace(REPLIES[0], started_us=199, finished_us=399, rss_peak_bytes=1)))
    assert told == replace(REPLIES[0], started_us=100, finished_us=300, rss_peak_bytes=MIB)


def test_questions_of_one_run_share_their_settings_whatever_their_seeds() -> None:
    others = [
        replace(
            ASKED, question_id=ASKED.question_id + n, sampling=Sampling(seed=8 + n), text=str(n)
        )
        for n in range(3)
    ]
    assert len({name_of(other.settings) for other in others}) == 1
    wrapped = replace(ASKED, sampling=Sampling(seed=0))
    assert question_in(encode(wrapped)) == wrapped


@pytest.mark.parametrize(
    "change",
    [
        {"system": "Be long."},
        {"schema": "{}"},
        {"max_tokens": 65},
        {"thinking": "on"},
        {"think_tokens": 1},
        {"thoughts": True},
        {"sampling": Sampling(seed=9)},
        {"sampling": Sampling(seed=8, top_k=19)},
    ],
)
def test_other_settings_have_another_name(change: dict[str, object]) -> None:
    assert name_of(replace(ASKED, **change).settings) != name_of(ASKED.settings)


def test_how_settings_travel_does_not_change_their_name() -> None:
    for options in ({"texts": ()}, {}, {"unpacks": (1, 2)}):
        told = decode(encode(ASKED, **options))
        assert isinstance(told, Asked)
        assert told.name == name_of(ASKED.settings)
    assert told.settings is not None
    assert told.settings.texts == (1, 2)


# Bytes


@pytest.mark.parametrize(
    ("message", "options", "expected"),
    [
        (PLAIN, RAW, "0a01a0010203040500" + b"Is it well?".hex()),
        (
            replace(PLAIN, turns=(Turn("Hm?", "Yes"),), after=ID - 1),
            {"named": True, "continued": True, **RAW},
            "0605c19a797f01020304050001" + b"Is it well?".hex(),
        ),
        (
            replace(PLAIN, turns=(Turn("Hm?", "Yes"),)),
            {"named": True, "continued": True, **RAW},
            "0609c19a797f0102030405000106486d3f06596573" + b"Is it well?".hex(),
        ),
        (replace(PLAIN, priority=2), RAW, "0c01a0010203040500" + b"Is it well?".hex()),
        (PLAIN, {"named": True, **RAW}, "02c19a797f010203040500" + b"Is it well?".hex()),
        (REPLIES[0], RAW, "200102030405000000280101010c03505965732e"),
        (
            replace(REPLIES[0], thoughts="Hm"),
            RAW,
            "2604010203040500000028" + "0101010c035004" + b"HmYes.".hex(),
        ),
        (
            replace(REPLIES[0], exposed=True),
            RAW,
            "2608010203040500000028" + "0101010c0350" + b"Yes.".hex(),
        ),
        (
            replace(REPLIES[0], seen=(Sight(1, 130, b"\xd4\x4f\xa9\x53", 12),)),
            RAW,
            "2610010203040500000028" + "0101010c0350" + "010181020cd44fa953" + b"Yes.".hex(),
        ),
        (
            replace(REPLIES[0], called_us=200),
            RAW,
            "2620010203040500000028" + "0101010c035002" + b"Yes.".hex(),
        ),
        (
            replace(REPLIES[0], called_us=200, model=b"\xab\xcd"),
            RAW,
            "2660010203040500000028" + "0101010c035002" + "abcd" + b"Yes.".hex(),
        ),
        (REPLIES[2], RAW, "400102030405005965"),
        (REPLIES[3], RAW, "600102030405000000280f00"),
        (REPLIES[5], {}, "80876474696e796451385f3019080002008040"),
        (REPLIES[8], {}, "c00102030405"),
        (REPLIES[9], {}, "c10000000000"),
        (REPLIES[10], {}, "e00102030405"),
    ],
)
def test_vectors(message: Sent, options: dict[str, object], expected: str) -> None:
    assert bytes_of(message, **options).hex() == expected


def test_defaults_are_left_out() -> None:
    """All but the settings' name, the run, the index, and what is used of two minutes."""
    assert len(encode(PLAIN, named=True, texts=())) - len("Is it well?") == 11
    usual = Answer(ID, "Yes.", "stop", 120, 12, 2_800, 24_000, 91_000, 1 << 31, 80 * MIB)
    assert len(encode(usual, texts=())) - len("Yes.") <= 20


# What is no message


def test_a_message_of_the_last_release_is_told_from_damage() -> None:
    """It was a map; the first byte of one lies in a kind of its own."""
    for size in range(4, 12):
        old = cbor2.dumps(dict.fromkeys(range(size), 1))
        with pytest.raises(BadMessage, match="another release"):
            decode(old)


@given(st.binary(max_size=200))
def test_junk_is_a_bad_message_or_one_that_says_the_same_again(junk: bytes) -> None:
    with suppress(BadMessage):
        found = decode(junk)
        if isinstance(found, Asked):
            if found.settings is None:
                return
            found = found.question(found.settings)
            assert question_in(encode(found)) == found
        else:
            assert decode(encode(found)) == found


@given(st.sampled_from([*QUESTIONS[:6], *REPLIES]), st.data())
def test_a_changed_byte_raises_only_bad_message(message: Sent, data: st.DataObject) -> None:
    payload = bytearray(encode(message))
    at = data.draw(st.integers(0, len(payload) - 1))
    payload[at] = data.draw(st.integers(0, 255))
    with suppress(BadMessage):
        decode(bytes(payload))


@pytest.mark.parametrize("message", [*QUESTIONS[:5], *REPLIES[:5]], ids=lambda m: type(m).__name__)
def test_a_message_cut_short_is_none_or_has_a_shorter_text(message: Sent) -> None:
    whole = encode(message, texts=())
    for size in range(len(whole)):
        with suppress(BadMessage):
            assert decode(whole[:size]) != decode(whole)


def settings_of(**change: object) -> bytes:
    return b"\x08" + bytes([len(body := cbor2.dumps(change.get("body", {})))]) + body + bytes(6)


@pytest.mark.parametrize(
    ("body", "key"),
    [
        ([], "keys"),
        ({11: 0}, "keys"),
        ({9: 0}, "see"),
        ({9: ["a"] * 17}, "see"),
        ({9: [""]}, "see"),
        ({10: [5]}, "tools"),
        ({10: ["a" * 201]}, "tools"),
        ({8: 1}, "thoughts"),
        ({"a": 0}, "keys"),
        ({True: 0}, "keys"),
        ({0: 5}, "system"),
        ({1: 5}, "schema"),
        ({2: 1 << 40}, "max_tokens"),
        ({2: True}, "max_tokens"),
        ({3: [0.5]}, "key 3"),
        ({3: [11.0, 0.5, 1, 0]}, "temperature"),
        ({3: [0.5, float("nan"), 1, 0]}, "top_p"),
        ({3: [0.5, 0.5, -1, 0]}, "top_k"),
        ({3: [0.5, 0.5, 1, 2.0]}, "min_p"),
        ({4: 1 << 32}, "seed"),
        ({5: 3}, "thinking"),
        ({6: -1}, "think_tokens"),
        ({7: 1}, "texts"),
        ({7: [256]}, "texts"),
        ({7: [1] * 17}, "texts"),
        ({2: 10**5000}, "max_tokens"),
        ({4: -(10**5000)}, "seed"),
    ],
)
def test_each_bad_setting_is_named(body: object, key: str) -> None:
    encoded = cbor2.dumps(body)
    size = len(encoded)
    head = bytes([size]) if size < 128 else bytes([size >> 7 | 0x80, size & 0x7F])
    with pytest.raises(BadMessage) as caught:
        decode(b"\x08" + head + encoded + bytes(6))
    assert caught.value.key == key


@pytest.mark.parametrize(
    ("payload", "key"),
    [
        ("", "offset 0"),
        ("e0", "offset 1"),
        ("e2" + "00" * 5, "flags"),
        ("e0" + "00" * 6, "offset 6"),
        ("06" + "00" * 10, "flags"),
        ("0610" + "00" * 10, "flags"),
        ("0607" + "00" * 8 + "0101", "priority"),
        ("0605" + "00" * 8 + "05" + "00" + "00", "offset 13"),
        ("0605" + "00" * 8 + "05" + "00" + "06", "offset 12"),
        ("0609" + "00" * 8 + "05" + "00" + "00", "offset 13"),
        ("0609" + "00" * 8 + "05" + "00" + "8769", "offset 12"),
        ("0609" + "00" * 8 + "05" + "00" + "010402ff", "offset 14"),
        ("0609" + "00" * 8 + "05" + "00" + "0102ff00", "offset 14"),
        ("02" + "00" * 8, "offset 9"),
        ("02" + "00" * 8 + "8000" + "00", "offset 9"),
        ("02" + "00" * 8 + "ffffff7f" + "00", "offset 9"),
        ("02" + "00" * 9 + "87a940", "offset 10"),
        ("12" + "00" * 9 + "01", "offset 11"),
        ("26" + "00" * 16, "finish reason"),
        ("2607" + "00" * 15, "finish reason"),
        ("2604" + "00" * 16, "offset 18"),
        ("2604" + "00" * 15 + "02ff", "offset 18"),
        ("30" + "00" * 17, "offset 17"),
        ("28" + "00" * 17, "offset 17"),
        ("42" + "00" * 6, "flags"),
        ("62" + "00" * 11, "flags"),
        ("60" + "00" * 10 + f"{len(REASONS):02x}", "reason"),
        ("82" + "80", "flags"),
        ("80" + "80", ""),
        ("c4" + "00" * 5, "what is unreadable"),
        ("c0" + "00" * 6, "offset 6"),
        ("40" + "00" * 6 + "ff", "offset 7"),
    ],
)
def test_each_bad_field_is_named(payload: str, key: str) -> None:
    with pytest.raises(BadMessage) as caught:
        decode(bytes.fromhex(payload))
    assert caught.value.key == key


def test_too_long_a_message_or_detail() -> None:
    with pytest.raises(BadMessage, match="at most"):
        decode(bytes(MAX_MESSAGE_BYTES + 1))
    with pytest.raises(BadMessage, match="at most"):
        decode(encode(Refusal(ID, "too_long", "x" * 1025, 0, 0), texts=()))
    with pytest.raises(BadMessage, match="at most"):
        decode(encode(Part(ID, 0, "x" * (MAX_TEXT_BYTES + 1)), texts=()))


def test_a_text_that_is_packed_in_an_unknown_way_says_so_when_it_is_read() -> None:
    named = encode(PLAIN, named=True, texts=())
    unknown = next(one for one in range(256) if one not in known())
    odd = bytes([named[0] | 1]) + named[1:-11] + bytes([unknown]) + b"Is it well"
    asked = decode(odd)
    assert isinstance(asked, Asked)
    assert asked.question_id == ID
    with pytest.raises(UnknownDictionary):
        asked.question(PLAIN.settings)


def test_only_a_question_with_its_settings_can_be_kept() -> None:
    for payload in (encode(PLAIN, named=True), encode(REPLIES[0])):
        with pytest.raises(BadMessage, match="with its settings"):
            question_in(payload)


# Vitals


def test_vitals_of_a_later_version_are_left_out() -> None:
    body = cbor2.loads(encode(REPLIES[7])[1:])
    body[7][30] = 7
    assert decode(b"\x81" + cbor2.dumps(body)) == REPLIES[7]


@pytest.mark.parametrize(
    "vitals", [[1], 5, {0: -1}, {"a": 1}, {0: 1.5}, {0: True}, {3: -(1 << 40)}]
)
def test_bad_vitals_are_refused(vitals: object) -> None:
    body = cbor2.loads(encode(REPLIES[6])[1:])
    body[7] = vitals
    with pytest.raises(BadMessage):
        decode(b"\x81" + cbor2.dumps(body))


@pytest.mark.parametrize("place", range(6))
def test_a_health_with_a_wrong_field_is_refused(place: int) -> None:
    body = cbor2.loads(encode(REPLIES[5])[1:])
    for wrong in (-1, 10**5000, {}, "x" * 300):
        body[place] = wrong
        with pytest.raises(BadMessage):
            decode(b"\x80" + cbor2.dumps(body))


def test_a_digest_tells_answers_apart() -> None:
    assert len(digest_of(b"a")) == 8
    assert digest_of(b"a") != digest_of(b"b")


def test_settings_have_a_usual_form() -> None:
    usual = Settings("", "", 256, Sampling(), "off", 0)
    assert PLAIN.settings == usual
    assert codec.USUAL_MS == 120_000
