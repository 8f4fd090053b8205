"""Messages to a question, and texts that end at a word."""

from __future__ import annotations

import pytest

from ground.desk import Desk
from ground.outputs import Request
from ground.web import chats
from ground.web.chats import REMEMBERED_S, Asked, Said, prompt_of, times_of, timings_of, until
from ground.web.openai import _ready
from roundtrip.contacts import Windows
from roundtrip.errors import BadInput
from roundtrip.message import Turn

USER, ASSISTANT = (lambda text: Said("user", text)), (lambda text: Said("assistant", text))


@pytest.mark.parametrize(
    ("messages", "system", "turns", "text"),
    [
        ([USER("Well?")], None, (), "Well?"),
        ([Said("system", "Be short."), USER("Well?")], "Be short.", (), "Well?"),
        ([Said("developer", "A."), USER("?"), Said("system", "B.")], "A.\n\nB.", (), "?"),
        (
            [USER("Hi"), ASSISTANT("Hello"), USER("Well?"), ASSISTANT("Yes."), USER("Sure?")],
            None,
            (Turn("Hi", "Hello"), Turn("Well?", "Yes.")),
            "Sure?",
        ),
        ([USER("Hi"), USER("Well?")], None, (), "Hi\n\nWell?"),
        (
            [ASSISTANT("Ready."), ASSISTANT("Ask."), USER("Well?")],
            None,
            (Turn("", "Ready.\n\nAsk."),),
            "Well?",
        ),
    ],
)
def test_a_conversation_is_a_system_prompt_turns_and_a_text(
    messages: list[Said], system: str | None, turns: tuple[Turn, ...], text: str
) -> None:
    assert prompt_of(messages) == (system, turns, text)


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        ([], "a user's message"),
        ([Said("system", "x")], "a user's message"),
        ([USER("x"), ASSISTANT("y")], "a user's message"),
        ([Said("tool", "x"), USER("y")], "tool"),
    ],
)
def test_what_is_no_conversation(messages: list[Said], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        prompt_of(messages)


@pytest.mark.parametrize(
    ("stops", "text", "found"),
    [
        ([], "abc", ("abc", False)),
        ([""], "abc", ("abc", False)),
        (["b"], "abc", ("a", True)),
        (["c", "b"], "abcb", ("a", True)),
        (["x"], "abc", ("abc", False)),
        (["a"], "abc", ("", True)),
    ],
)
def test_a_text_ends_at_the_first_stop(
    stops: list[str], text: str, found: tuple[str, bool]
) -> None:
    assert until(stops, text) == found


@pytest.mark.parametrize(
    ("text", "ready", "held", "ended"),
    [
        ("ab", "ab", "", False),
        ("abE", "ab", "E", False),
        ("abEN", "ab", "EN", False),
        ("abEND", "ab", "", True),
        ("abENE", "abEN", "E", False),
        ("", "", "", False),
    ],
)
def test_what_may_be_the_beginning_of_a_stop_waits(
    text: str, ready: str, held: str, ended: bool
) -> None:
    assert _ready(["END", "zz"], text) == (ready, held, ended)


def test_what_the_link_and_the_engine_took() -> None:
    phases = {"ground_queue": 0.1, "uplink_wait": 2, "uplink": 0.5, "downlink_wait": 1, "decode": 3}
    event = {"phases_s": phases, "loop_s": 7.0, "prompt_tokens": 5, "output_tokens": 6}
    event |= {"settled_s": 8.0, "expected_at_s": 6.5}
    second = 1_000_000_000
    desk = Desk(Windows([(5 * second, 9 * second)]))
    desk.stands(None, 1_780_272_000)
    contact = {
        "start_s": 5.0,
        "end_s": 9.0,
        "start": "2026-06-01T00:00:05Z",
        "end": "2026-06-01T00:00:09Z",
    }
    when = {
        "contact": contact,
        "expected_at_s": 6.5,
        "expected_answer_at": "2026-06-01T00:00:06Z",
    }
    assert times_of(desk, event) == when | {
        "waited_s": pytest.approx(3.1), "uplink_s": 0.5, "downlink_s": None, "loop_s": 7.0,
    }  # fmt: skip
    assert times_of(desk, {"expected_at_s": 6.5}) == when, "of one that is open"
    assert times_of(Desk(), {"expected_at_s": None})["contact"] is None
    assert timings_of(event) == {
        "prompt_n": 5, "prompt_ms": 0.0, "predicted_n": 6, "predicted_ms": 3000.0,
    }  # fmt: skip


class Keys:
    """Gives out keys, and knows those that are not forgotten."""

    def __init__(self) -> None:
        self.asked = 0
        self.forgotten: set[str] = set()

    def ask(self, request: Request) -> str:
        self.asked += 1
        return f"k{self.asked}"

    def found(self, key: str) -> object | None:
        return None if key in self.forgotten else key


def test_other_tries_are_known_as_long_as_they_are_remembered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(chats, "KEPT_BODIES", 2)
    desk, now_s = Keys(), [0.0]
    asked = Asked(desk, lambda: now_s[0])

    def ask(body: bytes) -> str:
        return asked.ask(Request("?"), body, again=True)

    assert [ask(b"a"), ask(b"a"), ask(b"b"), ask(b"a")] == ["k1", "k1", "k2", "k1"]
    desk.forgotten.add("k2")
    assert ask(b"b") == "k3", "the station knows it no longer"
    assert [ask(b"c"), ask(b"b"), ask(b"a")] == ["k4", "k3", "k5"], "two are remembered"
    now_s[0] = REMEMBERED_S
    assert ask(b"a") == "k5"
    now_s[0] = REMEMBERED_S + 1e-3
    assert ask(b"a") == "k6"


class Answered(Keys):
    """Has given every question an answer."""

    def ask(self, request: Request) -> str:
        self.last = request
        super().ask(request)
        return f"{self.asked:014x}"

    def found(self, key: str) -> object | None:
        if key in self.forgotten:
            return None
        return {"answer": f"Answer {int(key, 16)}.", "outcome": "on_time"}


@pytest.mark.parametrize(
    ("turns", "after"),
    [
        ((), None),
        ((Turn("Well?", "Answer 1."),), 1),
        ((Turn("Well?", "Answer 1."), Turn("Sure?", "Answer 2.")), 2),
        ((Turn("Well?", "Answer 1"),), None),
        ((Turn("Well?", "Answer 2."),), None),
        ((Turn("Sure?", "Answer 2."),), None),
    ],
)
def test_a_conversation_that_was_had_here_is_known(
    turns: tuple[Turn, ...], after: int | None
) -> None:
    desk = Answered()
    asked = Asked(desk, lambda: 0.0)
    asked.ask(Request("Well?"), b"1")
    asked.ask(Request("Sure?", turns=(Turn("Well?", "Answer 1."),)), b"2")
    assert desk.last.after == 1
    asked.ask(Request("Why?", turns=turns), b"3")
    assert (desk.last.after, desk.last.turns) == (after, turns)
    desk.forgotten = {"00000000000001", "00000000000002"}
    asked.ask(Request("Why?", turns=turns), b"4")
    assert desk.last.after is None


def test_only_so_many_conversations_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chats, "KEPT_BODIES", 2)
    desk = Answered()
    asked = Asked(desk, lambda: 0.0)
    for n in range(3):
        asked.ask(Request(f"{n}?"), b"%d" % n)
    for n, known in ((0, None), (2, 3)):
        asked.ask(Request("Why?", turns=(Turn(f"{n}?", f"Answer {n + 1}."),)), b"x%d" % n)
        assert desk.last.after == known
