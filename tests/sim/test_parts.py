"""Long answers over a slow link, in parts."""

from __future__ import annotations

from typing import Any

from ground.results.summary import Run
from node.service_time import Profile
from roundtrip.budget import Outcome
from roundtrip.framelog import Fate
from roundtrip.scenario import Scenario
from roundtrip.scenario_file import check_scenario
from testbed.world import World

PROFILE = Profile(
    model="slow",
    quantization="",
    measured_on="a choice: eight tokens a second",
    threads=1,
    prefill_tok_s=60,
    decode_tok_s=8,
)


def scenario(part_s: float, **changes: Any) -> Scenario:
    direction = {"rate_bps": 9600, "one_way_delay_ms": 5, "mtu_bytes": 256, "queue_bytes": 4096}
    return check_scenario(
        {
            "link": {"uplink": direction, "downlink": direction},
            "contact": [{"start_s": 0, "end_s": 200}],
            "workload": {"questions": ["?"], "count": 1, "max_tokens": 500},
            "node": {"part_s": part_s},
            "budget": {"loop_s": 120, "expire_s": 130},
        }
        | changes,
        "test",
    )


def simulate(what: Scenario, seed: int) -> Run:
    return World(what, seed, PROFILE).run()


def down_bytes(run: Run) -> int:
    return sum(f.size_bytes for f in run.fates if f.direction == "downlink")


def test_a_long_answer_comes_sooner_in_parts_and_is_the_same() -> None:
    whole, parts = (simulate(scenario(part_s), 1) for part_s in (0, 1))
    (by_whole,), (by_parts,) = whole.records, parts.records
    assert by_parts.answer == by_whole.answer
    assert by_parts.outcome is by_whole.outcome is Outcome.ON_TIME
    assert by_parts.loop_ns < by_whole.loop_ns
    more_bits = (down_bytes(parts) - down_bytes(whole)) * 8
    assert 0 < more_bits < 0.05 * 9600 * (by_parts.loop_ns / 1e9)


def test_when_the_link_fails_the_ground_has_what_was_there() -> None:
    """A silent outage that no plan foresaw, for good."""
    outage = {"start_s": 20, "end_s": 200, "kind": "silent", "direction": "both"}
    for part_s in (0, 1):
        run = simulate(scenario(part_s, outage=[outage]), 1)
        (record,) = run.records
        assert record.outcome is Outcome.EXPIRED
        assert bool(record.answer) is bool(part_s)
    lost = [f for f in run.fates if f.direction == "downlink" and f.fate is not Fate.DELIVERED]
    assert lost, "it was still writing"


def test_lost_frames_change_nothing_of_the_text() -> None:
    direction = {"rate_bps": 9600, "one_way_delay_ms": 5, "mtu_bytes": 256, "queue_bytes": 4096}
    lossy = {"uplink": direction | {"loss": 0.2}, "downlink": direction | {"loss": 0.2}}
    clear = simulate(scenario(1), 1).records[0].answer
    for seed in range(1, 20):
        (record,) = simulate(scenario(1, link=lossy), seed).records
        if record.outcome is Outcome.ON_TIME:
            assert record.answer is not None
            assert record.answer.strip(".") == ""
    assert clear
