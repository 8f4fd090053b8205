"""Questions that are answered with tools, and about how telemetry went: what is called, what comes
back, and the one right answer.

As in `questions.py` everything follows from a seed. A tool is called by itself, one after the
other; what several of them gave is answered in the order of the questions.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace

from models.triage.frames import CHANNELS, WITHIN, Channel, Frame, make_frame
from models.triage.offtopic import made_up, offtopic
from models.triage.questions import (
    ABOUT_A_CHANNEL,
    HELD_OUT_SEED,
    REFUSAL,
    SIDE_WORDS,
    SYSTEM_PROMPT,
    TYPES,
    Posed,
    pose,
)
from models.triage.talk_wording import AND_PASS, AND_TIME, PASS, SINCE, TIME_NOW, TREND
from roundtrip.tools import (
    BUILTIN,
    HISTORY,
    PASSES,
    TELEMETRY,
    TIME,
    call_text,
    calls_in,
    history_table,
    pass_text,
    section,
)
from roundtrip.words import span

STATIONS = (
    "Svalbard", "Berlin", "Kiruna", "Punta Arenas", "Punta-Arenas", "Hawaii", "Dongara", "Troll",
    "Awarua", "Matera", "Santiago", "Weilheim", "Hartebeesthoek", "Fairbanks", "Inuvik",
    "Singapore", "Mauritius", "Cordoba", "McMurdo", "Bangalore", "Redu", "Maspalomas", "Malargue",
    "Kourou", "Wallops", "Miyun", "Kashi", "Sanya", "Jiamusi", "Dubai", "Katsuura", "Tromso",
    "Station 7", "ground",
)  # fmt: skip
"""The shipped ones among them. Names are copied letter by letter: one never trained on may be
misspelt."""
HELD_OUT_STATIONS = ("Madrid", "Canberra", "Malindi", "Esrange", "Goonhilly", "Station 3")
KINDS_OF_NAMES = ("Station", "GS", "Site", "Dish", "Node")
LETTERS = "eeeaaaiiooutnrslhdmckgpbvwfyzjxq"
FAULTS = (
    "no frame for 312 s", "the feed has stopped", "the frame lies in the future",
    "no telemetry", "took longer than 2 s", "its output is too long", "no such tool",
)  # fmt: skip
FAULT_SHARE = 0.05
"""Of calls that fail."""


@dataclass(frozen=True, slots=True)
class Pass:
    """A pass over a station, as `passes.next` tells of it."""

    station: str
    until: str
    """How long until it begins; empty while it is under way."""
    lasts: str
    """How long it is, or is to go on."""
    elevation_deg: int | None
    """The highest; None where it is not known."""

    def text(self) -> str:
        """What the tool says."""
        return pass_text(self.station, self.until, self.lasts, self.elevation_deg)

    @property
    def answer(self) -> str:
        """What the model says."""
        if not self.until:
            return f"Pass over {self.station} until LOS in {self.lasts}."
        return f"Next pass over {self.station} in {self.until}, for {self.lasts}."


NONE_KNOWN = "no pass is known"


@dataclass(frozen=True, slots=True)
class Past:
    """How some channels went, the latest last."""

    minutes: tuple[int, ...]
    """Before now; the last is 0."""
    frames: tuple[Frame, ...]

    def text(self) -> str:
        """As the model sees it: a line a channel."""
        rows = [
            (channel.name, self._shown(channel), channel.unit)
            for channel, _ in self.frames[-1].values
        ]
        return history_table("min", self.minutes, [one.light for one in self.frames], rows)

    def _shown(self, channel: Channel) -> list[str]:
        values = [frame.value(channel) for frame in self.frames]
        return [channel.text(value) if value is not None else "?" for value in values]

    def since(self, channel: Channel) -> str:
        """Since when a channel is out of limits."""
        if self.frames[-1].value(channel) is None:
            return f"{channel.name} is not in this frame."
        side = self.frames[-1].side(channel)
        if side == WITHIN:
            return f"{channel.name} within limits now."
        first = len(self.frames) - 1
        while first and _side(self.frames[first - 1], channel) == side:
            first -= 1
        when = f"{-self.minutes[first]} min" if self.minutes[first] else "now"
        return f"{channel.name} {SIDE_WORDS[side]} since {when}{' or before' * (not first)}."

    def trend(self, channel: Channel) -> str:
        """How a channel went."""
        if self.frames[-1].value(channel) is None:
            return f"{channel.name} is not in this frame."
        return f"{channel.name} {', '.join(self._shown(channel))} {channel.unit}."


def _side(frame: Frame, channel: Channel) -> str | None:
    return None if frame.value(channel) is None else frame.side(channel)


@dataclass(frozen=True, slots=True)
class Talk:
    """A question, what is called for it, and its answer."""

    type: str
    tools: tuple[str, ...]
    """Names of those that are there."""
    text: str
    """The question, what is shown with it before it."""
    rounds: tuple[tuple[str, str], ...]
    """Calls as the model writes them, and what came back."""
    expected: str

    def goes_with(self, tools: tuple[str, ...]) -> bool:
        """Whether it is answered so by a model that has these tools."""
        needed = {call.name for said, _ in self.rounds for call in calls_in(said)}
        is_refused = self.type == "refused" and self.text in PASS[False]
        return needed <= set(tools) and not (is_refused and PASSES in tools)

    @property
    def system(self) -> str:
        """System prompt with its tools."""
        return system_with(self.tools)


def system_with(tools: tuple[str, ...]) -> str:
    """The system prompt of a model that has these tools."""
    if not tools:
        return SYSTEM_PROMPT
    return f"{SYSTEM_PROMPT}\n\n{section([BUILTIN[name] for name in tools])}"


def some_tools(rng: random.Random) -> tuple[str, ...]:
    """Tools that a node may have."""
    kinds = ((TELEMETRY, PASSES), (TELEMETRY, PASSES), tuple(BUILTIN), (TELEMETRY,), (PASSES,))
    if rng.random() < 0.75:
        return rng.choice(kinds)
    return tuple(name for name in BUILTIN if rng.random() < 0.6) or (TELEMETRY,)


def a_pass(rng: random.Random, *, held_out: bool = False) -> Pass:
    """Some pass."""
    station = rng.choice(STATIONS)
    if not held_out and rng.random() < 0.75:  # names are copied, not known
        station = " ".join(_name(rng) for _ in range(rng.choice((1, 1, 1, 2))))
    until = "" if rng.random() < 0.2 else _span(rng, rng.choice((90, 7200, 43_000)))
    elevation = None if rng.random() < 0.2 else rng.randint(5, 90)
    return Pass(station, until, _span(rng, 900), elevation)


def _name(rng: random.Random) -> str:
    draw = rng.random()
    if draw < 0.35:
        return made_up(rng, 1).title()
    if draw < 0.5:
        return f"{rng.choice(KINDS_OF_NAMES)}{rng.choice(' -')}{rng.randint(1, 99)}"
    letters = "".join(rng.choice(LETTERS) for _ in range(rng.randint(3, 10)))
    return letters.capitalize()


def _span(rng: random.Random, most_s: int) -> str:
    return span(rng.randint(1, most_s))


def _date(rng: random.Random) -> str:
    day = f"{rng.randint(2024, 2035)}-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}"
    return f"{day}T{rng.randint(0, 23):02d}:{rng.randint(0, 59):02d}:{rng.randint(0, 59):02d}Z"


def past(rng: random.Random) -> Past:
    """How some channels went; half of the time one of them leaves its limits on the way."""
    last = make_frame(rng, shuffled=True, missing=True)
    count = rng.randint(2, 4)
    step = rng.choice((5, 10, 15, 20, 30))
    kept = last.values[: rng.randint(1, 5)]
    frames = [Frame(last.light, kept)]
    for _ in range(count - 1):
        other = make_frame(rng, shuffled=False, missing=False)
        light = other.light if rng.random() < 0.3 else last.light
        values: list[tuple[Channel, int]] = []
        for channel, value in frames[0].values:
            drawn = other.value(channel) if rng.random() < 0.4 else value + rng.randint(-4, 4)
            assert drawn is not None
            values.append((channel, min(max(drawn, channel.floor), channel.ceiling)))
        frames.insert(0, Frame(light, tuple(values)))
    minutes = tuple(step * ago for ago in range(count - 1, -1, -1))
    return Past(minutes, tuple(frames))


def talk(rng: random.Random, kind: str, *, held_out: bool = False) -> Talk:
    """A question of a kind: one of `KINDS`."""
    return _MAKERS[kind](rng, held_out)


def _fault(rng: random.Random) -> str:
    return f"error: {rng.choice(FAULTS)}" if rng.random() < FAULT_SHARE else ""


def _pick(rng: random.Random, wordings: dict[bool, tuple[str, ...]], held_out: bool) -> str:
    return rng.choice(wordings[held_out])


@dataclass(frozen=True, slots=True)
class _Step:
    """One tool's part of a talk."""

    call: str
    response: str
    answer: str


def _read(rng: random.Random, held_out: bool) -> tuple[Posed, str, _Step]:
    """A question about telemetry, its kind, and how it is answered."""
    frame = make_frame(rng, shuffled=rng.random() < 0.3, missing=rng.random() < 0.4)
    posed = pose(rng, frame, rng.choice(TYPES), held_out=held_out)
    kind = posed.rule.split()[0]
    arguments = {"channels": [channel.name for channel in posed.channels]} if posed.channels else {}
    call = call_text(TELEMETRY, arguments)
    fault = _fault(rng)
    if fault:
        return posed, kind, _Step(call, fault, not_available(fault))
    if posed.channels:
        shown = tuple(pair for pair in frame.values if pair[0] in posed.channels)
        shown = tuple(sorted(shown, key=lambda pair: posed.channels.index(pair[0])))
        if kind in ABOUT_A_CHANNEL and kind != "compare" and rng.random() < 0.06:
            shown = ()
            posed = Posed(posed.text, posed.rule, f"{posed.channels[0].name} is not in this frame.")
        frame = Frame(frame.light, shown)
    return posed, kind, _Step(call, frame.text(), posed.answer)


def not_available(fault: str) -> str:
    """What is answered where a tool failed."""
    return f"Not available: {fault.removeprefix('error: ')}."


def _pass_step(rng: random.Random, held_out: bool) -> _Step:
    call = call_text(PASSES, {})
    if fault := _fault(rng):
        return _Step(call, fault, not_available(fault))
    if rng.random() < 0.06:
        return _Step(call, NONE_KNOWN, "No pass is known.")
    coming = a_pass(rng, held_out=held_out)
    return _Step(call, coming.text(), coming.answer)


def _time_step(rng: random.Random) -> _Step:
    date = _date(rng)
    return _Step(call_text(TIME, {}), date, f"It is {date}.")


def _made(kind: str, tools: tuple[str, ...], text: str, *steps: _Step) -> Talk:
    rounds = tuple((step.call, step.response) for step in steps)
    return Talk(kind, tools, text, rounds, " ".join(step.answer for step in steps))


def _with(rng: random.Random, *needed: str) -> tuple[str, ...]:
    tools = some_tools(rng)
    missing = [name for name in needed if name not in tools]
    return tuple(name for name in BUILTIN if name in (*tools, *missing))


def _telemetry(rng: random.Random, held_out: bool) -> Talk:
    posed, _, step = _read(rng, held_out)
    return _made("telemetry", _with(rng, TELEMETRY), posed.text, step)


def _passes(rng: random.Random, held_out: bool) -> Talk:
    text = _pick(rng, PASS, held_out)
    return _made("pass", _with(rng, PASSES), text, _pass_step(rng, held_out))


def _two(rng: random.Random, held_out: bool) -> Talk:
    posed, _, step = _read(rng, held_out)
    text = f"{posed.text} {_pick(rng, AND_PASS, held_out)}"
    return _made("two", _with(rng, TELEMETRY, PASSES), text, step, _pass_step(rng, held_out))


def _three(rng: random.Random, held_out: bool) -> Talk:
    posed, _, step = _read(rng, held_out)
    text = f"{posed.text} {_pick(rng, AND_PASS, held_out)} {_pick(rng, AND_TIME, held_out)}"
    tools = _with(rng, TELEMETRY, PASSES, TIME)
    return _made("three", tools, text, step, _pass_step(rng, held_out), _time_step(rng))


def _time(rng: random.Random, held_out: bool) -> Talk:
    text = _pick(rng, TIME_NOW, held_out)
    return _made("time", _with(rng, TIME), text, _time_step(rng))


def _refused(rng: random.Random, held_out: bool) -> Talk:
    tools = some_tools(rng)
    if PASSES not in tools and rng.random() < 0.3:
        return Talk("refused", tools, _pick(rng, PASS, held_out), (), REFUSAL)
    text = offtopic(rng, held_out=held_out)
    while any(word in text for word in ("pass", "time", "day", "date")):
        text = offtopic(rng, held_out=held_out)
    return Talk("refused", tools, text, (), REFUSAL)


def _since(rng: random.Random, held_out: bool) -> Talk:
    """With a tool, or with the history shown before the question."""
    how = past(rng)
    channel, _ = rng.choice(how.frames[-1].values)
    if rng.random() < 0.06:
        here = [known for known, _ in how.frames[-1].values]
        channel = rng.choice([known for known in CHANNELS if known not in here])
    is_trend = rng.random() < 0.3
    template = _pick(rng, TREND if is_trend else SINCE, held_out)
    named = channel.name if rng.random() < 0.5 else rng.choice(channel.words)
    text = template.format(c=named)
    answer = how.trend(channel) if is_trend else how.since(channel)
    if rng.random() < 0.5:
        return Talk("history", (), f"{how.text()}\n\n{text}", (), answer)
    alone = Past(
        how.minutes,
        tuple(
            Frame(frame.light, tuple(pair for pair in frame.values if pair[0] is channel))
            for frame in how.frames
        ),
    )
    step = _Step(call_text(HISTORY, {"channels": [channel.name]}), alone.text(), answer)
    return _made("history", _with(rng, HISTORY), text, step)


def _shown(rng: random.Random, held_out: bool) -> Talk:
    """The frame is shown already, so nothing is called."""
    frame = make_frame(rng, shuffled=False, missing=False)
    posed = pose(rng, frame, rng.choice(TYPES), held_out=held_out)
    return Talk("shown", some_tools(rng), f"{frame.text()}\n\n{posed.text}", (), posed.answer)


_MAKERS = {
    "telemetry": _telemetry,
    "pass": _passes,
    "two": _two,
    "three": _three,
    "time": _time,
    "history": _since,
    "refused": _refused,
    "shown": _shown,
}
KINDS = tuple(_MAKERS)
NEW_STATION = "new station"
"""A type of held-out talks: a pass over a station that training never saw."""


def held_out_talks(count: int) -> Iterator[Talk]:
    """Talks with wordings that training never saw; all kinds alike, and as many more about passes
    over stations that it never saw."""
    kinds = (*KINDS, NEW_STATION)
    for index in range(count):
        rng = random.Random(3 * HELD_OUT_SEED + index)
        kind = kinds[index % len(kinds)]
        yield _of_a_new_station(rng) if kind == NEW_STATION else talk(rng, kind, held_out=True)


def _of_a_new_station(rng: random.Random) -> Talk:
    coming = replace(a_pass(rng, held_out=True), station=rng.choice(HELD_OUT_STATIONS))
    step = _Step(call_text(PASSES, {}), coming.text(), coming.answer)
    return _made(NEW_STATION, _with(rng, PASSES), _pick(rng, PASS, held_out=True), step)
