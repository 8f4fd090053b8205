"""The ledger, and a ground machine that goes on from it."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from pathlib import Path

from dtn.agent import BundleAgent, Transmit
from dtn.bpv7.bundle import BundleId
from dtn.ltp.segment import SessionId
from ground.machine import GroundMachine
from ground.outputs import Asking, Settled, StoredQuestion, StorePart, StoreQuestion
from ground.results.record import Planned
from ground.store import GroundStore, StartedRun
from roundtrip.anchor import Anchor
from roundtrip.budget import Budget, Outcome
from roundtrip.codec import encode
from roundtrip.contacts import FOREVER_NS, Contact, ContactPlan
from roundtrip.message import GREEDY, Part, Question, question_id
from roundtrip.modem import Carrier, Side
from roundtrip.stages import Stage
from roundtrip.transport import agent_config
from roundtrip.units import NS_PER_S

RUN = 77
CUE = Carrier(RUN, True, True, 10**9, 10**9, 0, 1400, 0, 0, "", 10**12)
PLAN = ContactPlan(
    [
        Contact("ground", "node", 0, FOREVER_NS, 10**9, 0),
        Contact("node", "ground", 0, FOREVER_NS, 10**9, 0),
    ]
)
WORKLOAD = [Planned(index, index * NS_PER_S, f"{index}?", None) for index in range(4)]


def machine(recovered: list[StoredQuestion]) -> GroundMachine:
    config = agent_config(Side.GROUND, CUE, max_bundles=16)
    return GroundMachine(
        BundleAgent(config, rng=random.Random(1)),
        WORKLOAD,
        asking=Asking(RUN, "", 8, GREEDY, "off", 0, "", 1, 16),
        budget=Budget(120 * NS_PER_S, 600 * NS_PER_S, 0.95),
        plan=PLAN,
        recovered=recovered,
    )


def asked(number: int, text: str) -> bytes:
    return encode(Question(number, text, "", 8, GREEDY, "off", 120_000))


def test_what_was_written_is_there_after_reopening(tmp_path: Path, answered) -> None:
    path = tmp_path / "ledger.sqlite"
    store = GroundStore(path)
    assert store.started() is None
    store.start(StartedRun(RUN, Anchor("boot", 5, 123)))
    record = answered(0, uplink_sessions=(SessionId(1, 5), SessionId(1, 6)), detail="which one")
    for number in (0, 1):
        store.apply(StoreQuestion(number, asked(number, "?"), 10 + number))
        for part in (Part(number, 0, "Ye"), Part(number, 2, "s")):
            store.apply(StorePart(part, BundleId("ipn:2.1", 0, part.start)))
    store.apply(Settled(record))
    store.close()
    again = GroundStore(path)
    assert again.started() == StartedRun(RUN, Anchor("boot", 5, 123))
    again.start(StartedRun(RUN, Anchor("another boot", 6, 999)))
    moved = StartedRun(RUN, Anchor("another boot", 6, 123))
    assert again.started() == moved, "the clock is found elsewhere, the date is the run's"
    questions, records = again.recover()
    assert questions == [
        StoredQuestion(0, asked(0, "?"), 10, True),
        StoredQuestion(1, asked(1, "?"), 11, False, None, (Part(1, 0, "Ye"), Part(1, 2, "s"))),
    ]
    assert records == [record]
    again.close()


def test_open_questions_go_out_again_settled_ones_do_not_and_the_rest_is_asked() -> None:
    ids = [question_id(RUN, index) for index in range(2)]
    ground = machine(
        [
            StoredQuestion(ids[0], b"0", 5, True),
            StoredQuestion(ids[1], asked(ids[1], "\x01 one"), 6, False),
        ]
    )
    now_ns = 2 * NS_PER_S + 1
    outputs = ground.carrier(CUE, now_ns=now_ns)
    frames = {o.frame for o in outputs if isinstance(o, Transmit)}
    assert sum(b"\x01 one" in frame for frame in frames) == 1
    stored = [o for o in ground.timeout(now_ns=now_ns) if isinstance(o, StoreQuestion)]
    assert [o.question_id for o in stored] == [question_id(RUN, 2)], "0 and 1 are known, 3 not due"


def test_every_question_of_a_run_that_goes_on_ends_once() -> None:
    ids = [question_id(RUN, index) for index in range(2)]
    ground = machine(
        [
            StoredQuestion(ids[0], b"0", 5, True),
            StoredQuestion(ids[1], asked(ids[1], "1"), NS_PER_S, False),
        ]
    )
    ground.carrier(CUE, now_ns=NS_PER_S)
    settled = [o for o in ground.stop("interrupted", now_ns=NS_PER_S) if isinstance(o, Settled)]
    assert [o.record.planned.index for o in settled] == [1, 2, 3]
    assert all(o.record.outcome is Outcome.EXPIRED for o in settled)
    stamps = settled[0].record.stamps
    assert (stamps[Stage.INTENDED], stamps[Stage.SUBMITTED]) == (NS_PER_S, NS_PER_S)
    assert ground.finished


def test_parts_of_an_answer_that_came_before_a_restart_count() -> None:
    number = question_id(RUN, 0)
    parts = (Part(number, 0, "Ye"), Part(number, 2, "s, and"))
    ground = machine([StoredQuestion(number, asked(number, "0"), 5, False, None, parts)])
    ground.carrier(CUE, now_ns=NS_PER_S)
    settled = [o for o in ground.stop("interrupted", now_ns=NS_PER_S) if isinstance(o, Settled)]
    assert settled[0].record.answer == "Yes, and"


def test_an_outcome_of_a_question_that_was_never_asked_is_kept(tmp_path: Path, expired) -> None:
    """As at the end of the last contact, for what was still to come."""
    store = GroundStore(tmp_path / "ledger.sqlite")
    record = expired(2)
    store.apply(Settled(record))
    assert store.settled() == [record]
    questions, records = store.recover()
    assert ([one.settled for one in questions], records) == ([True], [record])
    store.close()


def test_a_damaged_outcome_comes_again_and_a_damaged_question_is_dropped(
    tmp_path: Path, answered
) -> None:
    path, told = tmp_path / "ledger.sqlite", []
    with closing(GroundStore(path)) as ground:
        for number in range(4):
            ask = Question(number, f"{number}?", "", 8, GREEDY, "off", 1000)
            ground.apply(StoreQuestion(number, encode(ask, texts=()), 5))
            if number < 2:
                ground.apply(Settled(answered(number, question_id=number)))
    _change(
        path,
        "UPDATE questions SET record = replace(record, 'Yes.', 'Yet.') "
        "WHERE question_id = x'0000000000000001'",
    )
    _change(path, "UPDATE questions SET asked_ns = 6 WHERE question_id = x'0000000000000002'")
    with closing(GroundStore(path, told.append)) as ground:
        questions, records = ground.recover()
        assert [(one.question_id, one.settled) for one in questions] == [
            (0, True), (1, False), (3, False)
        ]  # fmt: skip
        assert [record.planned.index for record in records] == [0]
        assert ground.settled() == records
        assert told == ["1 question in the ledger damaged: 00000000000002"]


def _change(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(statement)
