"""An upload below questions, while everything dies: it comes whole, and nothing twice."""

from __future__ import annotations

from typing import Any

import pytest

from ground.results.summary import summarise
from node.service_time import load_profile
from roundtrip.scenario import Scenario
from testbed.chaos.world import ChaosWorld
from testbed.world import World

PROFILE = load_profile("rpi5-8gb")


def scenario(size: int, *, loss: float = 0.05, count: int = 10, **upload: Any) -> Scenario:
    link = {"one_way_delay_ms": 6, "loss": loss, "mtu_bytes": 1400}
    return Scenario.model_validate(
        {
            "link": {
                "uplink": link | {"rate_bps": 256_000},
                "downlink": link | {"rate_bps": 1_000_000},
            },
            "contact": [{"start_s": 0, "end_s": 60}, {"start_s": 90, "end_s": 5_000}],
            "workload": {
                "questions": ["Is it well?"],
                "system": "You watch.",
                "rate_per_min": 5,
                "count": count,
                "max_tokens": 40,
            },
            "upload": {"size_bytes": size} | upload,
        }
    )


def states(world: World) -> list[str]:
    assert world.upload is not None
    return [have.state for _, have in world.upload.told]


def test_it_comes_whole_and_flies_once_it_was_confirmed() -> None:
    world = World(scenario(1_000_000), 1, PROFILE)
    run = world.run()
    assert states(world) == ["taking", "taking", "whole", "trying", "trial", "active"]
    assert world.upload is not None
    assert (world.upload.vault.flying, world.upload.again) == ({"model": "a"}, 0)
    assert all(record.answered for record in run.records)


def test_pieces_leave_room_for_questions_however_few_may_be_open() -> None:
    asked = scenario(1_000_000)
    few = asked.workload.model_copy(update={"max_outstanding": 1})
    world = World(asked.model_copy(update={"workload": few}), 1, PROFILE)
    run = world.run()
    assert {record.outcome.value for record in run.records} == {"on_time"}
    assert "active" in states(world)


@pytest.mark.parametrize("seed", [*range(12), 16, 197])
def test_whatever_dies_it_comes_whole_and_nothing_goes_up_that_is_there(seed: int) -> None:
    world = ChaosWorld(scenario(3_000_000, activate=False), seed, PROFILE)
    world.run()
    assert "whole" in states(world)
    assert world.upload is not None
    assert world.upload.again == 0


@pytest.mark.parametrize("coded", [True, False])
def test_where_the_node_is_seldom_heard_symbols_go_on(monkeypatch, coded: bool) -> None:
    """It is heard for ten seconds of each hundred."""
    if coded:
        pytest.importorskip("raptorq")
    else:
        monkeypatch.setattr("ground.bulk.sender.available", lambda: False)
    asked = scenario(4_000_000, count=1, activate=False).model_dump(exclude_unset=True)
    asked["contact"] = [{"start_s": 0, "end_s": 5_000}]
    asked["outage"] = [
        {"start_s": at + 10, "end_s": at + 100, "kind": "cued", "direction": "downlink"}
        for at in range(0, 3000, 100)
    ]
    world = World(Scenario.model_validate(asked), 1, PROFILE)
    world.run()
    assert world.upload is not None
    whole_ns = next(at for at, have in world.upload.told if have.state == "whole")
    assert (whole_ns < 300 * 10**9) == coded, f"{whole_ns / 1e9:.0f} s"
    assert (whole_ns > 500 * 10**9) != coded


def test_frames_of_the_upload_are_told_apart() -> None:
    world = World(scenario(1_000_000), 1, PROFILE)
    summary = summarise(world.run())
    bulk = summary["link"]["uplink"]["bulk"]
    assert "bulk" not in summary["link"]["downlink"]
    frames = [fate for fate in world.out.fates if fate.bulk]
    assert {fate.direction for fate in frames} == {"uplink"}
    assert bulk["frames"] == len(frames) > 700
    assert bulk["bytes"] == sum(fate.size_bytes for fate in frames) > 1_000_000
    assert bulk["air_s"] == pytest.approx(8 * bulk["bytes"] / 256_000, rel=0.02)
    held = bulk["held_up"]
    assert 0 < held["most_s"] <= 2 * 1400 * 8 / 256_000
    assert held["most_s"] <= held["s"] <= held["frames"] * held["most_s"]
