"""A run in one sentence: counted right, and true for whatever ends a question."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ground.results.record import LoopRecord, Planned
from ground.results.sentence import CARRIER, cause_of, sentence_of
from ground.results.verdict import print_verdict
from roundtrip.budget import Outcome
from roundtrip.screen import Screen
from roundtrip.stages import STAGES, Stage, phases_of
from tests.unit.ground.results.test_summary import make_run, summarise

MS = 1_000_000


def loop(phases_ms: dict[str, float], *, away_ms: float = 0, **changes: object) -> LoopRecord:
    """An answered loop with some phases; the others take no time."""
    names = list(phases_of(dict.fromkeys(STAGES, 0)))
    at, stamps = 0, {Stage.INTENDED: 0}
    for name, stage in zip(names, STAGES[1:], strict=True):
        at += round(phases_ms.get(name, 0) * MS)
        stamps[stage] = at
    fields = {
        "question_id": 1, "planned": Planned(0, 0, "?", None), "outcome": Outcome.ON_TIME,
        "reason": "", "stamps": stamps, "settled_ns": at,
        "in_contact_ns": at - round(away_ms * MS), "split": "estimate", "uncertainty_ns": 0,
        "answer": "Yes.",
    }  # fmt: skip
    return LoopRecord(**(fields | changes))


def lost(outcome: Outcome, reason: str) -> LoopRecord:
    return loop({}, outcome=outcome, reason=reason, stamps={Stage.INTENDED: 0}, answer=None)


UP = loop({"uplink": 80, "decode": 20})
LONG_UP = loop({"uplink": 300, "decode": 20})
WAITED = loop({"uplink_wait": 11_000, "uplink": 30}, away_ms=11_000)
LATE = loop({"decode": 130_000, "uplink": 50}, outcome=Outcome.LATE)
REFUSED = lost(Outcome.REFUSED, "queue_full")
EXPIRED = lost(Outcome.EXPIRED, "expired")


@pytest.mark.parametrize(
    ("records", "said"),
    [
        ([], "No question was asked."),
        ([UP], "1 of 1 answered in time, in 100.0 ms (mainly the uplink)."),
        (
            [UP, LONG_UP],
            "2 of 2 answered in time, in 100.0 to 320.0 ms (mainly the uplink).",
        ),
        (
            [UP, LONG_UP, UP, WAITED],
            "4 of 4 answered in time: 3 in 100.0 to 320.0 ms (mainly the uplink), "
            "1 in 11.03 s (11.00 s of it without a carrier).",
        ),
        ([REFUSED] * 2, "0 of 2 answered in time; 2 refused (queue full)."),
        (
            [REFUSED, lost(Outcome.REFUSED, "no_time"), REFUSED],
            "0 of 3 answered in time; 3 refused (2 queue full, 1 no time).",
        ),
        ([EXPIRED], "0 of 1 answered in time; 1 expired."),
        ([lost(Outcome.REFUSED, "")], "0 of 1 answered in time; 1 refused."),
        (
            [lost(Outcome.EXPIRED, reason) for reason in "abbcde"],
            "0 of 6 answered in time; 6 expired (2 b, 1 a, 1 c, 2 for other reasons).",
        ),
        ([LATE], "1 of 1 answered, all late, in 130.05 s (mainly writing on board)."),
        (
            [UP, LATE, EXPIRED],
            "1 of 3 answered in time, in 100.0 ms (mainly the uplink); "
            "1 late, in 130.05 s (mainly writing on board); 1 expired.",
        ),
        (
            [loop({"uplink": 800}), loop({"uplink": 1500})],
            "2 of 2 answered in time, in 800.0 ms to 1.50 s (mainly the uplink).",
        ),
        (
            [loop({name: 10}) for name in ("uplink", "prefill", "decode", "downlink")],
            "4 of 4 answered in time: 1 in 10.0 ms (mainly the uplink), "
            "1 in 10.0 ms (mainly reading on board), 1 in 10.0 ms (mainly writing on board), "
            "1 other in 10.0 ms.",
        ),
        (
            [replace(UP, planned=replace(UP.planned, expected="No."))],
            "1 of 1 answered in time, in 100.0 ms (mainly the uplink); 1 of the answers is wrong.",
        ),
        (
            [replace(UP, outcome=Outcome.PARTIAL)],
            "1 of 1 answered in time, in 100.0 ms (mainly the uplink); "
            "1 was cut short by the deadline.",
        ),
    ],
)  # fmt: skip
def test_what_is_said(records: list[LoopRecord], said: str) -> None:
    assert sentence_of(records) == said


def test_those_that_took_the_most_time_are_named_however_few() -> None:
    many = [loop({name: 10}) for name in ("uplink", "decode", "downlink", "prefill")] * 5
    said = sentence_of([*many, WAITED])
    assert "1 in 11.03 s (11.00 s of it without a carrier)" in said


def test_a_loop_of_which_only_start_and_end_are_known_has_no_cause() -> None:
    stamps = {Stage.INTENDED: 0, Stage.ANSWERED: 2_000 * MS}
    bare = loop({}, stamps=stamps, in_contact_ns=None)
    assert sentence_of([bare]) == "1 of 1 answered in time, in 2.00 s."


@pytest.mark.parametrize(("away_ms", "cause"), [(49, "uplink"), (50, CARRIER)])
def test_the_carrier_is_the_cause_from_half_of_the_loop_on(away_ms: int, cause: str) -> None:
    assert cause_of(loop({"uplink": 100}, away_ms=away_ms)) == cause


def test_terminal_says_it() -> None:
    run = make_run([UP])
    out = io.StringIO()
    print_verdict(Screen(file=out, width=60), summarise(run), [UP])
    assert "in short  1 of 1 answered in time, in 100.0 ms (mainly the uplink).\n" in out.getvalue()


PHASES_MS = st.dictionaries(
    st.sampled_from([*phases_of(dict.fromkeys(STAGES, 0))]), st.floats(0, 1e6), max_size=8
)


@st.composite
def loops(draw: Callable[..., object]) -> LoopRecord:
    outcome = draw(st.sampled_from(Outcome))
    if outcome in (Outcome.REFUSED, Outcome.EXPIRED):
        return lost(outcome, draw(st.text(max_size=5)))
    record = loop(draw(PHASES_MS), outcome=outcome)
    return replace(record, in_contact_ns=draw(st.none() | st.integers(0, record.loop_ns)))


@given(st.lists(loops(), min_size=1, max_size=30))
def test_every_question_is_counted_once(records: list[LoopRecord]) -> None:
    said = sentence_of([replace(r, reason=re.sub(r"[\d;:]", "", r.reason)) for r in records])
    counted = 0
    for outcomes, pattern in (
        ((Outcome.ON_TIME, Outcome.PARTIAL), r"^(\d+) of \d+ answered in time"),
        ((Outcome.LATE,), r"(?:^|; )(\d+)(?: of \d+ answered, all)? late"),
        ((Outcome.REFUSED,), r"; (\d+) refused"),
        ((Outcome.EXPIRED,), r"; (\d+) expired"),
    ):
        found = re.search(pattern, said)
        number = int(found[1]) if found else 0
        assert number == sum(record.outcome in outcomes for record in records)
        counted += number
    assert counted == len(records)
    for clause in said.split("; "):
        if re.search(r"(in time|late): ", clause):
            first = re.search(r"\d+", clause)
            groups = re.findall(r"[:,] (\d+)(?: others?)? in ", clause)
            assert first is not None
            assert sum(map(int, groups)) == int(first[0])
