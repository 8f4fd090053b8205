"""What a view knows, from what it is told."""

from __future__ import annotations

import pytest

from ground.terminal.view import KEPT_LOG, KEPT_QUESTIONS, STEPS, Cell, Piece, View

KEY = f"{1:014x}"


def states(view: View, key: str, now_s: float) -> dict[str, tuple[str, float | None, bool]]:
    cells = view.cells(view.questions[key], now_s)
    return {
        name: (cell.state, None if cell.after_s is None else round(cell.after_s, 3), cell.estimated)
        for (name, _), cell in zip(STEPS, cells, strict=True)
    }


def test_a_chain_has_what_the_ground_saw_and_the_rest_by_earlier_loops(story, status) -> None:
    story.view.status = status()
    story.settled(0, 400.0, "First?", 8.0)
    story.asked(1, 500.0, "Second?", submitted=0.25, uplink_started=1.0, delivered=2.0)
    assert states(story.view, KEY, 503.5) == {
        "Queued": ("done", 0.25, False),
        "Sent": ("done", 1.0, False),
        "Delivered": ("done", 2.0, False),
        "Prefill": ("presumed", 3.0, True),
        "Decode": ("ahead", 4.0, True),
        "Down": ("ahead", 6.0, True),
        "Answered": ("ahead", 6.0, True),
    }


def test_nothing_is_estimated_from_nothing_and_never_past_what_is_expected(story, status) -> None:
    story.view.status = status()
    story.asked(1, 500.0, "First?", submitted=0.25)
    assert states(story.view, KEY, 501.0)["Prefill"] == ("ahead", None, False)
    assert states(story.view, KEY, 501.0)["Answered"] == ("ahead", 6.0, True)
    story.settled(2, 400.0, "Other?", 80.0)
    assert states(story.view, KEY, 501.0)["Down"] == ("ahead", 6.0, True)


def test_an_answer_that_is_late_is_not_presumed_to_be_here(story, status) -> None:
    story.view.status = status()
    story.asked(1, 500.0, "First?", submitted=0.25)
    assert states(story.view, KEY, 599.0)["Answered"] == ("ahead", 6.0, True)


@pytest.mark.parametrize(
    ("contacts", "sent_s"), [([[0.0, 900.0]], 2.0), ([[700.0, 900.0]], 201.0), ([], None)]
)
def test_a_question_goes_with_the_next_contact(story, status, contacts, sent_s) -> None:
    story.view.status = status(contacts=contacts)
    story.settled(0, 400.0, "First?", 8.0)
    story.asked(1, 500.0, "Second?", submitted=0.25)
    story.view.questions[KEY].expected_s = None
    assert states(story.view, KEY, 501.0)["Sent"][1] == sent_s


def test_text_that_is_here_was_written_before(story, status) -> None:
    story.view.status = status()
    story.asked(1, 500.0, "First?", submitted=0.25, uplink_started=1.0, delivered=2.0)
    story.tell("text", 502.5, id=KEY, text="Well")
    for name in ("Prefill", "Decode", "Down"):
        assert states(story.view, KEY, 502.5)[name] == ("presumed", 2.5, True)


def test_an_outcome_has_the_times_that_are_known(story, status) -> None:
    story.view.status = status()
    story.asked(1, 500.0, "First?", submitted=0.25)
    story.settled(1, 500.0, "First?", 8.0)
    assert states(story.view, KEY, 900.0)["Decode"] == ("done", 5.0, False)
    one = story.view.questions[KEY]
    assert (one.outcome, one.loop_s) == ("on_time", 8.0)
    one.stages = {"intended": 500.0, "submitted": 501.0}
    one.outcome = "refused"
    assert story.view.cells(one, 900.0)[1:] == [Cell("never", None)] * 6


def test_gaps_are_pieces_and_close(story) -> None:
    story.asked(1, 500.0, "First?")
    view = story.view
    story.tell("text", 501.0, id=KEY, text="Wähle ")
    story.tell("part", 501.0, id=KEY, start=20, text="later ")
    story.tell("part", 501.0, id=KEY, start=30, text="last")
    assert view.questions[KEY].pieces == [
        Piece("Wähle "),
        Piece("", 13),
        Piece("later "),
        Piece("", 4),
        Piece("last"),
    ]
    story.tell("text", 502.0, id=KEY, text="0123456789abclater ")
    assert view.questions[KEY].pieces == [
        Piece("Wähle 0123456789abclater "), Piece("", 4), Piece("last")
    ]  # fmt: skip
    story.settled(1, 500.0, "First?", 8.0, answer="The whole.")
    assert view.questions[KEY].pieces == [Piece("The whole.")]


def test_what_came_of_an_answer_that_has_expired_is_kept_with_its_gaps(story) -> None:
    story.asked(1, 500.0, "First?")
    story.tell("part", 501.0, id=KEY, start=20, text="later")
    story.settled(1, 500.0, "First?", 8.0, answer="", outcome="expired", reason="expired")
    assert story.view.questions[KEY].pieces == [Piece("", 20), Piece("later")]


def test_open_questions_come_first_and_the_newest_of_them(busy) -> None:
    assert [one.index for one in busy.rows(7)] == [17, 16, 15, 14, 13, 12, 11]


def test_outcomes_from_before_are_shown_once_and_are_no_news(story) -> None:
    story.settled(1, 500.0, "First?", 8.0)
    (before,) = story.view.questions.values()
    log = list(story.view.log)
    outcome = {
        "id": KEY,
        "index": 1,
        "text": "First?",
        "outcome": "late",
        "reason": "",
        "answer": "x",
        "loop_s": 1.0,
        "stages_s": {"intended": 0.0},
        "phases_s": {},
    }
    story.view.earlier([outcome, outcome | {"id": f"{2:014x}", "index": 2}])
    assert [(one.index, one.outcome) for one in story.view.questions.values()] == [
        (1, "on_time"),
        (2, "late"),
    ]
    assert story.view.questions[KEY] is before
    assert list(story.view.log) == log


def test_what_is_told_again_does_not_change_an_outcome(story, status) -> None:
    story.view.status = status()
    story.settled(1, 500.0, "First?", 8.0)
    story.asked(1, 500.0, "First?", submitted=0.25, uplink_started=1.0, delivered=7.9)
    assert states(story.view, KEY, 900.0)["Delivered"] == ("done", 3.0, False)


def test_the_log_says_what_is_news(story) -> None:
    for up in (True, True, False):
        story.tell("carrier", 1.0, tx_up=up, rx_up=up)
    node = {"model": "m", "quantization": "Q4_0", "engine_restarts": 0}
    for restarts in (0, 0, 1):
        level = "warning" if restarts else "info"
        story.tell("health", 2.0, level, **(node | {"engine_restarts": restarts}))
    story.tell("rejected", 3.0, "warning", reason="\x1b[2Ja frame")
    story.asked(1, 4.0, "EPS.VBAT=7\nIs it low?")
    story.tell("late", 124.0, "warning", index=1)
    story.tell("note", 125.0, text="two\nlines")
    story.tell("of another release", 126.0)
    assert list(story.view.log) == [
        (1.0, "info", "carrier up"),
        (1.0, "warning", "no carrier"),
        (2.0, "info", "node: m Q4_0, 0 engine restarts"),
        (2.0, "warning", "node: m Q4_0, 1 engine restart"),
        (3.0, "warning", "not taken: \\x1b[2Ja frame"),
        (4.0, "info", "#1 asked: Is it low?"),
        (124.0, "warning", "#1 is over its budget"),
        (125.0, "info", "two lines"),
    ]
    assert story.view.questions[KEY].late


def test_what_is_of_no_known_question_is_left_out(story) -> None:
    story.tell("text", 1.0, id="nobody's", text="x")
    story.tell("late", 1.0, index=7)
    assert not story.view.questions
    assert not story.view.log


def test_it_does_not_grow(story) -> None:
    for index in range(KEPT_QUESTIONS + 50):
        story.asked(index, float(index), "?")
        if index >= 10:
            story.settled(index, float(index), "?", 1.0)
    assert len(story.view.questions) == KEPT_QUESTIONS
    assert len(story.view.log) == KEPT_LOG
    assert {one.index for one in story.view.questions.values()} >= set(range(10)), "open ones stay"
