"""What a full-screen view knows of a station: events and status in, what is drawn out.

Pure: no clock, no terminal. Events and status are those of `Desk`, in process or over HTTP. Times
are seconds on the plan's clock.
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from roundtrip.stages import USUAL, Stage, phase_before
from roundtrip.words import count, duration, shown

Event = dict[str, Any]

KEPT_QUESTIONS = 256
KEPT_LOG = 256
REMEMBERED = 32
"""Loops by which the next one's stages are estimated."""
ANSWERED = ("on_time", "partial", "late")

STEPS = (
    ("Queued", "submitted"),
    ("Sent", "uplink_started"),
    ("Delivered", "delivered"),
    ("Prefill", "started"),
    ("Decode", "first_token"),
    ("Down", "downlink_started"),
    ("Answered", "answered"),
)
"""Of the chain that is shown, with the stage that each begins at."""
ORDER = [stage.value for stage in USUAL]


@dataclass(frozen=True, slots=True)
class Cell:
    """One step of a question."""

    state: str
    """`done`; `presumed`: by estimate it is reached; `ahead`; `never`."""
    after_s: float | None
    """Since the question was asked; None where nothing is known."""
    estimated: bool = False


@dataclass(frozen=True, slots=True)
class Piece:
    """Of an answer that comes down: text, or so many bytes that are not here."""

    text: str
    missing: int = 0


@dataclass(slots=True)
class Seen:
    """One question."""

    key: str
    index: int
    text: str
    asked_s: float
    stages: dict[str, float] = field(default_factory=dict)
    expected_s: float | None = None
    beginning: str = ""
    """Of the answer, as far as it is here without a gap."""
    beyond: dict[int, str] = field(default_factory=dict)
    """Parts after a gap, by where they start, in UTF-8 bytes."""
    first_text_s: float | None = None
    outcome: str = ""
    reason: str = ""
    answer: str | None = None
    loop_s: float | None = None
    late: bool = False

    @property
    def title(self) -> str:
        """What to show of it: the last line, which is the question where a frame precedes it."""
        return self.text.rstrip().rsplit("\n", 1)[-1]

    @property
    def pieces(self) -> list[Piece]:
        """The answer as far as it is here, its gaps marked."""
        if self.answer is not None and (self.outcome in ANSWERED or not self.beyond):
            return [Piece(self.answer)]
        pieces = [Piece(self.beginning)] if self.beginning else []
        end = len(self.beginning.encode())
        for start, text in sorted(self.beyond.items()):
            if start > end:
                pieces.append(Piece("", start - end))
            pieces.append(Piece(text))
            end = max(end, start + len(text.encode()))
        return pieces


class View:
    """Follows one station.

    Args:
        name: of what it runs.
    """

    def __init__(self, name: str = "") -> None:
        self.name = name
        self.status: Event = {}
        self.questions: OrderedDict[str, Seen] = OrderedDict()
        self.log: deque[tuple[float | None, str, str]] = deque(maxlen=KEPT_LOG)
        """When, how bad (`info`, `warning`, `error`), and what; the newest last."""
        self._phases: dict[str, deque[float]] = {
            phase_before(stage): deque(maxlen=REMEMBERED) for stage in USUAL[1:]
        }
        self._carrier: tuple[bool, bool] | None = None
        self._said_of_node = ""

    # -- what is told ------------------------------------------------------------------------------

    def earlier(self, outcomes: list[Event]) -> None:
        """Outcomes from before the events that are told, the newest first."""
        for outcome in reversed(outcomes):
            if outcome["id"] not in self.questions:
                self._settled(outcome)

    def take(self, event: Event) -> None:
        """One event."""
        kind, at_s, level = event["event"], event.get("at_s"), event.get("level", "info")
        match kind:
            case "asked" | "stage":
                self._under_way(event)
            case "late":
                self._late(event, at_s)
            case "text" | "part":
                self._part(event, kind, at_s)
            case "settled":
                self._settled(event)
                self._note(at_s, level, f"#{event['index']} {_outcome(event)}")
            case "carrier":
                self._cue(event, at_s)
            case "health":
                self._health(event, at_s, level)
            case "rejected":
                self._note(at_s, level, f"not taken: {event['reason']}")
            case "note":
                self._note(at_s, level, event["text"])
            case "upload":
                detail = f": {event['detail']}" if event["detail"] else ""
                state = event["state"].replace("_", " ")
                self._note(at_s, level, f"upload: {event['name']} {state}{detail}")
            case _:
                pass

    def note(self, text: str) -> None:
        """Something of this view's own."""
        self._note(self.status.get("clock_s"), "error", text)

    def _note(self, at_s: float | None, level: str, text: str) -> None:
        self.log.append((at_s, level, shown(text, 300)))

    def _cue(self, event: Event, at_s: float | None) -> None:
        ways = (event["tx_up"], event["rx_up"])
        if ways != self._carrier:
            self._note(at_s, "info" if all(ways) else "warning", carrier_words(*ways))
        self._carrier = ways

    def _health(self, event: Event, at_s: float | None, level: str) -> None:
        """A node that says again what it is, as beacons do, is no news."""
        restarts = count(event["engine_restarts"], "engine restart")
        text = f"node: {event['model']} {event['quantization']}, {restarts}"
        if text != self._said_of_node:
            self._note(at_s, level, text)
        self._said_of_node = text

    def _late(self, event: Event, at_s: float | None) -> None:
        one = self._seen(event)
        if one is not None:
            one.late = True
            self._note(at_s, "warning", f"#{one.index} is over its budget")

    def _seen(self, event: Event) -> Seen | None:
        """The question that an event is of; None where nothing tells."""
        key = event.get("id")
        if key is None:
            of = (one for one in self.questions.values() if one.index == event["index"])
            return next(of, None)
        if key not in self.questions and "text" in event and "index" in event:
            asked_s = event["stages_s"]["intended"]
            self.questions[key] = Seen(key, event["index"], event["text"], asked_s)
            self._forget()
        return self.questions.get(key)

    def _forget(self) -> None:
        """The oldest with an outcome; where all are open, the oldest."""
        while len(self.questions) > KEPT_QUESTIONS:
            settled = (key for key, one in self.questions.items() if one.outcome)
            del self.questions[next(settled, next(iter(self.questions)))]

    def _under_way(self, event: Event) -> None:
        one = self._seen(event)
        if one is None:
            return
        if not one.outcome:  # what is told again may have its outcome already
            one.stages.update(event["stages_s"])
            one.expected_s = event["expected_at_s"]
        if event["event"] == "asked":
            self._note(event["at_s"], "info", f"#{one.index} asked: {one.title}")

    def _part(self, event: Event, kind: str, at_s: float | None) -> None:
        one = self.questions.get(event["id"])
        if one is None:
            return
        if one.first_text_s is None:
            one.first_text_s = at_s
        if kind == "part":
            one.beyond[event["start"]] = event["text"]
            return
        one.beginning += event["text"]
        end = len(one.beginning.encode())
        one.beyond = {start: text for start, text in one.beyond.items() if start >= end}

    def _settled(self, event: Event) -> None:
        one = self._seen(event)
        if one is None or one.outcome:
            return
        one.outcome, one.reason, one.answer = event["outcome"], event["reason"], event["answer"]
        one.loop_s = event["loop_s"]
        one.stages = dict(event["stages_s"])
        if one.outcome in ANSWERED:
            for name, spent_s in event["phases_s"].items():
                if name in self._phases:
                    self._phases[name].append(spent_s)

    # -- what is drawn -----------------------------------------------------------------------------

    @property
    def budget_s(self) -> float:
        """Of a loop."""
        return float(self.status.get("budget_s", 120.0))

    def rows(self, room: int) -> list[Seen]:
        """So many questions: the open ones, then the latest outcomes; the newest first."""
        newest = list(reversed(self.questions.values()))
        waiting = [one for one in newest if not one.outcome]
        settled = [one for one in newest if one.outcome]
        return (waiting + settled)[:room]

    def contact(self, now_s: float | None) -> tuple[bool, float | None]:
        """Whether question and answer can pass, and when that changes; None for never."""
        for start_s, end_s in self.status.get("contacts", ()):
            if now_s is not None and now_s < end_s:
                if now_s < start_s:
                    return False, start_s
                return True, end_s if end_s < 1e9 else None
        return False, None

    def cells(self, one: Seen, now_s: float) -> list[Cell]:
        """The chain of a question."""
        reached = one.stages
        if one.outcome:
            return [
                Cell("done", reached[stage] - one.asked_s)
                if stage in reached
                else Cell("never", None)
                for _, stage in STEPS
            ]
        estimates = self._estimates(one, now_s)
        cells = []
        for _, stage in STEPS:
            if stage in reached:
                cells.append(Cell("done", reached[stage] - one.asked_s))
            elif stage in estimates:
                at_s = estimates[stage]
                state = "presumed" if at_s <= now_s and stage != "answered" else "ahead"
                cells.append(Cell(state, at_s - one.asked_s, True))
            else:
                cells.append(Cell("ahead", None))
        return cells

    def _estimates(self, one: Seen, now_s: float) -> dict[str, float]:
        """When the stages are, or were, that the ground does not see."""
        known = [name for name in ORDER if name in one.stages]
        found: dict[str, float] = {}
        end_s = one.expected_s
        if end_s is not None:
            found["answered"] = end_s
        last = ORDER.index(known[-1]) if known else 0
        at_s = one.stages.get(ORDER[last], one.asked_s)
        if last < ORDER.index("uplink_started"):
            up, change_s = self.contact(now_s)
            at_s = max(at_s, now_s) if up else change_s if change_s is not None else math.inf
        if all(self._phases.values()) and at_s < math.inf:
            for after in ORDER[last + 1 :]:
                at_s += median(self._phases[phase_before(Stage(after))])
                if after != "answered":
                    found[after] = at_s if end_s is None else min(at_s, end_s)
        if one.first_text_s is not None:
            for name in ("started", "first_token", "downlink_started"):
                found[name] = min(found.get(name, math.inf), one.first_text_s)
        return found


def carrier_words(tx_up: bool, rx_up: bool) -> str:
    """What a modem's cue says."""
    if tx_up and rx_up:
        return "carrier up"
    if not tx_up and not rx_up:
        return "no carrier"
    return "uplink only" if tx_up else "downlink only"


def _outcome(event: Event) -> str:
    word = str(event["outcome"]).replace("_", " ")
    if event["outcome"] in ANSWERED and event["loop_s"] is not None:
        return f"{word}, {duration(event['loop_s'] * 1000)}"
    return f"{word}: {event['reason']}"
