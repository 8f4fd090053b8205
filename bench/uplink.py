"""What an upload takes, and what it takes from the questions; all in virtual time.

`python -m bench uplink` gives the rows, `python -m bench.uplink` the table of docs/uplink.md: some
ten minutes.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from unittest import mock

from bench.row import Row
from ground.bulk import sender
from ground.results.record import LoopRecord
from node.service_time import load_profile
from roundtrip.command import SHIPPED
from roundtrip.config import Direction
from roundtrip.passes import contacts_of
from roundtrip.rng import substream
from roundtrip.scenario import Scenario
from roundtrip.scenario_file import load_scenario
from roundtrip.units import NS_PER_S
from roundtrip.upload_config import UploadConfig
from testbed.chaos.faults import Faults, Kill
from testbed.chaos.world import ChaosWorld
from testbed.world import World

QWEN3_BYTES = 397_000_000
LORA_BYTES = 2_000_000
LOSSES = (0.0, 0.01, 0.05, 0.1)
SEEDS = 200
KILLS = 50
ALONE_BYTES = 20_000_000
RATES = (9_600, 64_000, 256_000, 2_000_000)
STATIONS = {
    "Svalbard": ("Svalbard",),
    "Svalbard, Punta Arenas, Hawaii": ("Svalbard", "Punta Arenas", "Hawaii"),
}
PLACES = {"Svalbard": (78.23, 15.39), "Punta Arenas": (-53.05, -70.85), "Hawaii": (19.01, -155.66)}
A_DAY = 20
"""Questions."""


def rows() -> list[Row]:
    """Goodput, repeats, passes, and the loops of questions meanwhile."""
    found = [_goodput(loss) for loss in LOSSES]
    found.append(_goodput(0.1, one_way_ms=300))
    found += [_seldom_answered(loss) for loss in (0.3, 0.5, 0.8)]
    found += [_seldom_heard(coded=coded) for coded in (False, True)]
    found += _killed()
    found += _many_seeds()
    found += [_loops(*link) for link in ((9_600, 256), (64_000, 1_115), (256_000, 1_115))]
    found += [_passes(), _adapter()]
    return found


def _pass(**upload: int) -> Scenario:
    """Leo-pass without an end, and an upload."""
    loaded = load_scenario(SHIPPED / "leo-pass.toml")
    node = loaded.node.model_copy(update={"profile": "rpi5-8gb"})
    config = UploadConfig(activate=False, **upload)
    return loaded.model_copy(update={"contact": (), "node": node, "upload": config})


def _linked(scenario: Scenario, **up: float) -> Scenario:
    """With another uplink; loss and light time are of both ways."""
    link = scenario.link
    both = {name: up[name] for name in ("loss", "one_way_delay_ms") if name in up}
    ways: dict[str, Direction] = {
        "uplink": link.uplink.model_copy(update=up),
        "downlink": link.downlink.model_copy(update=both),
    }
    return scenario.model_copy(update={"link": link.model_copy(update=ways)})


def _asked(scenario: Scenario, **workload: float) -> Scenario:
    changed = scenario.workload.model_copy(update=workload)
    return scenario.model_copy(update={"workload": changed})


def _run(scenario: Scenario) -> tuple[World, list[LoopRecord]]:
    world = World(scenario, scenario.seed, load_profile(scenario.node.profile))
    return world, list(world.run().records)


def _whole_ns(world: World) -> int:
    assert world.upload is not None
    return next(at_ns for at_ns, have in world.upload.told if have.state == "whole")


def _goodput(loss: float, one_way_ms: float = 6.06) -> Row:
    """Of an upload without questions."""
    rate_bps = 2_000_000
    scenario = _asked(_pass(size_bytes=ALONE_BYTES), count=1)
    uplink = {"rate_bps": rate_bps, "mtu_bytes": 1400, "loss": loss, "one_way_delay_ms": one_way_ms}
    world, _ = _run(_linked(scenario, **uplink))
    share = 8 * ALONE_BYTES / (_whole_ns(world) / NS_PER_S) / (rate_bps * (1 - loss))
    note = f"{ALONE_BYTES / 1e6:g} MB at {rate_bps / 1e6:g} Mbit/s"
    name = f"upload: goodput / what the link lets through, loss {loss:g}, {one_way_ms:g} ms"
    return Row(name, share, "", 0.95, True, note)


def _seldom_answered(loss: float) -> Row:
    """Much of what the node says is lost."""
    rate_bps = 2_000_000
    scenario = _asked(_pass(size_bytes=ALONE_BYTES), count=1)
    scenario = _linked(scenario, rate_bps=rate_bps, mtu_bytes=1400, loss=0.01)
    link = scenario.link
    down = link.downlink.model_copy(update={"loss": loss})
    scenario = scenario.model_copy(update={"link": link.model_copy(update={"downlink": down})})
    world, _ = _run(scenario)
    share = 8 * ALONE_BYTES / (_whole_ns(world) / NS_PER_S) / (rate_bps * 0.99)
    return Row(f"upload: goodput, downlink loses {loss:g}", share, "", 0, True, "1 % of the uplink")


def _seldom_heard(*, coded: bool) -> Row:
    """The node is heard for 20 s of each 100 s."""
    rate_bps, size = 2_000_000, 60_000_000
    scenario = _asked(_pass(size_bytes=size), count=1)
    table = scenario.model_dump(exclude_unset=True)
    table["outage"] = [
        {"start_s": at + 20, "end_s": at + 100, "kind": "cued", "direction": "downlink"}
        for at in range(0, 3000, 100)
    ]
    scenario = _linked(Scenario.model_validate(table), rate_bps=rate_bps, mtu_bytes=1400, loss=0.01)
    with mock.patch.object(sender, "available", return_value=coded):
        world, _ = _run(scenario)
    share = 8 * size / (_whole_ns(world) / NS_PER_S) / (rate_bps * 0.99)
    how = "erasure code" if coded else "retransmission only"
    note = f"60 MB in {_whole_ns(world) / NS_PER_S:,.0f} s"
    return Row(f"upload: goodput, heard 20 s of 100 s, {how}", share, "", 0, True, note)


def _killed() -> list[Row]:
    """Over five passes, with kills of either end at random."""
    scenario = _pass(size_bytes=10_000_000)
    passes = [{"start_s": 600 * at, "end_s": 600 * at + 462} for at in range(7)]
    table = scenario.model_dump(exclude_unset=True) | {"contact": passes}
    scenario = _linked(Scenario.model_validate(table), rate_bps=64_000, mtu_bytes=1_115)
    scenario = _asked(scenario, count=200, rate_per_min=4)
    rng = substream(1, "uplink kills")
    kills = {
        name: tuple(
            Kill(1 + int(rng.expovariate(1 / mean)), rng.randrange(NS_PER_S // 10, 9 * NS_PER_S))
            for _ in range(KILLS // 2)
        )
        for name, mean in (("ground", 220), ("node", 110))
    }
    faults = Faults(kills | {"link": ()}, (), False, False)
    world = ChaosWorld(scenario, 1, load_profile("rpi5-8gb"), faults)
    world.run()
    assert world.upload is not None
    done = world.done["ground killed"] + world.done["node killed"]
    again = world.upload.again
    note = f"{done} kills of ground and node; whole after {_whole_ns(world) / NS_PER_S:,.0f} s"
    return [
        Row(
            "upload: pieces sent that were on disk, kills over 5 passes", again, "", 0, False, note
        ),
        Row("upload: kills of either end over 5 passes", done, "", KILLS, True),
    ]


def _many_seeds() -> list[Row]:
    """Whatever dies, of many seeds."""
    scenario = _linked(_pass(size_bytes=3_000_000), rate_bps=256_000, mtu_bytes=1_115, loss=0.05)
    scenario = _asked(scenario, count=10, rate_per_min=5)
    profile = load_profile("rpi5-8gb")
    whole = again = kills = 0
    for seed in range(SEEDS):
        world = ChaosWorld(scenario, seed, profile)
        world.run()
        assert world.upload is not None
        whole += any(have.state == "whole" for _, have in world.upload.told)
        again += world.upload.again
        kills += sum(number for what, number in world.done.items() if "killed" in what)
    note = f"{kills} kills, {SEEDS} seeds; SHA-256 is checked on board"
    return [
        Row("upload: came whole whatever died", whole / SEEDS, "", 1.0, True, note),
        Row("upload: pieces sent that were on disk, all seeds", again, "", 0, False, note),
    ]


def _loops(rate_bps: int, mtu_bytes: int) -> Row:
    """Questions one after the other, with an upload below all of them and without."""
    took: list[list[float]] = []
    for size in (0, round(100 * 60 * rate_bps / 8 * 0.9)):
        scenario = _linked(_pass(size_bytes=max(1, size)), rate_bps=rate_bps, mtu_bytes=mtu_bytes)
        scenario = _asked(scenario, count=200, rate_per_min=2)
        if not size:
            scenario = scenario.model_copy(update={"upload": None})
        _, records = _run(scenario)
        took.append(sorted(record.loop_ns or 0 for record in records))
    without, during = ([loops[len(loops) * q // 100] for q in (50, 99)] for loops in took)
    note = (
        f"p99 {during[1] / NS_PER_S:.3g} s during, {without[1] / NS_PER_S:.3g} s without; "
        f"p50 {during[0] / without[0]:.3f}"
    )
    name = f"upload: p99 of loops during / without, {rate_bps / 1000:g} kbit/s"
    return Row(name, during[1] / without[1], "", 1.05, False, note)


def _passes() -> Row:
    """The shipped scenario."""
    scenario = load_scenario(SHIPPED / "upload.toml")
    world, _ = _run(scenario)
    there_ns = _whole_ns(world)
    passes = sum(start < there_ns for start, _ in scenario.plan().uplink.spans)
    note = f"397 MB at 160 kbit/s over Svalbard, {there_ns / NS_PER_S / 86_400:.1f} days"
    return Row("upload: passes of the scenario upload", passes, "", 43, False, note)


def _adapter() -> Row:
    """As large as a LoRA adapter, at 64 kbit/s."""
    scenario = _linked(_pass(size_bytes=LORA_BYTES), rate_bps=64_000, mtu_bytes=1_115)
    world, _ = _run(_asked(scenario, count=1))
    took_s = _whole_ns(world) / NS_PER_S
    return Row("upload: 2 MB at 64 kbit/s", took_s, "s", 462, False, "a pass takes 462 s")


# -- the table of docs/uplink.md -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Line:
    stations: str
    rate_bps: int
    passes: int
    days: float
    share: float
    joules: float
    loops_s: tuple[float, float]
    answered: int
    asked: int


def _line(name: str, rate_bps: int) -> _Line:
    loaded = load_scenario(SHIPPED / "upload.toml")
    a_day_s = 5_500 * (1 if len(STATIONS[name]) == 1 else 1.6)
    days = max(1.0, 1.2 * 8 * QWEN3_BYTES / rate_bps / a_day_s)
    assert loaded.orbit is not None
    table = loaded.model_dump(exclude_unset=True)
    table["orbit"]["hours"] = 24 * (2 + 1.6 * days)
    table["station"] = [
        {"name": one, "lat_deg": lat, "lon_deg": lon, "min_elevation_deg": 5}
        for one in STATIONS[name]
        for lat, lon in (PLACES[one],)
    ]
    del table["contact"]
    there = Scenario.model_validate(table)
    there = there.model_copy(update={"contact": contacts_of(there, name)})
    linked = _linked(
        there,
        rate_bps=rate_bps,
        mtu_bytes=256 if rate_bps < 64_000 else 1_115,
    )
    scenario = _asked(linked, count=max(2, round(A_DAY * days * 0.8)))
    world, records = _run(scenario)
    there_ns = _whole_ns(world)
    spans = scenario.plan().uplink.spans
    contact_ns = sum(max(0, min(end, there_ns) - start) for start, end in spans)
    power = load_profile(scenario.node.profile).power
    assert power is not None
    took = sorted(record.loop_ns / NS_PER_S for record in records if record.loop_ns)
    return _Line(
        name,
        rate_bps,
        sum(start < there_ns for start, _ in spans),
        there_ns / NS_PER_S / 86_400,
        8 * QWEN3_BYTES / (contact_ns / NS_PER_S) / (rate_bps * 0.99),
        power.radio_rx_w * contact_ns / NS_PER_S,
        (took[len(took) // 2], took[len(took) * 9 // 10]),
        len(took),
        len(records),
    )


def _printed(lines: Iterable[_Line]) -> None:
    print("| stations | up | passes | days | share of what the contacts let through | ", end="")
    print("receiver on, kJ | loops, p50 | p90 | answered |\n|---|---|---|---|---|---|---|---|---|")
    for line in lines:
        rate = f"{line.rate_bps / 1000:g} kbit/s"
        print(
            f"| {line.stations} | {rate} | {line.passes:,} | {line.days:.1f} | {line.share:.3f} "
            f"| {line.joules / 1000:,.0f} | {line.loops_s[0] / 60:,.0f} min "
            f"| {line.loops_s[1] / 60:,.0f} min | {line.answered} of {line.asked} |",
            flush=True,
        )


def main() -> int:
    """Print the table."""
    begin = time.monotonic()
    _printed(_line(name, rate_bps) for name in STATIONS for rate_bps in reversed(RATES))
    print(f"in {time.monotonic() - begin:.0f} s", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
