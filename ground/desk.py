"""Where people and programs ask a standing station: takes questions, tells what becomes of them.

Everything that happens is an event with a number; the latest are kept, so that who was cut off
can go on where it was. One that listens too slowly loses the oldest it has not read, and sees by
the numbers that it did. All calls come from the station's event loop.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Iterable
from itertools import islice
from typing import Any

from ground.bulk.desk import Uplink
from ground.history import History
from ground.loop_times import LoopTimes
from ground.machine import GroundMachine
from ground.outputs import (
    BudgetMissed,
    NodeHealth,
    Rejected,
    Request,
    Settled,
    StageReached,
    StoredQuestion,
    StorePart,
)
from ground.parts import Parts
from ground.results.record import LoopRecord, Planned, Seen
from ground.sky import Sky
from ground.workload import planned_again, planned_now
from roundtrip.budget import Outcome
from roundtrip.codec import question_in
from roundtrip.contacts import FOREVER_NS, Windows
from roundtrip.drive.actor import Actor
from roundtrip.drive.clock import utc
from roundtrip.errors import BadInput, EnvironmentFault
from roundtrip.message import INDEX_BITS, Health, Part, Turn, Vitals, index_of
from roundtrip.modem import Carrier
from roundtrip.units import NS_PER_MS, ns_to_s, s_to_ns

KEPT_EVENTS = 4096
KEPT_RECORDS = 256
"""Outcomes kept at hand; all of them are in the history."""
MOST_WAITING = 1024
"""Events that one listener may be behind."""

KEPT_CARRIERS = 256
"""Changes of the carrier."""
MAX_OPEN = 2048
"""Questions without an outcome."""
SHOWN_CONTACTS = 16
PAST_S = 3_600.0
"""How long a contact that is over is still shown."""
NEVER = Windows(())
ANSWERED = (Outcome.ON_TIME.value, Outcome.PARTIAL.value, Outcome.LATE.value)
LEVELS = {
    Outcome.ON_TIME: "info",
    Outcome.PARTIAL: "warning",
    Outcome.LATE: "warning",
    Outcome.REFUSED: "error",
    Outcome.EXPIRED: "error",
}
"""How bad an event is."""

Event = dict[str, Any]


class Desk:
    """The events of one station, and the way to ask it.

    Args:
        contacts: when question and answer can both pass, ns on the plan's clock.
        budget_s: of a loop.
        history: has the outcomes that are not at hand.
        sky: the passes, where there is an orbit.
    """

    def __init__(
        self,
        contacts: Windows = NEVER,
        budget_s: float = 120.0,
        history: History | None = None,
        sky: Sky | None = None,
    ) -> None:
        self._contacts = contacts
        self._budget_s = budget_s
        self._history = history
        self._sky = sky
        self._loops = LoopTimes()
        self._carriers: deque[tuple[float, bool, bool]] = deque(maxlen=KEPT_CARRIERS)
        self._actor: Actor[GroundMachine] | None = None
        self.zero_unix_s = 0.0
        self._events: deque[Event] = deque(maxlen=KEPT_EVENTS)
        self._number = 0
        self._listeners: set[asyncio.Queue[Event | None]] = set()
        """None: there will be no more."""
        self._open: dict[int, Event] = {}
        self._parts: dict[int, Parts] = {}
        self._texts: OrderedDict[str, list[str]] = OrderedDict()
        self._settled: deque[Event] = deque(maxlen=KEPT_RECORDS)
        self._cue: Carrier | None = None
        self.health: Health | None = None
        self.watchers: list[Callable[[LoopRecord], None]] = []
        """Called with each record."""
        self.uplink: Uplink | None = None
        """Of the station, where there is one."""
        self.on_stand: Callable[[], None] | None = None
        """Called when there is a machine to ask."""

    # -- what the station tells --------------------------------------------------------------------

    def stands(self, actor: Actor[GroundMachine], zero_unix_s: float = 0.0) -> None:
        """The station has its machine; the plan's zero was then, 0 where nobody knows."""
        self._actor = actor
        self.zero_unix_s = zero_unix_s
        if self.on_stand is not None:
            self.on_stand()

    def recovered(self, stored: Iterable[StoredQuestion]) -> None:
        """What the ledger holds, before the machine stands."""
        for one in stored:
            if not one.settled:
                question = question_in(one.payload)
                planned = planned_again(one.asked_ns, question)
                self._open[one.question_id] = _opened(one.question_id, planned)

    def carrier(self, cue: Carrier) -> None:
        """The modem's cue."""
        self._cue = cue
        at_s = ns_to_s(cue.elapsed_ns)
        if not self._carriers or self._carriers[-1][1:] != (cue.tx_up, cue.rx_up):
            self._carriers.append((at_s, cue.tx_up, cue.rx_up))
        self._tell("carrier", tx_up=cue.tx_up, rx_up=cue.rx_up, at_s=at_s)

    def output(self, output: object) -> None:
        """One output of the machine."""
        match output:
            case StageReached():
                self._reached(output)
            case StorePart(part=part):
                self._part(part)
            case BudgetMissed(planned=planned):
                self._tell("late", "warning", index=planned.index)
            case Settled(record=record):
                self._open.pop(record.question_id, None)
                self._parts.pop(record.question_id, None)
                told = shown_record(record)
                self._settled.append(told)
                self._rest(told)
                self._loops.settled(record)
                for watcher in self.watchers:
                    watcher(record)
                self._tell("settled", LEVELS[record.outcome], **told)
            case NodeHealth(health=health):
                last = self.health
                self.health = health.after(last)
                died = last is not None and health.engine_restarts > last.engine_restarts
                self._tell("health", "warning" if died else "info", **shown_health(self.health))
            case Rejected(reason=reason):
                self._tell("rejected", "warning", reason=reason)
            case _:
                pass

    def note(self, text: str) -> None:
        """Something that the operator should know."""
        self._tell("note", text=text)

    def upload(self, name: str, state: str, detail: str) -> None:
        """An upload has come to something."""
        level = "error" if state in ("refused", "rolled_back") else "info"
        self._tell("upload", level, name=name, state=state, detail=detail)

    def ends(self) -> None:
        """The station ends: who listens is told no more."""
        for listener in self._listeners:
            _put(listener, None)

    def _part(self, part: Part) -> None:
        """A part after a gap is told as it is; what closes a gap is told as text, with that."""
        parts = self._parts.setdefault(part.question_id, Parts())
        before = len(parts.text)
        parts.add(part)
        if new := parts.text[before:]:
            self._came(_key(part.question_id), new)
        elif part.start > len(parts.text.encode()):
            self._tell("part", id=_key(part.question_id), start=part.start, text=part.text)

    def _came(self, key: str, text: str) -> None:
        """More of an answer is here."""
        self._texts.setdefault(key, []).append(text)
        while len(self._texts) > KEPT_RECORDS + len(self._open):
            self._texts.popitem(last=False)
        self._tell("text", id=key, text=text)

    def _rest(self, told: Event) -> None:
        """The whole answer is here."""
        answer, there = told["answer"] or "", "".join(self._texts.get(told["id"], ()))
        if answer.startswith(there) and len(answer) > len(there):
            self._texts.setdefault(told["id"], []).append(answer[len(there) :])

    def _reached(self, reached: StageReached) -> None:
        planned = reached.planned
        question_id = self._machine.machine.next_id() >> INDEX_BITS << INDEX_BITS | planned.index
        known = self._open.get(question_id)
        if known is None:  # of the workload, or from before a restart
            known = self._open[question_id] = _opened(question_id, planned)
            self._tell("asked", **known)
        at_s = ns_to_s(reached.at_ns)
        known["stage"] = reached.stage.value
        known["stages_s"] = {**known["stages_s"], reached.stage.value: at_s}
        if reached.expected_ns is not None:
            known["expected_at_s"] = ns_to_s(reached.expected_ns)
        self._tell("stage", **{**known, "at_s": at_s})

    def _tell(self, kind: str, level: str = "info", **fields: Any) -> None:
        self._number += 1
        now_ns = None if self._actor is None else self._actor.clock.now_ns()
        at_s = None if now_ns is None else ns_to_s(now_ns)
        event = {"event": kind, "number": self._number, "level": level, "at_s": at_s, **fields}
        self._events.append(event)
        for listener in self._listeners:
            _put(listener, event)

    # -- what people and programs do ---------------------------------------------------------------

    @property
    def _machine(self) -> Actor[GroundMachine]:
        if self._actor is None:
            raise EnvironmentFault("ask", "the link is not up yet", "wait for it, or start a node")
        return self._actor

    def ask(self, request: Request) -> str:
        """Ask; returns the question's id.

        Raises:
            EnvironmentFault: there was no link yet, or the run has no room for more questions.
        """
        actor = self._machine
        if len(self._open) >= MAX_OPEN:
            remedy = "wait until some have their outcome"
            raise EnvironmentFault("ask", f"{MAX_OPEN} questions are open", remedy)
        question_id = actor.machine.next_id()
        planned = planned_now(index_of(question_id), actor.clock.now_ns(), request)
        event = _opened(question_id, planned)
        self._open[question_id] = event
        self._tell("asked", **event)
        actor.call(actor.machine.ask, request)
        return _key(question_id)

    def cancel(self, key: str) -> bool:
        """Nobody waits for a question any more; whether it was open."""
        question_id = _id(key)
        if question_id not in self._open:
            return False
        actor = self._machine
        actor.call(actor.machine.cancel, question_id)
        return True

    def found(self, key: str) -> Event | None:
        """A question that is open, or had its outcome lately."""
        question_id = _id(key)
        if question_id in self._open:
            parts = self._parts.get(question_id)
            return {**self._open[question_id], "answer": parts.text if parts else None}
        known = next((one for one in reversed(self._settled) if one["id"] == key), None)
        if known is None and self._history is not None:
            return self._history.one(key)
        return known

    def conversation(self, key: str) -> tuple[Turn, ...]:
        """What was said up to a question and its answer, for one that goes on from there.

        Raises:
            BadInput: it, or one before it, was not answered or is not known.
        """
        said: list[Turn] = []
        at: str | None = key
        while at is not None:
            event = self.found(at)
            if event is None or event.get("outcome") not in ANSWERED:
                raise BadInput("question", "after", "one that was answered", at[:80])
            said.append(Turn(event["text"], event["answer"]))
            said += [Turn(*turn) for turn in reversed(event.get("turns") or ())]
            at = event.get("after")
        return tuple(reversed(said))

    def texts(self, key: str) -> list[str]:
        """An answer's text as it came, piece by piece."""
        return list(self._texts.get(key, ()))

    def dated(self, at_s: float | None) -> str | None:
        """A moment of the plan's clock as ISO 8601; None where the plan has no date."""
        if at_s is None or not self.zero_unix_s:
            return None
        return utc(self.zero_unix_s + at_s)

    def contact_at(self, at_s: float | None) -> Event | None:
        """The contact at a moment of the plan's clock; its end is None where it has none."""
        window = None if at_s is None else self._contacts.at(s_to_ns(at_s))
        if window is None:
            return None
        start_s, end_s = ns_to_s(window[0]), ns_to_s(window[1])
        end = None if window[1] >= FOREVER_NS else end_s
        return {
            "start_s": start_s,
            "end_s": end,
            "start": self.dated(start_s),
            "end": self.dated(end),
        }

    def answers(self, count: int, before: str | None = None) -> list[Event]:
        """The latest outcomes, the newest first; those before a question's, where one is given."""
        if self._history is not None:
            return self._history.latest(count, before)
        return list(self._settled)[: -count - 1 : -1]

    async def search(self, query: str, count: int) -> list[Event]:
        """The latest questions of all runs with every word of a query, the newest first.

        Raises:
            BadInput: the query is too long.
        """
        if self._history is None:
            return []
        return await asyncio.to_thread(self._history.find, query, count)

    def status(self) -> Event:
        """How the station does."""
        cue, health = self._cue, self.health
        now_ns = None if self._actor is None else self._actor.clock.now_ns()
        return {
            "link": None
            if cue is None
            else {
                "tx_up": cue.tx_up,
                "rx_up": cue.rx_up,
                "tx_rate_bps": cue.tx_rate_bps,
                "rx_rate_bps": cue.rx_rate_bps,
                "one_way_ms": cue.one_way_ns / NS_PER_MS,
            },
            "node": None if health is None else shown_health(health),
            "number": self._number,
            "clock_s": None if now_ns is None else ns_to_s(now_ns),
            "contacts": self._next_contacts(now_ns or 0),
            "carriers": list(self._carriers),
            "pass": None if self._sky is None else self._sky.at(ns_to_s(now_ns or 0)),
            "budget_s": self._budget_s,
            "loops": self._loops.shown(),
            "open": list(self._open.values()),
            "upload": None if self.uplink is None else self.uplink.status(),
        }

    def _next_contacts(self, now_ns: int) -> list[tuple[float, float]]:
        """The contacts of the last hour, this one and the next ones, s."""
        since_ns = now_ns - s_to_ns(PAST_S)
        coming = (span for span in self._contacts.spans if span[1] > since_ns)
        return [(ns_to_s(start), ns_to_s(end)) for start, end in islice(coming, SHOWN_CONTACTS)]

    async def events(
        self, after: int | None, wanted: Callable[[Event], bool] = lambda event: True
    ) -> AsyncIterator[Event]:
        """The events from now on, or those kept after a number first."""
        listener: asyncio.Queue[Event | None] = asyncio.Queue(MOST_WAITING)
        if after is not None and after > self._number:  # of another life of the station
            after = 0
        kept = [] if after is None else [e for e in self._events if e["number"] > after]
        self._listeners.add(listener)
        try:
            for event in kept:
                if wanted(event):
                    yield event
            while (told := await listener.get()) is not None:
                if wanted(told):
                    yield told
        finally:
            self._listeners.discard(listener)

    @property
    def model(self) -> str:
        """What the node runs, as far as it has said."""
        return "groundloop" if self.health is None else self.health.model.replace(" ", "-")


def _opened(question_id: int, planned: Planned) -> Event:
    """A question that is asked now."""
    return {
        "id": _key(question_id),
        "index": planned.index,
        **_asked(planned),
        "stage": "intended",
        "stages_s": {"intended": ns_to_s(planned.intended_ns)},
        "expected_at_s": None,
    }


def shown_health(health: Health) -> Event:
    """A node as people and programs see it."""
    vitals = health.vitals or Vitals()
    return {
        "model": health.model,
        "quantization": health.quantization,
        "model_sha256": health.sha256,
        "context": health.context,
        "threads": health.threads if vitals.threads is None else vitals.threads,
        "engine_restarts": health.engine_restarts,
        "charge": _scaled(vitals.charge_permille, 1000),
        "temperature_c": _scaled(vitals.temperature_mc, 1000),
        "power_w": _scaled(vitals.power_mw, 1000),
        "rss_bytes": vitals.rss_bytes,
        "throttled_s": _scaled(vitals.throttled_ms, 1000),
        "mended": vitals.mended,
        "engine_mb": vitals.engine_mb,
        "room_mb": vitals.room_mb,
    }


def _scaled(value: int | None, by: int) -> float | None:
    return None if value is None else value / by


def _answered_by(record: LoopRecord) -> Event:
    known = record.model or record.model_sha256
    return {"model": record.model, "model_sha256": record.model_sha256} if known else {}


def shown_record(record: LoopRecord) -> Event:
    """A loop as people and programs see it."""
    loop_ns, expected_ns = record.loop_ns, record.expected_at_ns
    thoughts = {"thoughts": record.thoughts} if record.thoughts else {}
    return {
        "id": _key(record.question_id),
        "index": record.planned.index,
        **_asked(record.planned),
        "outcome": record.outcome.value,
        "reason": record.why,
        "answer": record.answer,
        **thoughts,
        **({"exposed": True} if record.exposed else {}),
        **({"seen": [_seen(one) for one in record.seen]} if record.seen else {}),
        **_answered_by(record),
        "loop_s": None if loop_ns is None else ns_to_s(loop_ns),
        "settled_s": ns_to_s(record.settled_ns),
        "expected_at_s": None if expected_ns is None else ns_to_s(expected_ns),
        "stages_s": {stage.value: ns_to_s(at_ns) for stage, at_ns in record.stamps.items()},
        "split": record.split,
        "phases_s": {name: ns_to_s(spent_ns) for name, spent_ns in record.phases_ns.items()},
        "prompt_tokens": record.prompt_tokens,
        "output_tokens": record.output_tokens,
        "finish_reason": record.finish_reason,
    }


def _asked(planned: Planned) -> Event:
    """What a question says."""
    asked: Event = {"text": planned.text, "priority": planned.priority}
    if planned.after is not None:
        asked["after"] = _key(planned.after)
    elif planned.turns:
        asked["turns"] = [[turn.text, turn.answer] for turn in planned.turns]
    return asked


def _put(listener: asyncio.Queue[Event | None], event: Event | None) -> None:
    if listener.full():
        listener.get_nowait()
    listener.put_nowait(event)


def _key(question_id: int) -> str:
    return f"{question_id:014x}"


def _id(key: str) -> int:
    try:
        return int(key, 16)
    except ValueError:
        return -1


def _seen(one: Seen) -> Event:
    return {
        "what": one.what,
        "age_s": one.age_ms / 1000,
        "sha256": one.digest.hex(),
        "bytes": one.size,
    }
