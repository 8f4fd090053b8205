"""What the player makes of what it sees, with a link that is written down beforehand."""

from __future__ import annotations

import pytest

from tests.interop.conformance.parts import plain
from tests.interop.conformance.peer import identity_of, read
from tests.interop.conformance.play import (
    OPEN,
    RIGHT,
    SKIPPED,
    UNSEEN,
    WRONG,
    Dead,
    Result,
    judge,
    last_line,
    play,
)
from tests.interop.conformance.rows_segments import REPORT, report
from tests.interop.conformance.table import Row, rows

ROWS = {(row.kind, row.id): row for row in rows()}
GOOD, BAD = ROWS["bundle", "plain"], ROWS["bundle", "hops-limit-0"]
LOOSE = ROWS["bundle", "outer-definite"]


class Scripted:
    """A link to a receiver whose answers are given."""

    def __init__(self, *answers: str) -> None:
        self.to_come = list(answers)
        self.sent: list[bytes] = []
        self.delivered: set[object] = set()
        self.deleted: dict[object, int] = {}

    def deliver(self, block: bytes) -> str:
        self.sent.append(block)
        return self.to_come.pop(0)

    def answers(self, frame: bytes, before: tuple[bytes, ...]) -> list[str]:
        self.sent += [*before, frame]
        answer = self.to_come.pop(0)
        return answer.split(", ") if answer else []


def judged(row: Row, answer: str, *, keys: bool = False, **known: object) -> str:
    link = Scripted(answer, "acknowledged")
    for key, value in known.items():
        setattr(link, key, value)
    results: list[Result] = []
    play(link, [row], GOOD.data, results, keys=keys)
    judge(link, results[0])
    return results[0].judged


@pytest.mark.parametrize(
    ("row", "answer", "expected"),
    [
        (GOOD, "acknowledged", UNSEEN),
        (GOOD, "cancel 4", WRONG),
        (GOOD, "silence", WRONG),
        (BAD, "acknowledged", UNSEEN),
        (BAD, "cancel 4", RIGHT),
        (BAD, "silence", UNSEEN),
        (LOOSE, "cancel 4", OPEN),
        (LOOSE, "acknowledged", OPEN),
        (ROWS["bundle", "fragment-first"], "silence", UNSEEN),
        (ROWS["segment", "block"], "report", RIGHT),
        (ROWS["segment", "block"], "", WRONG),
        (ROWS["segment", "block"], "cancel 1", WRONG),
        (ROWS["segment", "type-5"], "", RIGHT),
        (ROWS["segment", "type-5"], "report", WRONG),
        (ROWS["segment", "red-behind-green"], "cancel 3", RIGHT),
        (ROWS["segment", "red-behind-green"], "", RIGHT),
        (ROWS["segment", "red-behind-green"], "report", WRONG),
        (ROWS["segment", "offset-2-62"], "cancel 4", OPEN),
        (ROWS["segment", "sending-all"], "", SKIPPED),
        (ROWS["bundle", "bib"], "acknowledged", SKIPPED),
    ],
    ids=str,
)
def test_what_is_seen_is_judged(row: Row, answer: str, expected: str) -> None:
    assert judged(row, answer) == expected


def test_status_reports_show_what_became_of_a_bundle() -> None:
    good, bad = identity_of(GOOD.data), identity_of(BAD.data)
    assert good == ("[2, [1, 1]]", 800_000_000_000, 1)
    assert judged(GOOD, "acknowledged", delivered={good}) == RIGHT
    assert judged(GOOD, "acknowledged", deleted={good: 8}) == WRONG
    assert judged(BAD, "acknowledged", delivered={bad}) == WRONG
    assert judged(BAD, "acknowledged", deleted={bad: 8}) == RIGHT
    assert judged(ROWS["bundle", "bib"], "cancel 4", keys=True) == WRONG


def test_a_receiver_that_stops_answering_ends_the_play() -> None:
    results: list[Result] = []
    with pytest.raises(Dead, match="after bundle plain a correct bundle is answered by silence"):
        play(Scripted("acknowledged", "silence"), [GOOD, BAD], GOOD.data, results, keys=False)
    assert len(results) == 1


def test_the_last_line_counts() -> None:
    results = [Result(GOOD, "", RIGHT), Result(BAD, "", WRONG), Result(BAD, "", UNSEEN)]
    assert last_line(results) == (
        "3 rows: 1 as the standard says, 1 not as the standard says, "
        "1 not to be seen from outside, 0 left open by the standard, 0 not played"
    )


def test_segments_are_read() -> None:
    heard = read(report(7, 5, 3, (10, 90), (0, 20)))
    assert (heard.kind, heard.session, heard.numbers) == (REPORT, (2, 7), (5, 3, 90, 10, 1, 0, 20))
    whole = plain()
    assert identity_of(whole[:-1]) is None
