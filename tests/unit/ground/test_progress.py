"""What the operator sees of a run, whatever others wrote."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.table import Table

from ground.outputs import BudgetMissed, NodeHealth, Settled, StageReached
from ground.progress import SHOWN as ROWS
from ground.progress import Progress
from ground.results.record import Planned
from roundtrip.budget import Outcome
from roundtrip.contacts import Contact, ContactPlan
from roundtrip.message import Health, Vitals
from roundtrip.modem import Carrier
from roundtrip.scenario_file import check_scenario
from roundtrip.screen import Screen
from roundtrip.stages import Stage
from roundtrip.units import NS_PER_MS, NS_PER_S
from tests.golden import assert_as_kept

SCENARIO = check_scenario(
    {
        "link": {
            "uplink": {"rate_bps": 8_000, "one_way_delay_ms": 20},
            "downlink": {"rate_bps": 16_000, "one_way_delay_ms": 30},
        },
        "workload": {"questions": ["?"], "count": 1},
    },
    "test",
)
HOSTILE = "[/var/log/x] <b>&\"' \x1b[31m\x00\u202e\nnext"
SHOWN = "[/var/log/x] <b>&\"' \\x1b[31m\\x00\\u202e"


def progress(
    terminal: bool, *, plan: ContactPlan | None = None, total: int = 1
) -> tuple[Progress, io.StringIO]:
    out = io.StringIO()
    screen = Screen(file=out, width=200, force_terminal=terminal, color_system=None)
    return Progress(screen, plan or SCENARIO.plan(), 120, total), out


def cue(tx_up: bool, rx_up: bool, at_s: float) -> Carrier:
    return Carrier(1, tx_up, rx_up, 9600, 9600, 0, 1400, round(at_s * NS_PER_S), 0, "")


def drawn(shown: Progress, at_s: float) -> list[str]:
    """The table at a time, a line each."""
    screen = Screen(file=io.StringIO(), width=100, color_system=None)
    with screen.capture() as captured:
        screen.print(shown._table(round(at_s * NS_PER_S)))
    return [line.rstrip() for line in captured.get().split("\n")]


@pytest.mark.parametrize("terminal", [False, True])
def test_questions_and_answers_are_shown_literally(answered, terminal: bool) -> None:
    shown, out = progress(terminal)
    record = answered(0)
    planned = replace(record.planned, text=HOSTILE.replace("\n", " "))
    with shown:
        shown.output(StageReached(planned, Stage.SUBMITTED, 1))
        shown.output(NodeHealth(Health("[red]model", HOSTILE[:12], 512, 1, 0)))
        assert "submitted" not in out.getvalue()
        shown.refresh(1)
        assert ("submitted" in out.getvalue()) == terminal
        shown.output(Settled(replace(record, planned=planned, answer=HOSTILE)))
    text = out.getvalue()
    assert SHOWN + " next" in text
    assert f"→ {SHOWN} next" in text
    assert ("[red]model" in text) != terminal
    assert ("1 thread, context 512" in text) != terminal
    for hostile in ("\x1b[31m", "\x00", "\u202e"):
        assert hostile not in text


def test_one_question_is_one_question(answered) -> None:
    shown, out = progress(terminal=False)
    shown.resumed([answered(0)], 1)
    assert "1 of 1 question settled" in out.getvalue()


def test_a_carrier_is_said_where_it_changes() -> None:
    shown, out = progress(terminal=False)
    for at_s, tx_up, rx_up in (
        (0.5, False, False), (1, True, True), (2, True, True), (3, True, False), (4, False, True),
    ):  # fmt: skip
        shown.carrier(cue(tx_up, rx_up, at_s))
    assert out.getvalue().splitlines() == [
        "    0.50 s  no carrier",
        "    1.00 s  carrier up",
        "    3.00 s  uplink only",
        "    4.00 s  downlink only",
    ]


def test_on_a_terminal_the_carrier_is_in_the_table_only() -> None:
    made, out = progress(terminal=True)
    with made as shown:
        shown.carrier(cue(True, True, 1))
        assert "carrier up" not in out.getvalue()
        shown.refresh(2 * NS_PER_S)
    assert "t = 2.0 s   carrier up" in out.getvalue()


def test_a_plain_line_says_how_it_ended_and_where_the_time_went(answered, expired) -> None:
    shown, out = progress(terminal=False, total=2)
    shown.output(Settled(answered(3, scale=100)))
    shown.output(Settled(expired(4)))
    assert out.getvalue().splitlines() == [
        "    6.60 s  #3   on_time     3.600 s  downlink 0.800, downlink_wait 0.700, decode 0.600",
        "           Question 3? → Yes.",
        "  604.00 s  #4   expired   no answer  ground_queue 0.001",
        "           ? → expired",
    ]


def test_the_node_is_said_to_be_up_and_not_said_to_be_alive() -> None:
    shown, out = progress(terminal=False)
    shown.output(NodeHealth(Health("tiny", "Q8_0", 512, 2, 0, Vitals())))
    assert out.getvalue() == ""
    shown.output(NodeHealth(Health("tiny", "Q8_0", 512, 2, 0)))
    assert out.getvalue() == "node: tiny Q8_0, 2 threads, context 512\n"


def test_a_terminal_shows_the_node_in_its_last_line_and_says_it_nowhere_else() -> None:
    shown, out = progress(terminal=True)
    with shown:
        shown.output(NodeHealth(Health("tiny", "Q8_0", 512, 2, 0)))
    assert "context 512" not in out.getvalue()


def test_what_the_operator_should_know_is_a_line_of_its_own() -> None:
    shown, out = progress(terminal=False)
    shown.note("")
    shown.busy()
    shown.note("the clock\nis wrong " + "x" * 400)
    first, second = out.getvalue().splitlines()
    assert first == "the link is busy with another ground; waiting"
    assert second.startswith("the clock is wrong xxx")
    assert len(second) == 300


def planned(index: int, intended_s: float) -> Planned:
    return Planned(index, round(intended_s * NS_PER_S), f"{index}?", None)


def test_the_table_shows_what_waits_and_counts_what_has_ended(answered) -> None:
    shown, _ = progress(terminal=False, total=9)
    shown.resumed([answered(7), answered(8, outcome=Outcome.LATE)], 0)
    shown.output(StageReached(planned(0, 1), Stage.DELIVERED, 2 * NS_PER_S))
    shown.output(BudgetMissed(planned(1, 2.5)))
    shown.output(StageReached(planned(2, 3), Stage.SUBMITTED, 3 * NS_PER_S))
    shown.output(Settled(answered(2)))
    _, head, titles, first, second, foot, _ = drawn(shown, 100)
    assert head == "t = 100.0 s"
    assert titles.split() == ["#", "question", "stage", "elapsed", "left"]
    assert first.split() == ["0", "0?", "delivered", "99.0", "s", "21.0", "s"]
    assert second.split() == ["1", "1?", "budget", "missed", "97.5", "s", "22.5", "s"]
    assert foot == "3 of 9 settled: 2 on_time, 1 late"


def test_the_table_is_drawn_as_it_was(answered) -> None:
    shown, _ = progress(terminal=False, total=1200)
    shown.carrier(cue(True, False, 1))
    shown.output(StageReached(planned(0, 0.25), Stage.DOWNLINK_STARTED, 0))
    shown.output(BudgetMissed(planned(12, -20)))
    long = replace(planned(1100, 88), text="What is the state of the battery? " * 4)
    shown.output(StageReached(long, Stage.UPLINK_STARTED, 0))
    shown.output(Settled(answered(2)))
    assert_as_kept("progress.txt", "\n".join(drawn(shown, 101.25)))


def test_the_table_has_a_limited_number_of_rows() -> None:
    shown, _ = progress(terminal=False)
    for index in range(ROWS + 5):
        shown.output(StageReached(planned(index, 0), Stage.SUBMITTED, 0))
    assert sum("submitted" in line for line in drawn(shown, 1)) == ROWS


@pytest.mark.parametrize(
    ("left_s", "style"), [(30.1, ""), (30, ""), (29.9, "yellow"), (0, "yellow"), (-0.1, "red")]
)
def test_what_is_left_of_a_budget_is_coloured(left_s: float, style: str) -> None:
    shown, _ = progress(terminal=False)
    shown.output(StageReached(planned(0, 0), Stage.SUBMITTED, 0))
    drawn_at = shown._table(round((120 - left_s) * NS_PER_S))
    (table,) = (part for part in drawn_at.renderables if isinstance(part, Table))
    (cell,) = table.columns[-1].cells
    assert (cell.plain, cell.style) == (f"{left_s:.1f} s", style)


@pytest.mark.parametrize(
    ("at_s", "said"),
    [
        (0, "AOS in 1:05"),
        (64.5, "AOS in 0:00"),
        (65, "LOS in 2:00"),
        (184, "LOS in 0:01"),
        (185, "no further contact"),
    ],
)
def test_the_next_contact_is_counted_down_to(at_s: float, said: str) -> None:
    contacts = [
        Contact(source, target, 65 * NS_PER_S, 185 * NS_PER_S, 9600, NS_PER_MS)
        for source, target in (("ground", "node"), ("node", "ground"))
    ]
    shown, _ = progress(terminal=False, plan=ContactPlan(contacts))
    assert drawn(shown, at_s)[1].endswith(said)
