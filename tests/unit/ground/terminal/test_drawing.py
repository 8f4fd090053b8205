"""The screen as it is drawn. UPDATE_SNAPSHOTS=1 writes the files that it is compared to."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from rich.cells import cell_len

from ground.terminal.drawing import COLUMNS, Looking, answer_lines, clock, draw, rate, seconds
from ground.terminal.histogram import columns_of, loops_drawn
from ground.terminal.line import Line
from ground.terminal.view import View
from roundtrip.screen import Canvas, Screen

SNAPSHOTS = Path(__file__).parents[3] / "data" / "terminal"


def drawn(
    view: View,
    width: int = 80,
    height: int = 24,
    *,
    looking: Looking | None = None,
    written: str = "",
    now_s: float | None = 500.0,
    colours: str | None = None,
) -> list[str]:
    line = Line()
    for character in written:
        line.press(character)
    frame = draw(view, looking or Looking(), line, now_s, width, height)
    file = io.StringIO()
    screen = Screen(file=file, width=width, force_terminal=True, color_system=colours)
    for one in frame.lines:
        screen.print(one, no_wrap=True, crop=False, overflow="ignore")
    return file.getvalue().split("\n")[:-1]


@pytest.mark.parametrize("colours", [None, "standard"])
@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40)])
def test_the_screen_is_as_it_was(busy, width: int, height: int, colours: str | None) -> None:
    lines = drawn(busy, width, height, written="Is it low?", colours=colours)
    found = "\n".join(line.rstrip() for line in lines) + "\n"
    name = f"{width}x{height}{'-colours' if colours else ''}.txt"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        (SNAPSHOTS / name).write_text(found)
    assert found == (SNAPSHOTS / name).read_text()


@pytest.mark.parametrize("width", [10, 60, 79, 80, 133, 300])
@pytest.mark.parametrize("height", [1, 15, 16, 24, 70])
def test_it_fits_any_terminal(busy, story, width: int, height: int) -> None:
    for view in (busy, View()):
        lines = drawn(view, width, height, written="多" * 200)
        assert len(lines) == height
        assert max(map(cell_len, lines)) <= width


def test_nothing_that_a_terminal_obeys_gets_through(busy) -> None:
    lines = drawn(busy)
    assert all(line.isprintable() for line in lines)
    assert "\\x1b[31mrose\\u202e" in "".join(lines)
    assert "[… 121 bytes missing …]" in " ".join(line.strip() for line in lines)


@pytest.mark.parametrize(
    ("state", "shows"),
    [
        ("taking", "Q8_0   ↑ triage\\x1b 43.2%   charge"),
        ("paused", "↑ triage\\x1b 43.2% paused"),
        ("trial", "↑ triage\\x1b 43.2% trial"),
        ("active", "Q8_0   charge"),
        ("rolled_back", "Q8_0   charge"),
        ("none", "Q8_0   charge"),
    ],
)
def test_an_upload_is_shown_while_it_goes_up(story, status, state: str, shows: str) -> None:
    there = {"state": "none"} if state == "none" else {"name": "triage\x1b", "share": 0.432}
    story.view.status = status(upload={"state": state} | there)
    assert shows in drawn(story.view, 120, 40)[2]


def test_what_comes_of_an_upload_is_an_event(story, status) -> None:
    story.view.status = status()
    for state, detail in (("active", ""), ("rolled_back", "canary 1")):
        story.tell("upload", 3.0, name="triage", state=state, detail=detail)
    lines = "\n".join(drawn(story.view, 120, 40))
    assert "upload: triage active" in lines
    assert "upload: triage rolled back: canary 1" in lines


@pytest.mark.parametrize(
    ("contacts", "now_s", "said"),
    [
        ([[300.0, 780.0]], 500.0, "LOS in 0:04:40"),
        ([[6000.0, 6500.0]], 500.0, "AOS in 1:31:40"),
        ([[0.0, 9.2e9]], 500.0, "in contact, no LOS"),
        ([[0.0, 100.0]], 500.0, "no contact to come"),
        ([], None, "waiting for the link"),
    ],
)
def test_the_head_counts_down(story, status, contacts, now_s, said: str) -> None:
    story.view.status = status(contacts=contacts)
    assert said in drawn(story.view, now_s=now_s)[0]


def test_without_a_station_it_says_so(story) -> None:
    lines = drawn(story.view, now_s=None)
    assert "no station" in lines[0]
    assert "not up yet" in lines[1]
    assert "not heard yet" in lines[2]


def test_a_pass_to_come_and_a_node_that_says_little(story, status) -> None:
    node = status()["node"] | dict.fromkeys(("charge", "temperature_c", "power_w", "rss_bytes"))
    told = status(node=node, **{"pass": {"max_elevation_deg": 61.0, "now": None}})
    told["link"] |= {"tx_up": False, "rx_up": False}
    story.view.status = told
    lines = drawn(story.view)
    assert lines[1].startswith(" no carrier   next pass up to 61°   ")
    assert lines[2].rstrip() == (
        " groundloop telemetry triage Q8_0   1 engine restart   4 threads, context 1024"
    )


def test_the_chosen_question_is_marked_and_its_answer_shown(busy) -> None:
    lines = drawn(busy, looking=Looking(chosen=f"{13:014x}"))
    assert [line[:4] for line in lines if line.startswith("▸")] == ["▸#13"]
    assert any(line.startswith("── #13: How long?") for line in lines)
    assert any("EPS.VBAT is 7.1 V" in line for line in lines)


def test_a_long_answer_is_shown_from_its_end_while_it_comes_and_scrolls(story, status) -> None:
    story.view.status = status()
    story.asked(1, 499.0, "Count!")
    key = f"{1:014x}"
    story.tell("text", 499.5, id=key, text="\n".join(f"line {n}" for n in range(40)))
    looking = Looking()
    assert " line 39▌" in [line.rstrip() for line in drawn(story.view, looking=looking)]
    looking.scroll = 1000
    lines = drawn(story.view, looking=looking)
    assert " line 0" in [line.rstrip() for line in lines]
    assert looking.scroll == 35, "no further than there is text"
    assert "#1, 1 to 5 of 40 lines: Count!" in "".join(lines)
    story.settled(1, 499.0, "Count!", 1.0, answer="\n".join(f"line {n}" for n in range(40)))
    looking.scroll = 0
    assert " line 0" in [line.rstrip() for line in drawn(story.view, looking=looking)]


def test_a_note_takes_the_place_of_the_keys(busy) -> None:
    assert drawn(busy, looking=Looking(note="not asked: why"))[-1].rstrip() == "not asked: why"


def test_an_answer_that_was_refused_says_why(busy) -> None:
    (line,) = answer_lines(busy.questions[f"{12:014x}"], 80)
    assert line.plain == " refused: no_time: 12 tokens"


@pytest.mark.parametrize(
    ("value_s", "said"),
    [(0, "0.00"), (9.994, "9.99"), (9.996, "10.0"), (99.94, "99.9"), (99.96, "100"),
     (999.4, "999"), (1000, "17 min"), (6000, "2 h"), (359_999, "100 h"),
     (360_000, "4 d")],
)  # fmt: skip
def test_seconds_take_few_characters(value_s: float, said: str) -> None:
    assert seconds(value_s) == said


def test_clocks_and_rates() -> None:
    assert [clock(-1), clock(3661.9), clock(90_061)] == ["0:00:00", "1:01:01", "1 d 1:01:01"]
    assert [rate(800), rate(9600), rate(2_048_000)] == ["800 bit/s", "9.6 kbit/s", "2.05 Mbit/s"]


def test_the_histogram_has_every_loop_and_the_budget_inside(status) -> None:
    loops = status()["loops"]
    for number in (5, 19, 60):
        columns = columns_of(loops, 120.0, number)
        assert len(columns.counts) == number
        assert sum(columns.counts) == 14
        assert 0 <= columns.of(120.0) < len(columns.counts)
        assert columns.counts[columns.of(140.0)] >= 1


def test_the_tallest_bar_is_as_high_as_there_is_room_and_the_least_is_seen(status) -> None:
    loops = status()["loops"] | {"bars": {"0": 1000, "-5": 1}}
    lines = [line.plain for line in loops_drawn(loops, 120.0, 38, 6)]
    assert len(lines) == 6
    assert "█" in lines[0]
    assert "▁" in lines[4]
    assert "▁" not in "".join(lines[:4])
    assert sum("│" in line for line in lines) == 5
    assert "120 s" in lines[5]
    assert lines[5].split()[:4] == ["0.1", "1", "10", "120"]


def test_only_lines_that_changed_are_written(busy) -> None:
    file = io.StringIO()
    screen = Screen(file=file, width=80, force_terminal=True, color_system=None)
    line, looking = Line(), Looking()
    with Canvas(screen) as canvas:
        for key in ("", "a", "b"):
            if key:
                line.press(key)
            frame = draw(busy, looking, line, 500.0, 80, 24)
            file.seek(0)
            file.truncate()
            canvas.show(frame.lines, frame.cursor)
    sent = file.getvalue()
    assert "\x1b[23;1H" in sent
    assert sent.count("H") == 2, "the line and the cursor"
    assert sent.endswith("\x1b[?1049l")


def test_a_narrow_screen_says_less_above_its_questions(busy) -> None:
    least = sum(COLUMNS) + 30
    assert drawn(busy, least, 24)[3].startswith("── s since asked")
    assert drawn(busy, least + 1, 24)[3].startswith("── questions, s since asked")
