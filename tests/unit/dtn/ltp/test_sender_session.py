"""What a sender makes of reports when the receiver has crashed between them."""

from __future__ import annotations

from dtn.ltp.segment import ReportSegment, SessionId
from dtn.ltp.sender_session import FRUITLESS, REPORTS_APART, Progress, SenderSession

SESSION = SessionId(1, 7)
BLOCK = bytes(400)


def sent() -> SenderSession:
    """A session whose block has left whole, in one go."""
    session = SenderSession(SESSION, BLOCK, 0, 1, 1000, next_checkpoint=50)
    while session.pending_bytes:
        session.next_segment(checkpoint_every=1 << 20)
    return session


def report(session: SenderSession, serial: int, *claims: tuple[int, int]) -> Progress:
    return session.on_report(
        ReportSegment(SESSION, serial, 50, len(BLOCK), 0, claims), cycle_limit=999
    )


def test_claims_of_one_life_add_up() -> None:
    session = sent()
    assert report(session, 100, (0, 200)) is Progress.WAITING
    assert session.pending_bytes == 200
    assert report(session, 100 + REPORTS_APART, (200, 400)) is Progress.COMPLETE


def test_a_report_that_was_lost_and_comes_late_is_of_the_life_that_went_on() -> None:
    """As in a long block, where many reports lie between a lost one and its repetition."""
    session = sent()
    for serial in range(100, 300, REPORTS_APART):
        report(session, serial, (0, 100))
    while session.pending_bytes:
        session.next_segment(checkpoint_every=1 << 20)
    assert report(session, 101, (100, 400)) is Progress.COMPLETE


def test_claims_of_a_life_that_crashed_and_of_its_successor_do_not() -> None:
    session = sent()
    report(session, 100, (0, 200))
    while session.pending_bytes:
        session.next_segment(checkpoint_every=1 << 20)
    assert report(session, 5000, (200, 400)) is Progress.WAITING
    assert session.pending_bytes == 200, "what the first life had goes again"
    assert report(session, 101, (0, 200), (300, 400)) is Progress.WAITING
    assert session.pending_bytes == 300, "it may be the one that lives: what it lacks goes as well"
    assert report(session, 5001, (0, 200)) is Progress.COMPLETE


def test_a_report_of_a_life_that_crashed_may_come_after_one_of_its_successor() -> None:
    """What the successor asks for afterwards goes all the same."""
    session = sent()
    report(session, 5000, (0, 100))
    report(session, 100, (100, 400))
    while session.pending_bytes:
        session.next_segment(checkpoint_every=1 << 20)
    assert report(session, 5001, (0, 300)) is Progress.WAITING
    assert session.pending_bytes == 100


def test_what_has_not_left_yet_is_not_asked_for_by_a_new_life() -> None:
    session = SenderSession(SESSION, BLOCK, 0, 1, 150, next_checkpoint=50)
    session.next_segment(checkpoint_every=100)
    left = session.pending_bytes
    for serial in (100, 5000):
        session.on_report(ReportSegment(SESSION, serial, 50, 100, 0, ((0, 50),)), cycle_limit=9)
    assert session.pending_bytes == left + (len(BLOCK) - left - 50)


def test_a_receiver_that_has_another_block_under_this_number_is_given_up() -> None:
    """Or somebody who says so in its name: a new session has a number that nobody can know."""
    session = sent()
    serials = iter(range(100, 1000))
    for _ in range(FRUITLESS + 1):
        assert report(session, next(serials), (0, 200)) is Progress.WAITING
    assert report(session, next(serials), (0, 200)) is Progress.TOO_MANY_CYCLES


def test_one_that_gets_on_is_not() -> None:
    session = sent()
    for step in range(3 * FRUITLESS):
        assert report(session, 100 + step, (0, 100 + step)) is Progress.WAITING
    assert report(session, 100 + 3 * FRUITLESS, (0, 400)) is Progress.COMPLETE
