"""What groundloop itself adds to a loop on a clean link, live on one machine.

Overhead = loop - light time both ways - serialisation of its data frames - inference.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from rich.console import Console

from bench.row import Row
from ground.results.histogram import quantiles_ms
from ground.results.record import LoopRecord
from ground.results.split import data_session, split_by_log
from models.resolve import resolve
from roundtrip.framelog import FrameFate, read_log
from roundtrip.scenario_file import load_scenario, to_toml
from roundtrip.units import ms_to_ns
from testbed.live import run_live

SCENARIO = Path(__file__).parent / "clean.toml"


def rows() -> list[Row]:
    """p50 and p99 of the overhead."""
    scenario = load_scenario(SCENARIO)
    node = scenario.node.model_copy(update={"model": str(resolve(scenario.node.model))})
    scenario = scenario.model_copy(update={"node": node})
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "scenario.toml").write_text(to_toml(scenario))
        console = Console(quiet=True)
        asked = asyncio.run(run_live(scenario, scenario.seed, folder, console, asyncio.Event()))
        fates = list(read_log(folder / "frames.jsonl"))
    records = split_by_log(asked.records, fates)
    light_ns = ms_to_ns(
        scenario.link.uplink.one_way_delay_ms + scenario.link.downlink.one_way_delay_ms
    )
    overheads = [_overhead_ns(record, fates, light_ns) for record in records[5:]]
    found = quantiles_ms(overheads)
    assert found["p50"] is not None
    assert found["p99"] is not None
    return [
        Row("loop overhead on a clean link, p50", found["p50"], "ms", 10, at_least=False),
        Row("loop overhead on a clean link, p99", found["p99"], "ms", 50, at_least=False),
    ]


def _overhead_ns(record: LoopRecord, fates: list[FrameFate], light_ns: int) -> int:
    sessions = {*record.uplink_sessions, record.downlink_session}
    air_ns = sum(
        fate.tx_end_ns - fate.tx_start_ns
        for fate in fates
        if data_session(fate.head) in sessions
        and fate.tx_end_ns is not None
        and fate.tx_start_ns is not None
    )
    phases = record.phases_ns
    assert record.loop_ns is not None
    return record.loop_ns - light_ns - air_ns - phases["prefill"] - phases["decode"]
