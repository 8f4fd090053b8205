"""A view drawn as lines of a terminal: exactly as many, and as wide, as there is room for. Pure.

What colours say is said by marks or words as well.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text

from ground.terminal.histogram import loops_drawn
from ground.terminal.line import Line
from ground.terminal.view import STEPS, Cell, Seen, View, carrier_words
from roundtrip.screen import Screen
from roundtrip.words import count, percent, printable, shown

LEAST_WIDTH, LEAST_HEIGHT = 60, 16
COLUMNS = (7, 7, 10, 8, 8, 7, 9)
"""Of the steps."""
PROMPT = "> "
KEYS = "Enter ask   ↑↓ choose   PgUp PgDn scroll   ^X give up   ^P ^N earlier   ^C quit"
STYLES = {"info": "", "warning": "yellow", "error": "red"}
MARKS = {"info": " ", "warning": "!", "error": "×"}
OUTCOME_STYLES = {"on_time": "green", "partial": "yellow"}
CELL_STYLES = {"done": "green", "presumed": "yellow", "ahead": "dim", "never": "dim"}
RULE = "dim"
COMING = ("offered", "taking", "paused", "trying", "trial")
"""States of an upload that is under way."""

_WRAPPER = Screen(width=LEAST_WIDTH, color_system=None)


@dataclass(slots=True)
class Looking:
    """What a person looks at."""

    chosen: str | None = None
    """A question; None for the newest."""
    scroll: int = 0
    """Lines of its answer that are above what is shown; counted from the end while it comes."""
    note: str = ""
    """Shown instead of the keys."""


@dataclass(frozen=True, slots=True)
class Frame:
    """What is on the screen."""

    lines: list[Text]
    cursor: tuple[int, int]
    """Line and cell, from 0."""


def draw(
    view: View, looking: Looking, line: Line, now_s: float | None, width: int, height: int
) -> Frame:
    """The screen at a time.

    Args:
        view: what is known.
        looking: what is looked at.
        line: the line to ask from.
        now_s: on the plan's clock; None before the station has one.
        width, height: of the screen, cells.
    """
    if width < LEAST_WIDTH or height < LEAST_HEIGHT:
        text = f"{width} × {height} is too small: {LEAST_WIDTH} × {LEAST_HEIGHT} at least"
        return Frame(_fitted([Text(text)], width, height), (0, 0))
    room = height - 8
    answer, loops = max(3, room // 3), max(4, room // 3)
    questions = room - answer - loops
    rows = view.rows(questions)
    chosen = chosen_of(view, looking, questions)
    now = 0.0 if now_s is None else now_s
    lines = [_head(view, now_s, width), _link(view, width), _node(view, width)]
    lines.append(_steps(width))
    lines += _padded([_row(view, one, one is chosen, now, width) for one in rows], questions)
    lines += _answer(view, chosen, looking, width, answer)
    lines += _bottom(view, width, loops)
    written, cursor = line.shown(width - len(PROMPT))
    lines.append(Text().append(PROMPT, "bold").append(written))
    lines.append(Text(looking.note, "yellow") if looking.note else Text(KEYS, "dim"))
    return Frame(_fitted(lines, width, height), (height - 2, len(PROMPT) + cursor))


def chosen_of(view: View, looking: Looking, room: int) -> Seen | None:
    """The question whose answer is shown."""
    if looking.chosen is not None and looking.chosen in view.questions:
        return view.questions[looking.chosen]
    return next(iter(view.rows(room)), None)


def _fitted(lines: Sequence[Text], width: int, height: int) -> list[Text]:
    fitted = []
    for line in _padded(list(lines[:height]), height):
        line.truncate(width, overflow="ellipsis")
        fitted.append(line)
    return fitted


def _padded(lines: list[Text], height: int) -> list[Text]:
    return lines + [Text() for _ in range(height - len(lines))]


def _joined(parts: Sequence[Text | str], width: int, gap: str = "   ") -> Text:
    """As many parts as fit, the first ones first."""
    line = Text()
    for part in parts:
        if not part:
            continue
        text = Text(part) if isinstance(part, str) else part
        space = gap if line else ""
        if line.cell_len + len(space) + text.cell_len <= width:
            line.append(space).append_text(text)
    return line


# -- the head --------------------------------------------------------------------------------------


def _head(view: View, now_s: float | None, width: int) -> Text:
    line = Text().append(" groundloop ", "bold reverse").append(f" {shown(view.name, 40)}")
    middle, style = countdown(view, now_s)
    right = "" if now_s is None else f"t {clock(now_s)}"
    line.append(" " * max(2, (width - len(middle)) // 2 - line.cell_len))
    line.append(middle, f"bold {style}")
    line.append(" " * max(1, width - line.cell_len - len(right)))
    return line.append(right)


def countdown(view: View, now_s: float | None) -> tuple[str, str]:
    """To the next AOS or LOS, and its style."""
    if now_s is None:
        return "waiting for the link" if view.status else "no station", "yellow"
    up, change_s = view.contact(now_s)
    if change_s is None:
        return ("in contact, no LOS", "green") if up else ("no contact to come", "red")
    left = clock(change_s - now_s)
    return (f"LOS in {left}", "green") if up else (f"AOS in {left}", "yellow")


def clock(seconds: float) -> str:
    """Hours, minutes and seconds; days before them where there are some."""
    whole = max(0, math.floor(seconds))
    days, rest = divmod(whole, 86_400)
    text = f"{rest // 3600}:{rest // 60 % 60:02d}:{rest % 60:02d}"
    return f"{days} d {text}" if days else text


def rate(bps: float) -> str:
    """A rate in the largest unit that leaves a digit before the point."""
    for size, unit in ((1e6, "Mbit/s"), (1e3, "kbit/s")):
        if bps >= size:
            return f"{bps / size:.3g} {unit}"
    return f"{bps:.0f} bit/s"


def _link(view: View, width: int) -> Text:
    link, there = view.status.get("link"), view.status.get("pass") or {}
    if link is None:
        return Text(" link   not up yet", "yellow")
    up = (link["tx_up"], link["rx_up"])
    style = "green" if all(up) else "yellow" if any(up) else "red"
    parts: list[Text | str] = [Text(f" {carrier_words(*up)}", style)]
    if now := there.get("now"):
        parts.append(f"el {now['elevation_deg']:.1f}° az {now['azimuth_deg']:.0f}°")
        parts.append(f"{now['range_km']:,.0f} km")
    elif there:
        parts.append(f"next pass up to {there['max_elevation_deg']:.0f}°")
    rates = f"↑ {rate(link['tx_rate_bps'])}  ↓ {rate(link['rx_rate_bps'])}"
    return _joined([*parts, rates, f"{link['one_way_ms']:.4g} ms one way"], width)


def _node(view: View, width: int) -> Text:
    node = view.status.get("node")
    if node is None:
        return Text(" node   not heard yet", "yellow")

    def vital(name: str, text: str) -> str:
        return text.format(node[name]) if node[name] is not None else ""

    restarts = count(node["engine_restarts"], "engine restart")
    return _joined(
        [
            f" {shown(node['model'], 30)} {shown(node['quantization'], 12)}",
            Text(_upload(view), "cyan"),
            vital("charge", "charge {:.0%}"),
            vital("temperature_c", "{:.0f} °C"),
            vital("power_w", "{:.1f} W"),
            f"{node['rss_bytes'] / (1 << 20):,.0f} MiB" if node["rss_bytes"] else "",
            Text(restarts, "yellow" if node["engine_restarts"] else ""),
            Text(count(node["mended"], "tensor") + " mended", "yellow") if node["mended"] else "",
            f"{count(node['threads'], 'thread')}, context {node['context']}",
        ],
        width,
    )


def _upload(view: View) -> str:
    """How far what goes up is; empty where nothing does."""
    upload = view.status.get("upload") or {"state": "none"}
    if upload["state"] not in COMING:
        return ""
    state = "" if upload["state"] == "taking" else f" {upload['state']}"
    return f"↑ {shown(upload['name'], 20)} {percent(upload['share'])}{state}"


# -- questions -------------------------------------------------------------------------------------


def _steps(width: int) -> Text:
    room = width - sum(COLUMNS)
    line = _rule("questions, s since asked" if room > 30 else "s since asked", room)
    for (name, _), cells in zip(STEPS, COLUMNS, strict=True):
        line.append(name.rjust(cells), "bold")
    return line


def _row(view: View, one: Seen, chosen: bool, now_s: float, width: int) -> Text:
    room = width - sum(COLUMNS)
    line = Text().append("▸" if chosen else " ", "bold")
    title = Text(f"#{one.index} {shown(one.title, 200)}", "bold" if chosen else "")
    title.truncate(room - 2, overflow="ellipsis", pad=True)
    line.append_text(title).append(" ")
    cells = view.cells(one, now_s)
    here = max((i for i, cell in enumerate(cells) if cell.state in ("done", "presumed")), default=0)
    for place, (cell, cells_wide) in enumerate(zip(cells, COLUMNS, strict=True)):
        text, style = _cell(cell)
        if one.outcome and place == len(cells) - 1:
            text, style = _end(one, cell)
        elif not one.outcome and place == here:
            text, style = f"▸{text}", f"bold {'red' if one.late else style}"
        line.append(text.rjust(cells_wide), style)
    return line


def _cell(cell: Cell) -> tuple[str, str]:
    style = CELL_STYLES[cell.state]
    if cell.after_s is None:
        return "–" if cell.state == "never" else "·", style
    return f"{'~' if cell.estimated else ''}{seconds(cell.after_s)}", style


def _end(one: Seen, cell: Cell) -> tuple[str, str]:
    style = OUTCOME_STYLES.get(one.outcome, "red")
    after_s = one.loop_s if one.loop_s is not None else cell.after_s
    if one.outcome in ("refused", "expired") or after_s is None:
        return one.outcome, style
    mark = {"late": "late ", "partial": "cut "}.get(one.outcome, "")
    return f"{mark}{seconds(after_s)}", style


def seconds(value_s: float) -> str:
    """A time in few characters; without a unit it is seconds."""
    for most, text in ((9.995, f"{value_s:.2f}"), (99.95, f"{value_s:.1f}")):
        if value_s < most:
            return text
    if value_s < 1000:
        return f"{value_s:.0f}"
    if value_s < 6000:
        return f"{value_s / 60:.0f} min"
    return f"{value_s / 3600:.0f} h" if value_s < 360_000 else f"{value_s / 86_400:.0f} d"


# -- the chosen answer -----------------------------------------------------------------------------


def _answer(view: View, one: Seen | None, looking: Looking, width: int, height: int) -> list[Text]:
    if one is None:
        lines = [_rule("answer", width), Text(" ask below", "dim")]
        return _padded(lines, height + 1)
    wrapped = answer_lines(one, width)
    room, most = height, max(0, len(wrapped) - height)
    looking.scroll = min(looking.scroll, most)
    first = most - looking.scroll if not one.outcome else looking.scroll
    here = f", {first + 1} to {min(first + room, len(wrapped))} of {len(wrapped)} lines"
    title = f"#{one.index}{here if most else ''}: {shown(one.title, width)}"
    return _padded([_rule(title, width), *wrapped[first : first + room]], height + 1)


def answer_lines(one: Seen, width: int) -> list[Text]:
    """An answer, its gaps marked, in lines of so many cells."""
    text = Text()
    for piece in one.pieces:
        if piece.missing:
            text.append(f"[… {count(piece.missing, 'byte')} missing …]", "yellow reverse")
        else:
            text.append(printable(piece.text.replace("\t", "    ")))
    if one.outcome in ("refused", "expired"):
        text.append(f"{' ' if text else ''}{one.outcome}: {shown(one.reason, 300)}", "red")
    elif not one.outcome:
        text.append("▌" if text else "no answer yet", "" if text else "dim")
    lines = text.wrap(_WRAPPER, width - 2)
    return [Text(" ").append_text(line) for line in lines]


def _rule(title: str, width: int) -> Text:
    line = Text().append("── ", RULE).append(title)
    line.truncate(width - 1, overflow="ellipsis")
    line.append(" " + "─" * max(0, width - line.cell_len - 1), RULE)
    return line


# -- loops and events ------------------------------------------------------------------------------


def _bottom(view: View, width: int, height: int) -> list[Text]:
    half = width // 2
    head = _rule(_verdict(view), half).append_text(_rule("events", width - half))
    left = loops_drawn(view.status.get("loops"), view.budget_s, half - 2, height)
    right = _events(view, width - half - 1, height)
    lines = []
    for one, other in zip(left, right, strict=True):
        line = Text(" ").append_text(one)
        line.append(" " * (half - line.cell_len))
        lines.append(line.append_text(other))
    return [head, *lines]


def _verdict(view: View) -> str:
    loops = view.status.get("loops")
    if loops is None or not (done := sum(loops["outcomes"].values())):
        return "loops"
    in_time = loops["outcomes"]["on_time"] + loops["outcomes"]["partial"]
    text = f"{in_time}/{done} in time"
    if loops["p50_s"] is None:
        return text
    return f"{text}, p50 {seconds(loops['p50_s'])}, p90 {seconds(loops['p90_s'])} s"


def _events(view: View, width: int, height: int) -> list[Text]:
    lines = []
    for at_s, level, text in list(view.log)[-height:]:
        when = "" if at_s is None else clock(at_s)
        line = Text().append(f"{when:>8s} ", "dim")
        line.append(f"{MARKS[level]} {text}", STYLES[level])
        line.truncate(width, overflow="ellipsis")
        lines.append(line)
    return _padded(lines, height)
