"""Right answers about what was seen on board."""

from __future__ import annotations

import random

import pytest

from models.triage.frames import BY_NAME
from models.triage.grading import check_rule, expected_answer, frame_in, past_in
from models.triage.questions import HELD_OUT_SEED, TYPES, answer_to, make_frame, on_board, pose
from models.triage.talks import KINDS, past, talk
from roundtrip.tools import calls_in

FRAME = "SUN\nEPS.VBAT 23.1 V\nEPS.IBAT -01.5 A\nEPS.ISOL 02.0 A"


@pytest.mark.parametrize("kind", TYPES)
def test_a_rule_gives_the_answer_that_was_posed(kind: str) -> None:
    for seed in range(40):
        rng = random.Random(seed)
        frame = make_frame(rng, shuffled=True, missing=False)
        posed = pose(rng, frame, kind, held_out=False)
        check_rule(posed.rule)
        assert answer_to(posed.rule, frame) == posed.answer
        assert expected_answer(posed.rule, {"telemetry": frame.text()}) == posed.answer


@pytest.mark.parametrize(
    ("rule", "seen", "answer"),
    [
        ("value EPS.VBAT", {"telemetry": FRAME}, "EPS.VBAT is 23.1 V."),
        ("value EPS.VBAT", {"telemetry.read": FRAME}, "EPS.VBAT is 23.1 V."),
        ("value EPS.SOC", {"telemetry": FRAME}, "EPS.SOC is not in this frame."),
        ("check EPS.VBAT", {}, None),
        ("value EPS.VBAT", {"telemetry.read": "error: no frame for 9 s"},
         "Not available: no frame for 9 s."),
        ("pass", {"passes.next": "over Punta Arenas, AOS in 5 h 12 min, lasts 7 min, up to 9 deg"},
         "Next pass over Punta Arenas in 5 h 12 min, for 7 min."),
        ("pass", {"passes.next": "over Redu, LOS in 45 s"}, "Pass over Redu until LOS in 45 s."),
        ("pass", {"passes.next": "no pass is known"}, "No pass is known."),
        ("pass", {"passes.next": "nonsense"}, None),
        ("time", {"time.now": "2026-06-01T00:00:00Z"}, "It is 2026-06-01T00:00:00Z."),
        ("light + pass", {"telemetry.read": FRAME, "passes.next": "no pass is known"},
         "In sunlight. No pass is known."),
        ("light + pass", {"telemetry.read": FRAME}, None),
        ("since EPS.VBAT",
         {"telemetry.history": "min -20 -10 0\nlight SUN SUN SUN\nEPS.VBAT 24.0 23.9 23.8 V"},
         "EPS.VBAT too low since -10 min."),
        ("since EPS.VBAT",
         {"telemetry.history": "min -10 0\nlight SUN SUN\nEPS.VBAT 23.9 23.8 V"},
         "EPS.VBAT too low since -10 min or before."),
        ("since EPS.VBAT", {"telemetry.history": "min -10 0\nEPS.VBAT 23.9 30.0 V"},
         "EPS.VBAT within limits now."),
        ("trend EPS.VBAT", {"telemetry.history": "min -10 0\nEPS.VBAT ? 30.0 V"},
         "EPS.VBAT ?, 30.0 V."),
    ],
)  # fmt: skip
def test_what_was_seen_gives_the_answer(
    rule: str, seen: dict[str, str], answer: str | None
) -> None:
    check_rule(rule)
    assert expected_answer(rule, seen) == answer


@pytest.mark.parametrize(
    "rule",
    ["", "value", "value X", "compare EPS.VBAT", "compare EPS.VBAT X", "threshold EPS.VBAT",
     "threshold EPS.VBAT x", "threshold EPS.VBAT inf", "status EPS.VBAT", "since", "since X",
     "pass now", "light + ", "weather"],
)  # fmt: skip
def test_what_is_no_rule_is_refused(rule: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        check_rule(rule)


def test_a_frame_with_channels_of_others_is_read_as_far_as_it_is_ours() -> None:
    frame = frame_in("WHEEL 1200 rpm\nEPS.VBAT 23.1 V")
    assert [channel.name for channel, _ in frame.values] == ["EPS.VBAT"]


def test_a_history_is_read_as_it_was_written() -> None:
    for seed in range(50):
        was = past(random.Random(seed))
        assert past_in(was.text()) == was


@pytest.mark.parametrize("kind", KINDS)
def test_a_talk_calls_only_what_is_there(kind: str) -> None:
    for seed in range(60):
        said = talk(random.Random(seed), kind)
        calls = [call for text, _ in said.rounds for call in calls_in(text)]
        assert all(call.name in said.tools and not call.fault for call in calls)
        assert said.goes_with(said.tools)
        assert said.expected


def test_a_talk_that_needs_a_tool_does_not_go_without_it() -> None:
    said = talk(random.Random(1), "pass")
    assert not said.goes_with(("telemetry.read",))


def test_questions_about_data_on_board_are_short() -> None:
    asked = list(on_board(120, 1))
    assert all(10 <= len(one.text.encode()) <= 40 for one in asked)
    assert {one.rule.split()[0] for one in asked if one.rule} == set(TYPES)
    assert all(one.answer == "I only know telemetry." for one in asked if not one.rule)
    assert HELD_OUT_SEED > 120
    assert all(word in BY_NAME for one in asked for word in one.rule.split()[1:2])
