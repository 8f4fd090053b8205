"""Telemetry triage: questions about a frame, and the one right answer to each.

Everything follows from a seed, so that every answer can be graded exactly. Training draws from
seeds below HELD_OUT_SEED, grading from it on; the second held-out set also has wordings and topics
that training never saw.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from models.triage.frames import (
    BY_NAME,
    CHANNELS,
    HIGH,
    LOW,
    SUN,
    WITHIN,
    Channel,
    Frame,
    make_frame,
)
from models.triage.held_out import HELD_OUT
from models.triage.offtopic import offtopic
from models.triage.wording import CLOSINGS, OPENINGS, TRAIN

SYSTEM_PROMPT = (
    "You watch the telemetry of a satellite. Answer from the frame, exactly and briefly."
)
REFUSAL = "I only know telemetry."
HELD_OUT_SEED = 1_000_000_000
TYPES = tuple(TRAIN)
"""Types of questions that have an answer in the frame."""
ABSENT, OFFTOPIC = "absent", "offtopic"
ABOUT_A_CHANNEL = ("value", "check", "action", "compare", "threshold")
SIDE_WORDS = {LOW: "too low", HIGH: "too high"}


@dataclass(frozen=True, slots=True)
class Question:
    """One question, with what a right answer says, to the letter."""

    type: str
    system: str
    """System prompt; empty for none."""
    frame: str
    """The frame's text; empty where the question comes without one."""
    text: str
    """The question by itself."""
    expected: str

    @property
    def prompt(self) -> str:
        """What the user sends: frame, empty line, question."""
        return f"{self.frame}\n\n{self.text}" if self.frame else self.text


def grade(expected: str, answer: str) -> bool:
    """Whether an answer is right: equal but for white space around it."""
    return answer.strip() == expected


@dataclass(frozen=True, slots=True)
class Posed:
    """A question about a frame."""

    text: str
    rule: str
    """What its right answer follows from, see `answer_to`; empty where it does not hang on the
    frame."""
    answer: str
    channels: tuple[Channel, ...] = ()
    """What it is about; none where it is about the whole frame."""


def pose(rng: random.Random, frame: Frame, kind: str, *, held_out: bool) -> Posed:
    """A question of a type about a frame.

    Args:
        frame: for ABSENT, one that lacks a channel.
        kind: one of TYPES, ABSENT or OFFTOPIC.
        held_out: wordings and topics that are never trained on.
    """
    if kind == OFFTOPIC:
        return Posed(_said(rng, offtopic(rng, held_out=held_out)), "", REFUSAL)
    absent = kind == ABSENT
    if absent:
        kind = rng.choice(ABOUT_A_CHANNEL)
    template = rng.choice((HELD_OUT if held_out else TRAIN)[kind])
    if kind not in ABOUT_A_CHANNEL:
        return Posed(_said(rng, template), kind, _WHOLE_FRAME[kind](frame))
    present = [channel for channel, _ in frame.values]
    gone = [channel for channel in CHANNELS if channel not in present]
    pairs = [(a, b) for a in (gone if absent else present) for b in present if _alike(a, b)]
    first = rng.choice(gone if absent else present)
    second = first
    if kind == "compare":
        if not pairs:
            kind = "value"
            template = rng.choice((HELD_OUT if held_out else TRAIN)[kind])
        else:
            first, second = rng.choice(pairs)
    threshold = _threshold(rng, frame, first)
    words = {
        "c": _called(rng, first),
        "d": _called(rng, second),
        "t": first.with_unit(threshold),
    }
    named = (first, second) if kind == "compare" else (first,)
    rule = [kind, *(channel.name for channel in named)]
    rule += [first.text(threshold)] if kind == "threshold" else []
    answer = _about(frame, kind, first, second, threshold)
    return Posed(_said(rng, template.format(**words)), " ".join(rule), answer, named)


def question_about(
    rng: random.Random, frame: Frame, kind: str, *, held_out: bool
) -> tuple[str, str]:
    """As `pose`: the question's text, and its answer."""
    posed = pose(rng, frame, kind, held_out=held_out)
    return posed.text, posed.answer


def answer_to(rule: str, frame: Frame) -> str:
    """The right answer to a question about a frame.

    Args:
        rule: a type of question that is about the whole frame (`status`, `list`, `actions`,
            `count`, `summary`, `light`); or one about a channel and its name (`value EPS.VBAT`,
            `check`, `action`), two channels (`compare EPS.IBAT EPS.ISOL`), or a channel and a value
            as frames show it (`threshold EPS.VBAT 24.5`).
        frame: what was seen.

    Raises:
        ValueError: the rule is none of these.
    """
    kind, *words = rule.split()
    if kind in _WHOLE_FRAME and not words:
        return _WHOLE_FRAME[kind](frame)
    numbers = {"value": 1, "check": 1, "action": 1, "compare": 2, "threshold": 2}
    if len(words) != numbers.get(kind) or words[0] not in BY_NAME:
        raise ValueError("a type of question and its channels")
    first = second = BY_NAME[words[0]]
    threshold = 0
    if kind == "threshold":
        threshold = first.value_of(words[1])
    elif kind == "compare":
        if words[1] not in BY_NAME:
            raise ValueError("two channels")
        second = BY_NAME[words[1]]
        if frame.value(second) is None:
            first, second = second, first
    return _about(frame, kind, first, second, threshold)


def _said(rng: random.Random, text: str) -> str:
    """The text as somebody might type it."""
    draw = rng.random()
    if draw < 0.10:
        text = rng.choice(OPENINGS) + text[0].lower() + text[1:]
    elif draw < 0.18:
        text += rng.choice(CLOSINGS)
    elif draw < 0.26 and len(text) > 12:
        text = text.rstrip("?.")
    if rng.random() < 0.10 and "." not in text[:-1]:
        text = text.lower()
    return text


def _called(rng: random.Random, channel: Channel) -> str:
    if rng.random() < 0.45:
        return channel.name
    words = rng.choice(channel.words)
    return f"the {words}" if rng.random() < 0.3 else words


def _alike(first: Channel, second: Channel) -> bool:
    """Whether two channels can be compared."""
    same = (first.unit, first.decimals) == (second.unit, second.decimals)
    return same and first is not second


def _threshold(rng: random.Random, frame: Frame, channel: Channel) -> int:
    value = frame.value(channel)
    if value is None or rng.random() < 0.4:
        return rng.randint(channel.floor, channel.ceiling)
    near = value + rng.choice((-9, -5, -3, -2, -1, 0, 1, 2, 3, 5, 9))
    return min(max(near, channel.floor), channel.ceiling)


# -- answers ---------------------------------------------------------------------------------------


def _about(frame: Frame, kind: str, first: Channel, second: Channel, threshold: int) -> str:
    value = frame.value(first)
    if value is None:
        return f"{first.name} is not in this frame."
    reading = f"{first.name} is {first.with_unit(value)}"
    match kind:
        case "value":
            return f"{reading}."
        case "check":
            low, high = first.limits(frame.light)
            limits = f"limits {first.text(low)} to {first.text(high)}"
            return f"{reading}, {limits}: {_verdict(frame.side(first))}."
        case "action":
            return f"{_advice(first, frame.side(first))}."
        case "compare":
            other = frame.value(second)
            assert other is not None
            both = f"{first.name} {first.with_unit(value)}, {second.name} {second.with_unit(other)}"
            if value == other:
                return f"{both}: equal."
            return f"{both}: {(first if value > other else second).name} is higher."
        case _:
            word = "above" if value > threshold else "below" if value < threshold else "equal"
            return f"{reading}, threshold {first.with_unit(threshold)}: {word}."


def _verdict(side: str) -> str:
    return "within limits" if side == WITHIN else SIDE_WORDS[side]


def _advice(channel: Channel, side: str) -> str:
    if side == WITHIN:
        return f"{channel.name} within limits: no action"
    action = channel.when_low if side == LOW else channel.when_high
    return f"{channel.name} {SIDE_WORDS[side]}: {action}"


def _names(frame: Frame) -> list[str]:
    return [channel.name for channel, _ in frame.alarms()]


def _sided(frame: Frame) -> str:
    return ", ".join(f"{channel.name} {SIDE_WORDS[side]}" for channel, side in frame.alarms())


def _status(frame: Frame) -> str:
    names = ",".join(f'"{name}"' for name in _names(frame))
    return f'{{"alarms":[{names}],"status":"{"alarm" if names else "nominal"}"}}'


def _list(frame: Frame) -> str:
    return f"{_sided(frame)}." if frame.alarms() else "No alarms."


def _actions(frame: Frame) -> str:
    advice = "; ".join(_advice(channel, side) for channel, side in frame.alarms())
    return f"{advice}." if advice else "No action needed."


def _count(frame: Frame) -> str:
    names = _names(frame)
    return f"{', '.join(names)}: {len(names)} in alarm." if names else "0 in alarm."


def _light(frame: Frame) -> str:
    return "In sunlight." if frame.light == SUN else "In eclipse."


def _summary(frame: Frame) -> str:
    where = _light(frame).rstrip(".")
    return f"{where}, {_sided(frame)}." if frame.alarms() else f"{where}, all within limits."


_WHOLE_FRAME = {
    "status": _status,
    "list": _list,
    "actions": _actions,
    "count": _count,
    "summary": _summary,
    "light": _light,
}


# -- sets ------------------------------------------------------------------------------------------


def held_out(count: int) -> Iterator[Question]:
    """The first held-out set: frames never trained on, channels in their order, all types alike."""
    for index in range(count):
        rng = random.Random(HELD_OUT_SEED + index)
        kind = TYPES[index % len(TYPES)]
        frame = make_frame(rng, shuffled=False, missing=False)
        text, expected = question_about(rng, frame, kind, held_out=False)
        yield Question(kind, SYSTEM_PROMPT, frame.text(), text, expected)


HARD_KINDS = ("shuffled", "wording", ABSENT, "no system prompt", OFFTOPIC)


def held_out_hard(count: int) -> Iterator[Question]:
    """The second held-out set; each question has the kind of hardship as its type."""
    for index in range(count):
        rng = random.Random(2 * HELD_OUT_SEED + index)
        hardship = HARD_KINDS[index % len(HARD_KINDS)]
        frame = make_frame(rng, shuffled=True, missing=True)
        kind = rng.choice(TYPES)
        system = "" if hardship == "no system prompt" else SYSTEM_PROMPT
        shown = frame.text()
        if hardship == ABSENT:
            frame = _with_gap(rng, frame)
            kind, shown = ABSENT, frame.text()
        elif hardship == OFFTOPIC:
            kind = OFFTOPIC
            shown = shown if rng.random() < 0.7 else ""
        new = hardship in ("wording", OFFTOPIC)
        text, expected = question_about(rng, frame, kind, held_out=new)
        yield Question(hardship, system, shown, text, expected)


def workload(count: int, seed: int) -> Iterator[Question]:
    """Questions as operators ask them: mostly about the frame, some absent, a few off topic."""
    for index in range(count):
        rng = random.Random(f"{seed}/{index}")
        kind = rng.choice((*TYPES, *TYPES, ABSENT, OFFTOPIC))
        frame = make_frame(rng, shuffled=False, missing=kind == ABSENT)
        frame = _with_gap(rng, frame) if kind == ABSENT else frame
        text, expected = question_about(rng, frame, kind, held_out=True)
        yield Question(kind, SYSTEM_PROMPT, frame.text(), text, expected)


LEAST_BYTES, MOST_BYTES = 10, 40
"""Of a question about data that is on board already."""


def on_board(count: int, seed: int) -> Iterator[Posed]:
    """Short questions about what the node can see, all types alike and a few off topic; those about
    the frame have a rule instead of an answer."""
    frame = make_frame(random.Random(seed), shuffled=False, missing=False)
    kinds = (*TYPES, OFFTOPIC)
    for index in range(count):
        rng = random.Random(f"{seed}/on board/{index}")
        kind = kinds[index % len(kinds)]
        posed = pose(rng, frame, kind, held_out=True)
        while not LEAST_BYTES <= len(posed.text) <= MOST_BYTES:
            posed = pose(rng, frame, kind, held_out=True)
        yield posed


def _with_gap(rng: random.Random, frame: Frame) -> Frame:
    """The frame, less one channel if it has all."""
    if len(frame.values) < len(CHANNELS):
        return frame
    at = rng.randrange(len(frame.values))
    return Frame(frame.light, frame.values[:at] + frame.values[at + 1 :])
