from __future__ import annotations

import random

import pytest

from models.triage.evaluate import Accuracy, evaluate
from models.triage.frames import BY_NAME, CHANNELS, ECLIPSE, SUN, Frame, make_frame
from models.triage.held_out import HELD_OUT
from models.triage.offtopic import (
    HELD_OUT_PLAIN,
    HELD_OUT_TEMPLATES,
    HELD_OUT_TOPICS,
    PLAIN,
    TEMPLATES,
    TOPICS,
)
from models.triage.questions import (
    ABSENT,
    HARD_KINDS,
    OFFTOPIC,
    REFUSAL,
    TYPES,
    grade,
    held_out,
    held_out_hard,
    question_about,
    workload,
)
from models.triage.wording import TRAIN


def frame(light: str = SUN, **values: int) -> Frame:
    """A frame of channels named like EPS_VBAT, in their smallest steps."""
    return Frame(light, tuple((BY_NAME[n.replace("_", ".")], v) for n, v in values.items()))


def answer(shown: Frame, kind: str, seed: int = 0) -> str:
    return question_about(random.Random(seed), shown, kind, held_out=False)[1]


def test_a_frame_reads_as_a_station_shows_it() -> None:
    shown = frame(EPS_VBAT=281, EPS_TBAT=-42, OBC_VREG=331, EPS_SOC=7, ADCS_RATE=3)
    assert shown.text() == (
        "SUN\nEPS.VBAT 28.1 V\nEPS.TBAT -04.2 C\nOBC.VREG 3.31 V\n"
        "EPS.SOC 007 %\nADCS.RATE 0.03 deg/s"
    )


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("status", '{"alarms":["EPS.VBAT","COM.TEMP"],"status":"alarm"}'),
        ("list", "EPS.VBAT too low, COM.TEMP too high."),
        ("count", "EPS.VBAT, COM.TEMP: 2 in alarm."),
        ("summary", "In sunlight, EPS.VBAT too low, COM.TEMP too high."),
        ("light", "In sunlight."),
        (
            "actions",
            "EPS.VBAT too low: shed non-essential loads; "
            "COM.TEMP too high: lower the transmit power.",
        ),
    ],
)
def test_answers_about_the_whole_frame(kind: str, expected: str) -> None:
    assert answer(frame(EPS_VBAT=239, OBC_TEMP=700, COM_TEMP=601), kind) == expected


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("status", '{"alarms":[],"status":"nominal"}'),
        ("list", "No alarms."),
        ("count", "0 in alarm."),
        ("summary", "In eclipse, all within limits."),
        ("actions", "No action needed."),
    ],
)
def test_answers_when_all_is_well(kind: str, expected: str) -> None:
    assert answer(frame(ECLIPSE, EPS_VBAT=240, EPS_ISOL=2), kind) == expected


@pytest.mark.parametrize(
    ("value", "verdict"), [(239, "too low"), (240, "within limits"), (336, "within limits"),
                           (337, "too high")],
)  # fmt: skip
def test_limits_are_inclusive(value: int, verdict: str) -> None:
    said = answer(frame(EPS_VBAT=value), "check")
    assert said == f"EPS.VBAT is {value / 10:.1f} V, limits 24.0 to 33.6: {verdict}."


def test_solar_current_has_other_limits_in_eclipse() -> None:
    assert answer(frame(SUN, EPS_ISOL=0), "list") == "EPS.ISOL too low."
    assert answer(frame(ECLIPSE, EPS_ISOL=0), "list") == "No alarms."
    assert answer(frame(ECLIPSE, EPS_ISOL=3), "list") == "EPS.ISOL too high."


def test_a_comparison_quotes_both_and_names_the_higher() -> None:
    said = {answer(frame(OBC_TEMP=100, PAY_TEMP=-20), "compare", seed) for seed in range(20)}
    assert said == {
        "OBC.TEMP +10.0 C, PAY.TEMP -02.0 C: OBC.TEMP is higher.",
        "PAY.TEMP -02.0 C, OBC.TEMP +10.0 C: OBC.TEMP is higher.",
    }


def test_a_threshold_is_answered_by_the_side_on_which_the_value_is() -> None:
    seen = set()
    for seed in range(120):
        rng = random.Random(seed)
        text, said = question_about(rng, frame(EPS_SOC=50), "threshold", held_out=False)
        threshold = int(next(word for word in text.split() if word.isdigit() and len(word) == 3))
        word = "above" if threshold < 50 else "below" if threshold > 50 else "equal"
        assert said == f"EPS.SOC is 050 %, threshold {threshold:03d} %: {word}."
        seen.add(word)
    assert seen == {"above", "below", "equal"}


def test_a_channel_that_is_not_there_is_said_not_to_be() -> None:
    shown = Frame(SUN, tuple((channel, channel.low) for channel in CHANNELS[1:]))
    for seed in range(40):
        assert answer(shown, ABSENT, seed) == "EPS.VBAT is not in this frame."


def test_off_topic_is_refused() -> None:
    assert all(answer(frame(EPS_VBAT=281), OFFTOPIC, seed) == REFUSAL for seed in range(50))


def test_values_stay_in_range_and_alarms_are_as_drawn() -> None:
    counts = []
    for seed in range(2000):
        drawn = make_frame(random.Random(seed), shuffled=True, missing=True)
        for channel, value in drawn.values:
            assert channel.floor <= value <= channel.ceiling
            assert (
                len(channel.text(value)) == len(channel.text(channel.floor)) or not channel.signed
            )
        names = [channel.name for channel, _ in drawn.values]
        assert len(set(names)) == len(names) >= 9
        counts.append(len(drawn.alarms()))
    assert 0.2 < counts.count(0) / len(counts) < 0.32
    assert max(counts) == 5


def test_wordings_held_out_are_not_trained() -> None:
    for kind in TYPES:
        assert not {w.lower() for w in HELD_OUT[kind]} & {w.lower() for w in TRAIN[kind]}
    assert not set(HELD_OUT_PLAIN) & set(PLAIN)
    assert not set(HELD_OUT_TEMPLATES) & set(TEMPLATES)
    assert not set(HELD_OUT_TOPICS) & set(TOPICS)


def test_sets_are_the_same_every_time_and_cover_all_kinds() -> None:
    first, hard = list(held_out(120)), list(held_out_hard(100))
    assert first == list(held_out(120))
    assert hard == list(held_out_hard(100))
    assert {question.type for question in first} == set(TYPES)
    assert {question.type for question in hard} == set(HARD_KINDS)
    assert all(not q.system for q in hard if q.type == "no system prompt")
    assert len({question.prompt for question in first}) == 120


def test_a_workload_follows_its_seed() -> None:
    assert list(workload(20, 1)) == list(workload(20, 1)) != list(workload(20, 2))


def test_grading_is_exact_but_for_white_space_around() -> None:
    assert grade("In sunlight.", " In sunlight.\n")
    assert not grade("In sunlight.", "in sunlight.")


def test_evaluation_counts_by_type_and_gives_an_interval() -> None:
    wrong = []
    found = evaluate(
        held_out(121),
        lambda question: question.expected if question.type != "list" else "?",
        lambda question, said: wrong.append(said),
    )
    by_type = {accuracy.type: accuracy for accuracy in found}
    assert by_type["list"].share == 0
    assert by_type["all"].right == 110
    assert len(wrong) == 11
    low, high = Accuracy("x", 985, 1000).interval
    assert (round(low, 4), round(high, 4)) == (0.9754, 0.9916)
