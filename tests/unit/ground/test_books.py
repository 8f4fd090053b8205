"""What a standing station writes of each day, and what it lets go of."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from ground.books import GRACE_NS, HOUR_NS, Books, Seen
from ground.history import History
from ground.outputs import Settled, StoreQuestion
from ground.results.load import load_run
from ground.store import GroundStore, StartedRun
from roundtrip.anchor import Anchor
from roundtrip.framelog import Fate, FrameFate, hour_log, to_line
from roundtrip.scenario_file import check_scenario

MIDNIGHT_MS = 820_540_800_000  # 2026-01-01T00:00:00Z
DAY_NS = 24 * HOUR_NS
WAY = {"rate_bps": 9_600, "one_way_delay_ms": 5}
SCENARIO = check_scenario(
    {
        "name": "standing",
        "link": {"uplink": WAY, "downlink": WAY},
        "workload": {"questions": ["First?"], "count": 1, "rate_per_min": 1},
    },
    "standing",
)


class Station:
    """A ledger, and the books of it."""

    def __init__(self, folder: Path, answered, per: str = "day", epoch_ms: int = MIDNIGHT_MS):
        self.folder, self.answered = folder, answered
        self.ledger = folder / "ledger.sqlite"
        self.store = GroundStore(self.ledger)
        self.store.start(StartedRun(1, Anchor("boot", 0, epoch_ms)))
        self.history = History(folder / "history.sqlite")
        self.books = Books(folder, self.history, SCENARIO, 1, per)
        self.books.begin(epoch_ms, [])

    def settle(self, index: int, at_ns: int):
        record = self.answered(index)
        by_ns = at_ns - record.settled_ns
        stamps = {stage: each_ns + by_ns for stage, each_ns in record.stamps.items()}
        record = self.answered(index, stamps=stamps, settled_ns=at_ns)
        self.store.apply(StoreQuestion(index, b"asked", at_ns))
        self.store.apply(Settled(record))
        self.books.note(record)
        return record

    def write(self, now_ns: int, *, stopped: bool = False) -> None:
        self.books.write(self.ledger, now_ns, Seen(), stopped=stopped)

    def days(self) -> dict[str, list[int]]:
        return {
            path.parent.name: [json.loads(line)["index"] for line in path.read_text().splitlines()]
            for path in sorted(self.folder.glob("*/loops.jsonl"))
        }

    def left(self) -> list[int]:
        return [record.planned.index for record in self.store.settled()]


@pytest.fixture
def station(tmp_path: Path, answered):
    made: list[Station] = []

    def make(**options) -> Station:
        made.append(Station(tmp_path, answered, **options))
        return made[-1]

    yield make
    for one in made:
        one.store.close()
        one.history.close()


def test_a_day_that_is_over_has_its_folder_and_leaves_the_ledger(station) -> None:
    it = station()
    for index, at_ns in ((0, HOUR_NS), (1, DAY_NS - 1), (2, DAY_NS), (3, DAY_NS + HOUR_NS)):
        it.settle(index, at_ns)
    it.write(DAY_NS + 2 * HOUR_NS)
    assert it.days() == {"2026-01-01": [0, 1]}
    assert it.left() == [2, 3]
    assert [one["run"][-10:] for one in it.history.latest(4)] == ["2026-01-02"] * 2 + [
        "2026-01-01"
    ] * 2
    run, summary = load_run(it.folder / "2026-01-01")
    assert (len(run.records), summary["outcomes"]["on_time"]) == (2, 2)
    assert "<svg" in (it.folder / "2026-01-01" / "report.html").read_text()


def test_a_days_report_shows_the_day_and_not_all_before_it(station) -> None:
    it = station()
    it.settle(0, 9 * DAY_NS + HOUR_NS)
    it.settle(1, 9 * DAY_NS + 2 * HOUR_NS)
    it.write(10 * DAY_NS + HOUR_NS)
    report = (it.folder / "2026-01-10" / "report.html").read_text()
    bars = re.findall(r'<rect class="[a-z]+" x="([0-9.]+)"[^>]*><title>#([01]) on_time', report)
    (first, last) = (float(x) for x, _ in bars)
    assert first < 150 < 700 < last


def test_what_is_let_go_of_is_still_known_where_it_matters(station) -> None:
    """The workload is not asked again, and no id is used twice."""
    it = station()
    for index in (0, 1, 2):
        it.settle(index, HOUR_NS + index)
    it.write(2 * DAY_NS)
    questions, records = it.store.recover()
    assert [(one.question_id, one.settled) for one in questions] == [(0, True), (2, True)]
    assert records == []


def test_a_station_that_is_stopped_leaves_what_there_is_of_the_day(station) -> None:
    it = station()
    it.settle(0, HOUR_NS)
    it.write(2 * HOUR_NS, stopped=True)
    assert (it.days(), it.left()) == ({"2026-01-01": [0]}, [0])
    it.settle(1, 3 * HOUR_NS)
    it.write(4 * HOUR_NS, stopped=True)
    assert it.days() == {"2026-01-01": [0, 1]}


def test_a_record_that_comes_after_its_day_was_closed_joins_it(station) -> None:
    it = station()
    it.settle(0, HOUR_NS)
    it.write(DAY_NS + HOUR_NS)
    it.settle(1, DAY_NS - 1)
    it.write(DAY_NS + 2 * HOUR_NS)
    assert it.days() == {"2026-01-01": [0, 1]}


def test_a_day_is_closed_a_minute_after_its_end_and_once(station) -> None:
    it = station()
    assert it.books.over(HOUR_NS), "what is left of days before, when it begins"
    assert not it.books.over(DAY_NS + GRACE_NS - 1)
    assert it.books.over(DAY_NS + GRACE_NS)
    assert not it.books.over(DAY_NS + GRACE_NS)


@pytest.mark.parametrize(
    ("per", "name"),
    [("hour", "2026-01-02T01"), ("day", "2026-01-02"), ("month", "2026-01"), ("all", "all")],
)
def test_runs_are_as_long_as_was_told(station, per: str, name: str) -> None:
    it = station(per=per)
    assert it.books.period(DAY_NS + HOUR_NS) == name


def test_without_a_date_there_is_one_run(station) -> None:
    it = station(epoch_ms=0)
    it.settle(0, HOUR_NS)
    it.write(5 * DAY_NS)
    assert it.left() == [0]
    it.write(5 * DAY_NS, stopped=True)
    assert it.days() == {"all": [0]}
    assert it.history.latest(1)[0]["unix_s"] == 0


def test_the_links_log_is_read_by_the_hour_and_goes_with_its_day(station) -> None:
    it = station()
    for hour in (0, 1, 23, 24, 47, 48):
        fate = FrameFate("uplink", 0, 99, hour * HOUR_NS, None, None, None, Fate.LOST, b"")
        hour_log(it.folder, hour).write_text(to_line(fate) + "\n")
    it.settle(0, 23 * HOUR_NS + 5)
    it.write(DAY_NS + HOUR_NS)
    summary = json.loads((it.folder / "2026-01-01" / "summary.json").read_text())
    assert summary["link"]["uplink"]["frames"] == 2, "of its hour and the next"
    kept = [path.stem for path in sorted(it.folder.glob("frames-*"))]
    assert kept[0] == "frames-000024", "what can still matter"
    it.write(2 * DAY_NS + HOUR_NS)
    kept = [path.stem for path in sorted(it.folder.glob("frames-*"))]
    assert kept == ["frames-000048"]
