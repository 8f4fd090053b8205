"""What is measured of a model at its first start."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace

import pytest

from models.resolve import resolve
from node.engine.llama import Engine
from node.engine.tuning import CHECKED, WIDTHS, Tuned, tuned
from tests.unit.node.engine.tiny import settings


def measured(context: int, sequences: int = 1) -> Tuned:
    """By a clock that goes on by a tenth of a second each time that it is read."""
    made = settings(context=context, sequences=sequences)
    engine = Engine(str(resolve("tiny")), made)
    ticks = itertools.count(0, 10**8)
    return tuned(engine, made, [1], file=None, clock_ns=lambda: next(ticks))


@pytest.mark.parametrize("context", [64, 256])
def test_checks_of_all_lengths_are_measured_in_any_context(context: int) -> None:
    found = measured(context)
    assert set(found.check_ns) == set(CHECKED)
    assert found.threads == 1


def test_widths_are_measured_up_to_what_there_is() -> None:
    found = measured(64, sequences=5)
    assert set(found.step_ns) == {1, *(width for width in WIDTHS if width < 5), 5}


def test_a_typical_question_counts_its_prompt_and_its_answer() -> None:
    alone = Tuned(1, True, 10.0, {1: 100.0, 4: 200.0})
    assert alone.typical_ns == 200 * 10 + 60 * 100
    assert alone.busy_ns == 200 * 10 + 60 * 50


def test_a_time_below_a_nanosecond_is_one(tmp_path) -> None:
    made, file = settings(context=64, sequences=1), tmp_path / "measured.json"
    engine = Engine(str(resolve("tiny")), made)
    ticks = itertools.count(0, 10**8)
    first = tuned(engine, made, [1], file=file, clock_ns=lambda: next(ticks))
    known = json.loads(file.read_text())
    for kept in known.values():
        kept["prefill_ns"] = 0.5
    file.write_text(json.dumps(known))
    again = tuned(engine, made, [1], file=file, clock_ns=lambda: next(ticks))
    assert again == replace(first, prefill_ns=0.5)


@pytest.mark.parametrize(
    ("key", "spoilt"),
    [
        ("prefill_ns", math.inf),
        ("prefill_ns", 0.0),
        ("step_ns", {"1": math.inf}),
        ("step_ns", {"1": math.nan}),
        ("check_ns", {"2": -1.0}),
        ("threads", 2),
        ("threads", True),
        ("flash", 1),
        ("step_ns", {}),
        ("step_ns", None),
    ],
)
def test_what_was_measured_is_kept_unless_it_is_no_measurement(tmp_path, key, spoilt) -> None:
    made, file = settings(context=64, sequences=1), tmp_path / "measured.json"
    engine = Engine(str(resolve("tiny")), made)
    ticks = itertools.count(0, 10**8)
    first = tuned(engine, made, [1], file=file, clock_ns=lambda: next(ticks))

    def never() -> int:
        raise LookupError("measured again")

    assert tuned(engine, made, [1], file=file, clock_ns=never) == first
    known = json.loads(file.read_text())
    (kept,) = known.values()
    kept[key] = spoilt
    file.write_text(json.dumps(known))
    with pytest.raises(LookupError, match="measured again"):
        tuned(engine, made, [1], file=file, clock_ns=never)
