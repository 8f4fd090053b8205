"""When a question that has arrived is asked again."""

from __future__ import annotations

from ground.timers import Due, Overdue, Timers


def test_timers_come_in_the_order_of_their_times() -> None:
    timers = Timers()
    assert timers.next_ns is None
    for at, number, due in ((5, 1, Due.LATE), (3, 2, Due.AGAIN), (5, 1, Due.EXPIRED), (9, 3, 0)):
        timers.put(at, number, due)
    assert timers.next_ns == 3
    assert list(timers.due(2)) == []
    assert list(timers.due(5)) == [(2, Due.AGAIN), (1, Due.LATE), (1, Due.EXPIRED)]
    assert timers.next_ns == 9


def test_again_comes_later_each_time_up_to_two_budgets() -> None:
    overdue = Overdue()
    assert [overdue.arrived(7, 100) - 7 for _ in range(5)] == [50, 100, 200, 200, 200]


def test_quiet_is_what_has_not_got_longer() -> None:
    overdue = Overdue()
    assert [overdue.quiet(text) for text in ("", "Y", "Y", "Yes", "Yes")] == [
        True, False, True, False, True,
    ]  # fmt: skip
