"""Far more questions than a node can answer, for long: refusals, and no growth."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from node.outputs import StoreAnswer, StoreQuestion, StoreSettled
from node.service_time import load_profile
from node.store import NodeStore
from roundtrip.modem import Side
from roundtrip.scenario_file import check_scenario
from testbed.world import World

KEPT, EVERY, SETTLED, QUEUE, OUTSTANDING = 300, 50, 100, 8, 64
MONTH_S = 30 * 86_400


def test_a_month_of_flood_ends_in_refusals_and_not_in_growth(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In bursts over a month, a hundred times as fast as the node answers."""
    monkeypatch.setattr("node.store.KEPT", KEPT)
    monkeypatch.setattr("node.store.DROPPED_EVERY", EVERY)
    monkeypatch.setattr("node.radio.KEPT_SETTLED", SETTLED)
    bursts, each = 30, 80
    flood = check_scenario(
        {
            "link": {
                "uplink": {"rate_bps": 10_000_000, "one_way_delay_ms": 5},
                "downlink": {"rate_bps": 10_000_000, "one_way_delay_ms": 5},
            },
            "contact": [
                {"start_s": day * MONTH_S / bursts, "end_s": day * MONTH_S / bursts + 600}
                for day in range(bursts)
            ],
            "workload": {
                "questions": ["What is the state of the battery?"],
                "count": bursts * each,
                "rate_per_min": bursts * each / MONTH_S * 60,
                "max_outstanding": OUTSTANDING,
                "max_tokens": 64,
            },
            "budget": {"loop_s": 86_400, "expire_s": 2 * 86_400},
            "node": {"queue": QUEUE, "sequences": 1, "policy": "fifo", "profile": "rpi4-4gb"},
        },
        "flood",
    )
    world = World(flood, 1, load_profile("rpi4-4gb"))
    most: Counter[str] = Counter()
    with closing(NodeStore(tmp_path / "node.sqlite")) as store:
        write = world.disks[Side.NODE].write

        def kept(output: object, done: object) -> None:
            if isinstance(output, StoreQuestion | StoreAnswer | StoreSettled):
                store.apply(output)
            most["rows"] = max(most["rows"], len(store.seen()))
            entries = world.node.machine._entries
            most["entries"] = max(most["entries"], len(entries))
            most["waiting"] = max(most["waiting"], len(world.node.machine._jobs._scheduler))
            write(output, done)

        monkeypatch.setattr(world.disks[Side.NODE], "write", kept)
        records = world.run().records
    outcomes = Counter(f"{record.outcome.value} {record.reason}".strip() for record in records)
    assert len(records) == bursts * each
    assert outcomes["refused queue_full"] > 0.5 * len(records)
    assert outcomes["on_time"] > QUEUE * bursts * 0.5
    assert most["waiting"] <= QUEUE
    assert most["rows"] <= KEPT + EVERY
    assert most["entries"] <= SETTLED + QUEUE + OUTSTANDING + 1
