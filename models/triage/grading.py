"""The right answer to a question about what was seen on board."""

from __future__ import annotations

import re
from collections.abc import Mapping

from models.triage.frames import BY_NAME, ECLIPSE, SUN, Channel, Frame
from models.triage.questions import answer_to
from models.triage.talks import NONE_KNOWN, Pass, Past, not_available
from roundtrip.tools import HISTORY, PASSES, TELEMETRY, TIME

PASS, TIME_RULE, SINCE, TREND = "pass", "time", "since", "trend"
FRAMES = ("telemetry", TELEMETRY)
PASTS = ("telemetry.history", HISTORY)
_PASS = re.compile(r"over (.+), (?:AOS in (.+), lasts (.+?)|LOS in (.+?))(?:, up to (\d+) deg)?")
BETWEEN = " + "


def check_rule(rule: str) -> None:
    """Whether a rule is one.

    Raises:
        ValueError: it is none.
    """
    for one in rule.split(BETWEEN):
        kind, *words = one.split() or [""]
        if kind in (SINCE, TREND):
            if len(words) != 1 or words[0] not in BY_NAME:
                raise ValueError("since or trend and a channel")
        elif one not in (PASS, TIME_RULE):
            answer_to(one, Frame(SUN, ()))


def expected_answer(rule: str, seen: Mapping[str, str]) -> str | None:
    """What the right answer is; None where what it hangs on was not seen.

    Args:
        rule: as `questions.answer_to` has them; `since` or `trend` and a channel; `pass`; `time`;
            or several with a plus between them, answered one after the other.
        seen: what was shown or came back, by what it is.
    """
    answers = [_answer(one, seen) for one in rule.split(BETWEEN)]
    return None if None in answers else " ".join(one for one in answers if one)


def _answer(rule: str, seen: Mapping[str, str]) -> str | None:
    kind, *words = rule.split()
    names = (
        (PASSES,) if kind == PASS else (TIME,) if kind == TIME_RULE
        else PASTS if kind in (SINCE, TREND) else FRAMES
    )  # fmt: skip
    text = next((seen[name] for name in names if name in seen), None)
    if text is None:
        return None
    if text.startswith("error: "):
        return not_available(text)
    if kind == TIME_RULE:
        return f"It is {text}."
    if kind == PASS:
        return _of_pass(text)
    if kind in (SINCE, TREND):
        past, channel = past_in(text), BY_NAME[words[0]]
        return past.since(channel) if kind == SINCE else past.trend(channel)
    return answer_to(rule, frame_in(text))


def _of_pass(text: str) -> str | None:
    if text == NONE_KNOWN:
        return "No pass is known."
    found = _PASS.fullmatch(text)
    if found is None:
        return None
    station, until, lasts, left, height = found.groups()
    return Pass(station, until or "", lasts or left, int(height) if height else None).answer


def frame_in(text: str) -> Frame:
    """The frame that a text shows; channels that are not ours are left out."""
    first, *lines = text.split("\n")
    light = first if first in (SUN, ECLIPSE) else SUN
    values: list[tuple[Channel, int]] = []
    for line in lines if first == light else [first, *lines]:
        name, _, rest = line.partition(" ")
        if name in BY_NAME:
            values.append((BY_NAME[name], BY_NAME[name].value_of(rest.split(" ")[0])))
    return Frame(light, tuple(values))


def past_in(text: str) -> Past:
    """The history that a text shows."""
    head, *lines = text.split("\n")
    minutes = tuple(-int(ago) for ago in head.split(" ")[1:])
    lights = [SUN] * len(minutes)
    rows: list[tuple[Channel, list[str]]] = []
    for line in lines:
        name, *words = line.split(" ")
        if name == "light":
            lights = words
        elif name in BY_NAME:
            rows.append((BY_NAME[name], words[: len(minutes)]))
    frames = tuple(
        Frame(
            lights[place],
            tuple((c, c.value_of(words[place])) for c, words in rows if words[place] != "?"),
        )
        for place in range(len(minutes))
    )
    return Past(minutes, frames)
