from __future__ import annotations

from node.heartbeat import LIMIT_NS, Heartbeat

S = 10**9


def test_an_engine_at_work_is_alive_as_long_as_it_moves() -> None:
    heart = Heartbeat(0)
    for second in range(200):
        heart.look((second, 0), busy=True, now_ns=second * S)
    assert heart.fresh(199 * S + LIMIT_NS)
    for second in range(200, 270):
        heart.look((199, 0), busy=True, now_ns=second * S)
    assert not heart.fresh(260 * S)


def test_pages_from_the_disk_are_work_too() -> None:
    heart = Heartbeat(0)
    for second in range(200):
        heart.look((7, second), busy=True, now_ns=second * S)
    assert heart.fresh(200 * S)


def test_an_engine_without_work_need_not_move() -> None:
    heart = Heartbeat(0)
    for second in range(200):
        heart.look((7, 7), busy=False, now_ns=second * S)
    assert heart.fresh(200 * S)


def test_a_word_from_it_is_enough() -> None:
    heart = Heartbeat(0)
    heart.look((7, 7), busy=True, now_ns=0)
    heart.beat(100 * S)
    assert heart.fresh(100 * S + LIMIT_NS)
    assert not heart.fresh(100 * S + LIMIT_NS + 1)


def test_no_process_is_no_sign_of_life() -> None:
    heart = Heartbeat(0)
    heart.look(None, busy=False, now_ns=10 * S)
    assert not heart.fresh(LIMIT_NS + 1)
