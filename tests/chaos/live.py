"""One such run: link, node and ground as processes of their own, and a checker from outside.

It goes by what is on disk when all is over, and shares nothing with the processes but files.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader

ROOT = Path(__file__).parents[2]
HOUR_S = 3600
TO_1970_S = -int(time.time())
CLOCKS_S = (0, 0, HOUR_S, -HOUR_S, TO_1970_S)
SCENARIO = """
[link.uplink]
rate_bps = 64_000
one_way_delay_ms = 20
loss = 0.03
mtu_bytes = 512
[link.downlink]
rate_bps = 1_000_000
one_way_delay_ms = 20
loss = 0.03
mtu_bytes = 1_400
{outages}
[workload]
questions_file = "{questions}"
system = "You watch the telemetry of a satellite. Answer from the frame, exactly and briefly."
rate_per_min = {rate}
count = {count}
start_s = 0.5
max_tokens = 160
temperature = 0
[budget]
loop_s = 120
expire_s = 900
[node]
model = "builtin"
threads = 1
context = 1024
memory_mb = 900
cpu_cores = 2
{radiation}
"""
RADIATION = "radiation = {flips_per_bit_day = 0.02}"
"""Some eight upsets a second in the builtin's weights, and one in the store's files."""
CGROUPS = Path("/sys/fs/cgroup")
DRAIN_S = 150.0
"""For what is open when all is well again."""
DISK_BYTES = 8 << 20
"""Small, but with room for what a run of a minute writes: the journals of ledger, history and store
have some three megabytes then. What fills it up is taken away again."""


@dataclass(slots=True)
class Verdict:
    """Of one run."""

    seed: int
    questions: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)


class ChaosRun:
    """One run.

    Args:
        seed: what fails, and when; one in four is under radiation.
        folder: of its own.
        seconds: how long things fail.
        standing: a station that stands asks, instead of a run.
    """

    def __init__(self, seed: int, folder: Path, seconds: float, *, standing: bool) -> None:
        self._rng = random.Random(seed)
        self._folder = folder
        self._seconds = seconds
        self._standing = standing
        self._disk = folder / "disk"
        self._disk.mkdir()
        self._count = max(8, round(seconds * 0.8))
        self._programs: dict[str, subprocess.Popen[bytes]] = {}
        self._pids: set[int] = set()
        """All that there were."""
        self._clock_s = {"ground": 0, "node": 0, "link": 0}
        self._ends = [f"tcp://127.0.0.1:{port}" for port in _free_ports(2)]
        self.verdict = Verdict(seed, self._count)
        at = round(seconds * self._rng.uniform(0.2, 0.6), 1)
        kind = self._rng.choice(("silent", "cued", "stuck"))
        outages = f'[[outage]]\nstart_s = {at}\nend_s = {at + 4}\nkind = "{kind}"\n'
        questions = ROOT / "testbed" / "scenarios" / "triage.jsonl"
        self._scenario = folder / "chaos.toml"
        self._scenario.write_text(
            SCENARIO.format(
                outages=outages,
                radiation=RADIATION if seed % 4 == 3 else "",
                questions=questions,
                count=self._count,
                rate=60 * self._count / seconds,
            )
        )

    def run(self) -> Verdict:
        """Have everything fail for a while, then heal it, and judge what is left."""
        with _small_disk(self._disk) as has_disk:
            try:
                for role in ("link", "node", "ground"):
                    self._start(role)
                self._hurt(has_disk=has_disk)
                self._heal()
                self._drain()
            finally:
                self._end()
            self._judge()
        return self.verdict

    # -- processes ---------------------------------------------------------------------------------

    def _command(self, role: str) -> list[str]:
        ground, node = self._ends
        match role:
            case "link":
                return ["link_sim", str(self._scenario), "--ground", ground, "--node", node]
            case "node":
                store = str(self._disk / "node.sqlite")
                return ["node", "--scenario", str(self._scenario), "--link", node, "--store", store]
            case _ if self._standing:
                return [
                    "testbed", "station", str(self._scenario), "--link", ground, "--workload",
                    "--out", str(self._disk / "run"), "--port", "0", "--ui", "none",
                    "--run-per", "all",
                ]  # fmt: skip
            case _:
                out = str(self._disk / "run")
                return ["ground", str(self._scenario), "--link", ground, "--out", out]

    def _start(self, role: str) -> None:
        with (self._folder / f"{role}.log").open("ab") as log:
            program = self._programs[role] = subprocess.Popen(
                [sys.executable, "-m", *self._command(role)],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ
                | {
                    "GROUNDLOOP_KEYS": str(self._folder / "keys.toml"),
                    "GROUNDLOOP_TEST_CLOCK_OFFSET_S": str(self._clock_s[role]),
                },
            )
        self._pids.add(program.pid)

    def _kill(self, role: str) -> None:
        program = self._programs[role]
        if program.poll() is None:
            family = psutil.Process(program.pid).children(recursive=True)
            program.kill()
            program.wait()
            psutil.wait_procs(family, timeout=10)

    def _again(self, role: str) -> None:
        """Start it again, with the same or another clock."""
        if self._programs[role].poll() is None or self._is_done(role):
            return
        if self._rng.random() < 0.4:
            self._clock_s[role] = self._rng.choice(CLOCKS_S)
            self.verdict.faults["clock set"] += self._clock_s[role] != 0
        self._start(role)

    # -- what fails --------------------------------------------------------------------------------

    def _hurt(self, *, has_disk: bool) -> None:
        faults: list[tuple[str, Callable[[], None]]] = [
            ("ground killed", lambda: self._killed("ground")),
            ("node killed", lambda: self._killed("node")),
            ("link killed", lambda: self._killed("link")),
            ("stopped for seconds", self._stopped),
            ("engine killed", self._engine_killed),
            ("engine stopped", self._engine_stopped),
            ("engine hung for good", self._engine_hung),
            ("node's store flipped", lambda: self._damaged("node", cut=False)),
            ("node's store cut", lambda: self._damaged("node", cut=True)),
            ("ledger flipped", lambda: self._damaged("ground", cut=False)),
            ("ledger cut", lambda: self._damaged("ground", cut=True)),
        ]
        if has_disk:
            faults += [("disk full", self._disk_full), ("disk read-only", self._disk_read_only)]
        end = time.monotonic() + self._seconds
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(left, self._rng.expovariate(0.8)))
            name, fault = self._rng.choice(faults)
            self.verdict.faults[name] += 1
            fault()
            for role in self._programs:
                self._again(role)

    def _killed(self, role: str) -> None:
        self._kill(role)
        time.sleep(self._rng.uniform(0, 1.5))

    def _stopped(self) -> None:
        program = self._programs[self._rng.choice(list(self._programs))]
        if program.poll() is None:
            program.send_signal(signal.SIGSTOP)
            time.sleep(self._rng.uniform(0.5, 4))
            program.send_signal(signal.SIGCONT)

    def _engine(self) -> psutil.Process | None:
        program = self._programs["node"]
        if program.poll() is not None:
            return None
        with contextlib.suppress(psutil.Error):
            return next(iter(psutil.Process(program.pid).children()), None)
        return None

    def _engine_killed(self) -> None:
        engine = self._engine()
        with contextlib.suppress(psutil.Error):
            if engine is not None:
                engine.kill()

    def _engine_stopped(self) -> None:
        engine = self._engine()
        with contextlib.suppress(psutil.Error):
            if engine is not None:
                engine.suspend()
                time.sleep(self._rng.uniform(0.5, 3))
                engine.resume()

    def _engine_hung(self) -> None:
        """Once: the node waits for a minute before it takes it for dead."""
        engine = None if self.verdict.faults["engine hung for good"] > 1 else self._engine()
        with contextlib.suppress(psutil.Error):
            if engine is not None:
                engine.suspend()

    def _damaged(self, role: str, *, cut: bool) -> None:
        """A process dies, and its store has a flipped bit, or has lost its end."""
        if self._is_done(role):
            return
        self._kill(role)
        path = self._disk / ("node.sqlite" if role == "node" else "run/ledger.sqlite")
        data = bytearray(path.read_bytes()) if path.exists() else bytearray()
        if len(data) > 200:
            if cut:
                data = data[: self._rng.randrange(100, len(data))]
            else:
                data[self._rng.randrange(len(data))] ^= 1 << self._rng.randrange(8)
            path.write_bytes(data)

    def _disk_full(self) -> None:
        filler = self._disk / "filler"
        with contextlib.suppress(OSError), filler.open("wb") as file:
            while True:
                file.write(bytes(4096))
                file.flush()
        time.sleep(self._rng.uniform(0.5, 3))
        filler.unlink(missing_ok=True)

    def _disk_read_only(self) -> None:
        _remount(self._disk, "ro")
        time.sleep(self._rng.uniform(0.5, 2))
        _remount(self._disk, "rw")

    # -- and how it ends ---------------------------------------------------------------------------

    def _heal(self) -> None:
        for role in ("link", "node", "ground"):
            self._clock_s[role] = 0
            if self._programs[role].poll() is not None and not self._is_done(role):
                self._start(role)

    def _is_done(self, role: str) -> bool:
        return role == "ground" and any((self._disk / "run").rglob("summary.json"))

    def _drain(self) -> None:
        end, asked_to_stop = time.monotonic() + DRAIN_S, False
        while time.monotonic() < end:
            for role in ("link", "node", "ground"):
                ended = self._programs[role].poll() is not None
                if ended and not asked_to_stop and not self._is_done(role):
                    self._start(role)
            if self._standing and not asked_to_stop and self._settled() >= self._count:
                self._programs["ground"].send_signal(signal.SIGINT)
                asked_to_stop = True
            if self._programs["ground"].poll() is not None and self._is_done("ground"):
                return
            time.sleep(0.5)
        self.verdict.broken.append(f"not over {DRAIN_S:.0f} s after all was well again")

    def _settled(self) -> int:
        """Of a station: outcomes in its ledger."""
        path = self._disk / "run" / "ledger.sqlite"
        with (
            contextlib.suppress(sqlite3.Error),
            contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db,
        ):
            row = db.execute("SELECT count(*) FROM questions WHERE record IS NOT NULL").fetchone()
            return int(row[0])
        return 0

    def _end(self) -> None:
        for role in self._programs:
            if self._programs[role].poll() is None:
                self._programs[role].send_signal(signal.SIGCONT)
                self._programs[role].terminate()
        for role, program in self._programs.items():
            try:
                program.wait(20)
            except subprocess.TimeoutExpired:
                self.verdict.broken.append(f"{role} does not end")
                self._kill(role)

    def _judge(self) -> None:
        broken = self.verdict.broken
        found = sorted((self._disk / "run").rglob("loops.jsonl"))
        if len(found) != 1:
            broken.append(f"{len(found)} files of loops")
            return
        loops = [json.loads(line) for line in found[0].read_text().splitlines()]
        indexes = [loop["index"] for loop in loops]
        if sorted(indexes) != list(range(self._count)):
            broken.append(f"outcomes of {sorted(indexes)}, of {self._count} questions")
        for loop in loops:
            self.verdict.outcomes[loop["outcome"]] += 1
            answered = loop["outcome"] in ("on_time", "late")
            self.verdict.faults["answer marked as exposed"] += bool(loop.get("exposed"))
            if answered and loop.get("correct") is not True and not loop.get("exposed"):
                broken.append(
                    f"question {loop['index']} has a wrong answer: {loop.get('answer')!r}"
                )
            if loop["outcome"] == "expired":
                broken.append(f"question {loop['index']} is lost: {loop['reason']}")
            if loop["loop_ns"] is not None and sum(loop["phases_ns"].values()) != loop["loop_ns"]:
                broken.append(f"phases of question {loop['index']} do not add up")
        reader = HistogramLogReader(
            str(found[0].with_name("latency.hlog")), HdrHistogram(1, 3_600_000_000_000, 3)
        )
        counts = []
        while (histogram := reader.get_next_interval_histogram()) is not None:
            counts.append(histogram.get_total_count())
        reader.close()
        if not counts or max(counts) != self._count:
            broken.append(f"histograms count {counts}, not {self._count}")
        for role in self._programs:
            if "Traceback" in (text := (self._folder / f"{role}.log").read_text(errors="replace")):
                broken.append(f"{role}: {text[text.index('Traceback') :][-600:]}")
        groups = [folder for pid in self._pids for folder in CGROUPS.rglob(f"groundloop*-{pid}*")]
        if groups:
            broken.append(f"cgroups left behind: {groups}")
        left = [p.pid for p in psutil.process_iter(["cmdline"]) if _is_of(p, self._folder)]
        if left:
            broken.append(f"processes left behind: {left}")


def _is_of(process: psutil.Process, folder: Path) -> bool:
    return any(str(folder) in word for word in process.info["cmdline"] or ())


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        found = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in found:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in found]


@contextlib.contextmanager
def _small_disk(folder: Path) -> Iterator[bool]:
    """A small disk, where we may mount one; whether."""
    if os.geteuid() or shutil.which("mount") is None:
        yield False
        return
    options = f"size={DISK_BYTES}"
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True
    )
    try:
        yield made.returncode == 0
    finally:
        if made.returncode == 0:
            subprocess.run(["umount", "-l", str(folder)], check=False)


def _remount(folder: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", str(folder)], check=False, capture_output=True)
