"""What is fuzzed besides bytes from a peer: every file that people or disks may have changed.

Each target takes the bytes of a file, and reads and uses it as the commands do: only BadInput may
come out. Scenarios and profiles also run in virtual time, for a few thousand events. Run
one with `make fuzz TARGET=scenario SECONDS=600`; a few hundred changes of each are part of the
tests.
"""

from __future__ import annotations

import io
import itertools
import json
import random
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from functools import cache
from pathlib import Path

from rich.console import Console

from ground.results.load import load_run
from ground.results.report import write_report
from ground.results.summary import Run, write_results
from ground.results.verdict import print_verdict
from node.board.feeds import NoReading, OfFile
from node.board.reading import history_text
from node.service_time import PROFILES, Profile, load_profile
from roundtrip.errors import BadInput
from roundtrip.keys import new_keys, read_keys, write_keys
from roundtrip.link_trace import TraceDelay, TraceRate, read_trace
from roundtrip.orbit import dated
from roundtrip.passes import all_passes, warnings_of
from roundtrip.scenario import Scenario
from roundtrip.scenario_file import load_scenario, to_toml
from roundtrip.tle import from_tle
from roundtrip.units import NS_PER_S
from testbed.campaign.compared import load_summary
from testbed.commands.campaign import compare_command
from testbed.contact_plan import hdtn_plan, ion_plan
from testbed.effort import check_effort
from testbed.trace_fit import fitted
from testbed.world import World

EVENTS = 1500
"""Of a virtual run: enough for a few questions with their answers."""
BETWEEN = b"\n\x1e\n"
"""Between the files of a folder."""

LINK = """
[link.uplink]
rate_bps = 64000
one_way_delay_ms = 20
loss = 0.05
mtu_bytes = 256
[link.downlink]
rate_bps = 1000000
one_way_delay_ms = 20.5
"""
FULL = """
name = "all of it"
description = "every section"
seed = 7
[link.uplink]
rate_bps = 64000
one_way_delay_ms = 20
loss = 0.05
mtu_bytes = 256
queue_bytes = 10000
duplication = 0.01
jitter_ms = 4
burst = { p = 0.01, r = 0.2, loss_good = 0.0, loss_bad = 0.9 }
[link.downlink]
rate_bps = 1000000
one_way_delay_ms = 20.5
bit_error_rate = 1e-6
frame_check = true
fade = { mean_db = 4, sigma_db = 3, time_constant_s = 20, margin_db = 8 }
handover = { every_s = 15, offset_s = 12, burst_ms = 100, loss = 0.9 }
[[contact]]
start_s = 0
end_s = 60.5
ranges_km = [900, 600.5, 900]
station = "Berlin"
max_elevation_deg = 45
[[contact]]
start_s = 70
end_s = 400
ranges_km = [900, 2600]
[[outage]]
start_s = 20
end_s = 30
kind = "silent"
direction = "downlink"
[[outage]]
start_s = 80
end_s = 81
kind = "stuck"
[workload]
questions = [
  { text = "Status?", rule = "status" },
  { text = "2 + 2?", expected = "4", priority = "expedited", see = [], tools = [] },
  { text = "Low?", see = ["telemetry.history"] },
]
see = ["telemetry"]
tools = ["passes.next", "wheel.speed"]
system = "Be brief."
arrivals = "poisson"
rate_per_min = 60
count = 6
start_s = 0.5
max_tokens = 64
temperature = 0.7
top_p = 0.8
top_k = 20
thinking = "auto"
think_tokens = 10
max_outstanding = 100
[budget]
loop_s = 30
objective = 0.9
expire_s = 60
[node]
model = "builtin"
threads = 1
memory_mb = 500
cpu_cores = 1.5
context = 1024
queue = 5
sequences = 2
policy = "edf"
profile = "rpi5-8gb"
beacon_s = 10
part_s = 0.5
[node.energy]
battery_wh = 10
floor = 0.3
start = 0.9
solar_w = 8
bus_w = 2
orbit_min = 95
eclipse_min = 35
[node.thermal]
reduce_c = 76
pause_c = 84
margin_c = 5
[node.telemetry]
source = "simulator"
seed = 3
every_s = 5
stale_s = 60
channels = ["EPS.VBAT", "EPS.SOC"]
history_frames = 3
history_s = 600
[node.tools]
allow = ["telemetry.read", "passes.next", "files.read", "wheel.speed"]
folder = "."
timeout_s = 2
max_bytes = 1000
max_calls = 4
[[node.tools.command]]
name = "wheel.speed"
description = "Of a wheel."
argv = ["/bin/true"]
parameters = { type = "object" }
[upload]
name = "cargo"
size_bytes = 100000
at_s = 1
activate = true
"""
ORBIT = """
[link]
preset = "leo-xband-acm"
[link.uplink.budget]
eirp_dbw = 12
g_over_t_db_k = 10
frequency_hz = 2e9
losses_db = 3
margin_db = 3
symbol_rate_baud = 1e6
modcods = [
  { name = "a", rate_bps = 9600, ebn0_db = 4 },
  { name = "b", bits_per_symbol = 1.5, esn0_db = 3 },
]
[orbit]
start = 2026-06-01T00:00:00Z
hours = 6
[[satellite]]
name = "one"
tle = [
  "1 25544U 98067A   26152.51782528  .00016717  00000-0  10270-3 0  9001",
  "2 25544  51.6400 208.9163 0006317  69.9862  25.2906 15.50377579    07",
]
[[satellite]]
name = "two"
altitude_km = 550
inclination_deg = 97.5
raan_deg = 20
phase_deg = 10
[[station]]
name = "Svalbard"
lat_deg = 78.2
lon_deg = 15.4
alt_m = 400
min_elevation_deg = 5
[workload]
questions = ["Status?"]
count = 1
[budget]
expire_s = 40000
[node]
satellite = "two"
profile = "rpi5-8gb"
energy = { battery_wh = 10, solar_w = 8 }
"""
ASK = "[workload]\nrate_per_min = 60\ncount = 4\nmax_tokens = 64\n"
TLES = (
    "1 25544U 98067A   26152.51782528  .00016717  00000-0  10270-3 0  9001\n"
    "2 25544  51.6400 208.9163 0006317  69.9862  25.2906 15.50377579    07",
    "1 54380U 22162B   22345.68941756  .08877519  80912-5  18379-3 0  9996\n"
    "2 54380  41.4618 212.0662 0014777 219.1379 204.8125 16.45663364  1954",
    "1 99998U          16033.50000000 -.00000082  00000-0 -21065-5 0 00006\n"
    "2 99998  97.3248 199.0316 0005801 347.9317  12.1809 15.77351267244832",
)


def run_a_little(scenario: Scenario, profile: Profile, events: int = EVENTS) -> Run:
    """A virtual run that is stopped after some events."""
    world = World(scenario, scenario.seed, profile)
    count, clock = itertools.count(), world._clock
    whole = clock.run
    clock.run = lambda until, *, limit_ns: whole(
        lambda: next(count) > events or until(), limit_ns=limit_ns
    )
    return world.run()


def use_scenario(data: bytes) -> None:
    """A scenario file: loaded, written out and loaded again the same, planned, run."""
    with _folder() as folder:
        scenario = load_scenario(_file(folder, "scenario.toml", data))
        again = load_scenario(_file(folder, "again.toml", to_toml(scenario).encode()))
        assert again == scenario
        plan_and_run(scenario, load_profile(scenario.node.profile))


def plan_and_run(scenario: Scenario, profile: Profile) -> Run:
    """As the commands do."""
    check_effort(scenario, profile, scenario.name)
    if scenario.orbit is not None:
        warnings_of(scenario, scenario.name)
        found = all_passes(scenario, scenario.name)
        ion_plan(scenario, found)
        hdtn_plan(scenario, found)
    assert isinstance(scenario.out_of_reach, str)
    return run_a_little(scenario, profile)


def use_questions(data: bytes) -> None:
    """A file of questions: JSON, where it begins as such, or lines of text."""
    name = "q.jsonl" if data.lstrip()[:1] == b"{" else "q.txt"
    with _folder() as folder:
        _file(folder, name, data)
        text = f"{LINK}{ASK}questions_file = '{name}'\n"
        scenario = load_scenario(_file(folder, "scenario.toml", text.encode()))
        assert all(question.text for question in scenario.workload.questions)
        plan_and_run(scenario, load_profile("builtin"))


def use_tle(data: bytes) -> None:
    """A two-line element set: its passes within a day from its epoch, and weeks later."""
    lines = data.decode(errors="replace").split("\n")
    satellite = from_tle(lines, "it")
    epoch_jd = satellite.jdsatepoch + satellite.jdsatepochF
    for later in (0, 20):
        text = f"{LINK}{ASK}questions = ['a']\n[orbit]\nhours = 12\n"
        text += f"start = '{dated(epoch_jd + later)[:10]}T23:00:00'\n"
        text += f"[[satellite]]\nname = 's'\ntle = {json.dumps(lines)}\n"
        for lat_deg in (-30, 5, 60):
            text += f"[[station]]\nname = 'at {lat_deg}'\nlat_deg = {lat_deg}\nlon_deg = 13\n"
            text += "min_elevation_deg = 0\n"
        with _folder() as folder, suppress(*([BadInput] if later else [])):
            scenario = load_scenario(_file(folder, "scenario.toml", text.encode()))
            assert scenario.contact
            ion_plan(scenario, all_passes(scenario, "x"))


def use_keys(data: bytes) -> None:
    """A key file; none of what it holds may stand in an error."""
    with _folder() as folder:
        path = _file(folder, "keys.toml", data)
        path.chmod(0o600)
        try:
            keys = read_keys(path)
        except BadInput as error:
            if any(secret in str(error) for secret in _secrets()):
                raise AssertionError("a secret in an error") from error
            raise
        write_keys(path, keys, replace=True)
        assert read_keys(path) == keys


def use_profile(data: bytes) -> None:
    """A profile, and a run with it."""
    with _folder() as folder:
        profile = load_profile(str(_file(folder, "p.toml", data)))
        text = f"{LINK}{ASK}questions = ['a', 'b']\n"
        text += "[node.energy]\nbattery_wh = 10\nsolar_w = 5\n" if profile.power else ""
        plan_and_run(load_scenario(_file(folder, "s.toml", text.encode())), profile)


def use_folder(data: bytes) -> None:
    """The folder of a run: its three files that `report` and `compare` read."""
    names = ("summary.json", "loops.jsonl", "scenario.toml")
    with _folder() as folder:
        for name, content in itertools.zip_longest(names, data.split(BETWEEN)[:3], fillvalue=b""):
            _file(folder, str(name), content)
        with suppress(BadInput):
            load_summary(folder)
            arguments = [str(folder), str(folder), "--json"]
            with redirect_stdout(io.StringIO()):
                compare_command.main(arguments, standalone_mode=False)
        run, summary = load_run(folder)
        write_report(run, summary, folder / "report.html")
        print_verdict(Console(file=io.StringIO()), summary, list(run.records))


def use_feed(data: bytes) -> None:
    """A file of telemetry: JSON lines, where it begins as such, or CSV."""
    name = "feed.jsonl" if data.lstrip()[:1] == b"{" else "feed.csv"
    with _folder() as folder:
        feed = OfFile(_file(folder, name, data), lambda _: FEED_AT_S * NS_PER_S)
        try:
            found = feed.frames(0, 60 * NS_PER_S, 4)
        except NoReading as reason:
            raise BadInput(name, "", "a frame", str(reason)) from None
    assert 1 <= len(found) <= 4
    assert all(later.at_ns > one.at_ns for later, one in itertools.pairwise(found))
    shown = [*(one.text() for one in found), history_text(found)]
    assert all(line.isprintable() for text in shown for line in text.split("\n"))


def use_trace(data: bytes) -> None:
    """A measured link: frames leave in their order, and arrive after that; and one is fitted."""
    with _folder() as folder:
        trace = read_trace(str(_file(folder, "trace.csv", data)))
    assert trace.starts_ns[0] == 0 < trace.length_ns
    for repeat, linear in itertools.product((True, False), repeat=2):
        if trace.rates_bps:
            rate = TraceRate(trace, repeat=repeat, linear=linear)
            ends = [0]
            for size in (1, 1400, 65_000):
                ends.append(rate.end_ns(min(ends[-1], 10**15), size))
            assert ends == sorted(ends)
            assert all(rate.at(at_ns) >= 1 for at_ns in (0, trace.length_ns, 10**15))
        if trace.delays_ns:
            delay = TraceDelay(trace, repeat=repeat, linear=linear)
            assert all(delay.at(at_ns) >= 0 for at_ns in (0, trace.length_ns, 10**15))
    if trace.length_ns < 10**12:
        assert all(0 <= one.ks <= 1 for one in fitted(trace, 15.0).compared)


FEED_AT_S = 1_800_000_000
FILE_TARGETS: dict[str, Callable[[bytes], None]] = {
    "scenario": use_scenario,
    "questions": use_questions,
    "tle": use_tle,
    "keys": use_keys,
    "profile": use_profile,
    "folder": use_folder,
    "feed": use_feed,
    "trace": use_trace,
}


@cache
def file_seeds(name: str) -> tuple[bytes, ...]:
    """Good files of a target."""
    match name:
        case "scenario":
            texts = [FULL, ORBIT, f"{LINK}{ASK}questions = ['a']\n"]
        case "questions":
            texts = ["Status?\n2 + 2?\n", '{"text": "Status?"}\n{"text": "b", "expected": "é"}\n']
        case "tle":
            texts = list(TLES)
        case "feed":
            rows = "".join(f"{FEED_AT_S - 60 * n},SUN,24.{n},x\n" for n in range(3, -1, -1))
            line = f'{{"time": {FEED_AT_S}, "light": "ECLIPSE", "A [V]": 1.5, "EPS.SOC": "50"}}\n'
            texts = [f"time,light,EPS.VBAT,MODE\n{rows}", line]
        case "trace":
            rows = "".join(f"{n},{n % 3}e6,4{n % 7},0.{n % 4}\n" for n in range(9))
            texts = [f"# of ours\nt_s,rate_bps,rtt_ms,loss\n{rows}", "1\n2\n2\n7\n30\n"]
        case "keys":
            texts = [_key_file()]
        case "profile":
            texts = [path.read_text() for path in sorted(PROFILES.glob("*.toml"))]
            texts = ["\n".join(line.split("  #")[0] for line in t.split("\n")) for t in texts]
        case _:
            return (_run_folder(),)
    return tuple(text.encode() for text in texts)


@cache
def _key_file() -> str:
    with _folder() as folder:
        write_keys(folder / "k.toml", new_keys(random.Random(7).randbytes))
        return (folder / "k.toml").read_text()


def _secrets() -> list[str]:
    return [part for part in _key_file().split('"') if len(part) == 64]


def _run_folder() -> bytes:
    with _folder() as folder:
        scenario = load_scenario(_file(folder, "scenario.toml", FULL.encode()))
        run = run_a_little(scenario, load_profile(scenario.node.profile), 10**6)
        write_results(run, folder)
        files = [(folder / n).read_bytes() for n in ("summary.json", "loops.jsonl")]
        return BETWEEN.join([*files, to_toml(scenario).encode()])


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="groundloop-fuzz-") as name:
        yield Path(name)


def _file(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path
