"""What the operator sees while a run goes on: contact state, and one line per question.

On a terminal a table that is redrawn; elsewhere a plain line per question when it has its outcome.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import islice
from typing import Any

from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ground.outputs import BudgetMissed, NodeHealth, Settled, StageReached
from ground.results.record import LoopRecord, Planned
from roundtrip.budget import Outcome
from roundtrip.contacts import FOREVER_NS, ContactPlan
from roundtrip.modem import Carrier
from roundtrip.screen import Screen
from roundtrip.units import NS_PER_S, ns_to_s
from roundtrip.words import count, shown

SHOWN = 16
OUTCOME_STYLE = {
    Outcome.ON_TIME: "green",
    Outcome.PARTIAL: "yellow",
    Outcome.LATE: "red",
    Outcome.REFUSED: "red",
    Outcome.EXPIRED: "red",
}


class Progress:
    """Follows the machine's outputs.

    Args:
        console: where to write.
        plan: the contact plan.
        budget_s: of a loop.
        total: questions in the workload.
    """

    def __init__(self, console: Screen, plan: ContactPlan, budget_s: float, total: int) -> None:
        self._console = console
        self._plan = plan
        self._budget_s = budget_s
        self._total = total
        self._waiting: dict[int, tuple[Planned, str]] = {}
        self._counts: dict[Outcome, int] = {}
        self._cue: Carrier | None = None
        self._live: Live | None = None

    def __enter__(self) -> Progress:
        if self._console.is_terminal:
            self._live = Live(
                console=self._console, refresh_per_second=8, auto_refresh=False, transient=True
            )
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def resumed(self, records: Sequence[LoopRecord], unsettled: int) -> None:
        """The run goes on from a ledger that holds these, and so many questions besides."""
        if not self._total:  # a station that stands
            self._console.print(f"going on: {count(unsettled, 'question')} open")
            return
        self._counts.update(Counter(record.outcome for record in records))
        self._console.print(
            f"going on with an interrupted run: {len(records)} of "
            f"{count(self._total, 'question')} settled"
        )

    def busy(self) -> None:
        """The link has another ground."""
        self._console.print("the link is busy with another ground; waiting")

    def note(self, text: str) -> None:
        """Something that the operator should know; nothing for an empty text."""
        if text:
            self._console.print(Text(shown(text, 300), style="yellow"), soft_wrap=True)

    def carrier(self, cue: Carrier) -> None:
        """The modem's cue."""
        if self._live is None and (
            self._cue is None or (cue.tx_up, cue.rx_up) != (self._cue.tx_up, self._cue.rx_up)
        ):
            line = f"{ns_to_s(cue.elapsed_ns):8.2f} s  {_carrier_text(cue).plain}"
            self._console.print(Text(line, style="dim"))
        self._cue = cue

    def output(self, output: Any) -> None:
        """One output of the ground machine."""
        match output:
            case StageReached(planned=planned, stage=stage):
                self._waiting[planned.index] = (planned, stage.value)
            case BudgetMissed(planned=planned):
                self._waiting[planned.index] = (planned, "budget missed")
            case Settled(record=record):
                self._counts[record.outcome] = self._counts.get(record.outcome, 0) + 1
                self._waiting.pop(record.planned.index, None)
                self._print_settled(record)
            case NodeHealth(health=health) if self._live is None and health.vitals is None:
                text = (
                    f"node: {shown(health.model, 60)} {shown(health.quantization, 20)}, "
                    f"{count(health.threads, 'thread')}, context {health.context}"
                )
                self._console.print(Text(text, style="dim"), soft_wrap=True)
            case _:
                pass

    def _print_settled(self, record: LoopRecord) -> None:
        line = Text(f"{ns_to_s(record.settled_ns):8.2f} s  #{record.planned.index:<4d}")
        line.append(f"{record.outcome.value:8s}", style=OUTCOME_STYLE[record.outcome])
        line.append(f" {_loop_text(record):>10s}  ")
        line.append(_phases_text(record), style="dim")
        self._console.print(line, soft_wrap=True)
        asked = shown(record.planned.title, 60)
        room = max(20, self._console.width - len(asked) - 15)
        line = Text(f"           {asked} ", style="dim")
        line.append(f"→ {shown(record.answer or record.why, room)}")
        self._console.print(line, soft_wrap=True)

    def refresh(self, now_ns: int) -> None:
        """Draw the table anew."""
        if self._live is not None:
            self._live.update(self._table(now_ns), refresh=True)

    def _table(self, now_ns: int) -> RenderableType:
        table = Table(box=None, pad_edge=False, expand=True)
        table.add_column("#", justify="right", width=4)
        table.add_column("question", ratio=1, no_wrap=True)
        table.add_column("stage", width=16)
        table.add_column("elapsed", justify="right", width=9)
        table.add_column("left", justify="right", width=9)
        for planned, stage in islice(self._waiting.values(), SHOWN):
            elapsed_s = ns_to_s(now_ns - planned.intended_ns)
            left_s = self._budget_s - elapsed_s
            style = "red" if left_s < 0 else "yellow" if left_s < 0.25 * self._budget_s else ""
            table.add_row(
                str(planned.index),
                shown(planned.title, 200),
                stage,
                f"{elapsed_s:.1f} s",
                Text(f"{left_s:.1f} s", style=style),
            )
        done = sum(self._counts.values())
        counts = ", ".join(f"{n} {outcome.value}" for outcome, n in self._counts.items())
        head = Text(f"t = {ns_to_s(now_ns):.1f} s   ")
        if self._cue is not None:
            head.append_text(_carrier_text(self._cue))
        head.append(f"   {self._next_contact(now_ns)}")
        foot = Text(f"{done} of {self._total} settled" + (f": {counts}" if counts else ""))
        return Group(Text(""), head, table, foot)

    def _next_contact(self, now_ns: int) -> str:
        window = self._plan.both.at(now_ns)
        if window is None:
            start = self._plan.both.next_start(now_ns)
            return "no further contact" if start is None else f"AOS in {_clock(start - now_ns)}"
        return "" if window[1] >= FOREVER_NS else f"LOS in {_clock(window[1] - now_ns)}"


class NotesOnly(Progress):
    """Of a station whose events are shown otherwise: prints what is not among them."""

    def carrier(self, cue: Carrier) -> None:
        """The desk tells it."""

    def output(self, output: Any) -> None:
        """The desk tells it."""


def _carrier_text(cue: Carrier) -> Text:
    match cue.tx_up, cue.rx_up:
        case True, True:
            return Text("carrier up", style="green")
        case False, False:
            return Text("no carrier", style="red")
        case True, False:
            return Text("uplink only", style="yellow")
        case _:
            return Text("downlink only", style="yellow")


def _loop_text(record: LoopRecord) -> str:
    return "no answer" if record.loop_ns is None else f"{ns_to_s(record.loop_ns):.3f} s"


def _phases_text(record: LoopRecord) -> str:
    long = sorted(record.phases_ns.items(), key=lambda phase: -phase[1])[:3]
    return ", ".join(f"{name} {ns_to_s(ns):.3f}" for name, ns in long if ns > 0)


def _clock(duration_ns: int) -> str:
    minutes, seconds = divmod(duration_ns // NS_PER_S, 60)
    return f"{minutes}:{seconds:02d}"
