"""What a standing station keeps: a history to be searched, and for each day a folder like a run's.

A record goes to the history when it is on disk. When its day is over, it goes from the ledger into
the day's folder, so that the ledger stays small however long the station stands. Days are of UTC by
the plan's clock: they do not jump when this machine's clock is set.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from ground.desk import shown_record
from ground.history import History
from ground.results.record import LoopRecord, from_json
from ground.store import GroundStore
from roundtrip.drive import clock
from roundtrip.framelog import FrameFate, hourly, read_log
from roundtrip.message import Health
from roundtrip.scenario import Scenario
from roundtrip.scenario_file import to_toml
from roundtrip.units import NS_PER_MS, NS_PER_S, ns_to_s

PERIODS = {"hour": 13, "day": 10, "month": 7, "all": 0}
"""How many characters of a date name a run."""
GRACE_NS = 60 * NS_PER_S
"""After a period, before it is closed: what was settled in it is on disk by then."""
HOUR_NS = 3600 * NS_PER_S
UNDATED = "all"


@dataclass(slots=True)
class Seen:
    """What else was seen in a period."""

    health: Health | None = None
    charge: list[tuple[int, int]] = field(default_factory=list)
    rejected: Counter[str] = field(default_factory=Counter)
    node_ahead_ms: int | None = None


class Books:
    """The books of one station.

    Args:
        folder: the station's; the ledger and the link's log are there.
        history: where questions of all runs are noted.
        scenario, seed: of the run.
        per: one of `PERIODS`.
    """

    def __init__(
        self, folder: Path, history: History, scenario: Scenario, seed: int, per: str
    ) -> None:
        self.history = history
        self._folder = folder
        self._scenario = scenario
        self._seed = seed
        self._letters = PERIODS[per]
        self._epoch_ms = 0
        self._closed = ""

    def begin(self, epoch_ms: int, records: Sequence[LoopRecord]) -> None:
        """The plan's clock has a date, 0 for none; the ledger holds these."""
        self._epoch_ms = epoch_ms
        for record in records:
            self.note(record)

    def unix_s(self, at_ns: int) -> int:
        """When that was, s since 1970; 0 where the plan has no date."""
        if not self._epoch_ms:
            return 0
        return clock.DTN_EPOCH_UNIX_S + (self._epoch_ms + at_ns // NS_PER_MS) // 1000

    def period(self, at_ns: int) -> str:
        """The name of the run that a moment belongs to."""
        if not self._epoch_ms or not self._letters:
            return UNDATED
        return clock.utc(self.unix_s(at_ns))[: self._letters].replace(":", "-")

    def note(self, record: LoopRecord) -> None:
        """A record is on disk.

        Raises:
            sqlite3.Error: the history cannot be written.
        """
        run = str(self._folder / self.period(record.settled_ns))
        self.history.add(shown_record(record), run, self.unix_s(record.settled_ns))

    def over(self, now_ns: int) -> bool:
        """Whether a period has ended since this was asked last; true the first time."""
        name = self.period(max(0, now_ns - GRACE_NS))
        before, self._closed = self._closed, name
        return before != name

    def write(self, ledger: Path, now_ns: int, seen: Seen, *, stopped: bool) -> None:
        """Write the folders of the periods that are over, and let go of their records; when
        stopped, the present one's as well, whose records stay. It takes a while: not for a loop's
        thread.

        Raises:
            BadInput, OSError, sqlite3.Error: a file cannot be read or written.
        """
        store = GroundStore(ledger)
        try:
            by_period: dict[str, list[LoopRecord]] = {}
            for record in store.settled():
                by_period.setdefault(self.period(record.settled_ns), []).append(record)
            present = self.period(max(0, now_ns - GRACE_NS))
            for name, records in sorted(by_period.items()):
                if name >= present and not stopped:
                    continue
                self._write(name, records, now_ns, seen)
                if name < present:
                    ids = [record.question_id for record in records]
                    store.drop(ids, workload=self._scenario.workload.count)
        finally:
            store.close()
        oldest_ns = now_ns - self._scenario.budget.budget().expire_ns - GRACE_NS
        for hour, path in hourly(self._folder):
            if (hour + 1) * HOUR_NS < oldest_ns and self.period(hour * HOUR_NS) < present:
                path.unlink(missing_ok=True)

    def _write(self, name: str, records: Sequence[LoopRecord], now_ns: int, seen: Seen) -> None:
        from ground.results.split import split_by_log
        from ground.results.summary import Run, write_results

        folder = self._folder / name
        folder.mkdir(exist_ok=True)
        fates = self._fates(records)
        mine = split_by_log(records, fates) if fates else list(records)
        known = _written(folder / "loops.jsonl") | {one.question_id: one for one in mine}
        mine = sorted(known.values(), key=lambda record: record.planned.index)
        first_ns = min(record.planned.intended_ns for record in mine)
        scenario = self._scenario
        (folder / "scenario.toml").write_text(
            to_toml(scenario.model_copy(update={"seed": self._seed})), encoding="utf-8"
        )
        run = Run(
            scenario,
            self._seed,
            "live",
            mine,
            seen.health,
            fates or None,
            self.unix_s(0),
            ns_to_s(min(now_ns, max(record.settled_ns for record in mine))),
            False,
            dict(sorted(seen.rejected.items())),
            [one for one in seen.charge if one[0] >= first_ns],
            None,
            seen.node_ahead_ms,
        )
        write_results(run, folder)

    def _fates(self, records: Sequence[LoopRecord]) -> list[FrameFate]:
        """What the link's log has of the time of some records."""
        first = min(record.planned.intended_ns for record in records) // HOUR_NS
        last = max(record.settled_ns for record in records) // HOUR_NS
        paths = [path for hour, path in hourly(self._folder) if first <= hour <= last + 1]
        return list(chain.from_iterable(map(read_log, paths)))


def _written(path: Path) -> dict[int, LoopRecord]:
    """The records of a period that were written before."""
    if not path.exists():
        return {}
    lines = path.read_text(encoding="utf-8").splitlines()
    found = [from_json(json.loads(line), str(path)) for line in lines if line]
    return {record.question_id: record for record in found}
