"""What the operator sees of a run, whatever others wrote."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest

from ground.outputs import NodeHealth, Settled, StageReached
from ground.progress import Progress
from roundtrip.message import Health
from roundtrip.scenario_file import check_scenario
from roundtrip.screen import Screen
from roundtrip.stages import Stage

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


def progress(terminal: bool) -> tuple[Progress, io.StringIO]:
    out = io.StringIO()
    screen = Screen(file=out, width=200, force_terminal=terminal, color_system=None)
    return Progress(screen, SCENARIO.plan(), 120, 1), out


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
    shown.resumed([answered(0)])
    assert "1 of 1 question settled" in out.getvalue()
