"""Runs in virtual time that nobody would wait for are refused before they begin."""

from __future__ import annotations

from typing import Any

import pytest

from node.service_time import load_profile
from roundtrip.command import SHIPPED
from roundtrip.errors import BadConfig
from roundtrip.scenario_file import check_scenario, load_scenario
from testbed.effort import MAX_EVENTS, check_effort, events_of

WAY = {"rate_bps": 64_000, "one_way_delay_ms": 20}
YEAR_S = 366 * 86_400


def scenario(**changes: Any) -> Any:
    table: dict[str, Any] = {
        "link": {"uplink": dict(WAY), "downlink": dict(WAY)},
        "workload": {"questions": ["?"], "count": 20},
    }
    for key, value in changes.items():
        section, _, name = key.partition("__")
        for one in ("uplink", "downlink") if section == "link" else ():
            table["link"][one][name] = value
        if section != "link":
            table.setdefault(section, {})
            if name:
                table[section][name] = value
            else:
                table[section] = value
    return check_scenario(table, "it")


DEAD = {"burst": {"p": 1, "r": 1e-9}}
FADED = {"mean_db": 20, "sigma_db": 1, "time_constant_s": 9, "margin_db": 8}
LONG = {"budget__expire_s": YEAR_S, "node__beacon_s": 0}
SILENT = [{"start_s": 0, "end_s": YEAR_S, "kind": "silent"}]


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"workload__count": 1_000_000}, "workload.count"),
        ({"workload__count": 300_000, "workload__system": "x" * 60_000}, "workload.count"),
        ({"budget__expire_s": YEAR_S, "node__beacon_s": 1}, "node.beacon_s"),
        (
            {"workload__count": 100_000, "workload__max_tokens": 4096, "node__part_s": 0.1},
            "node.part_s",
        ),
        ({**LONG, "link__loss": 1}, "budget.expire_s"),
        (
            {**LONG, "link__bit_error_rate": 0.1},
            "budget.exp",
        ),
        ({**LONG, "link__fade": FADED}, "budget.expire_s"),
        (
            {**LONG, "link__burst": DEAD["burst"]},
            "budget.exp",
        ),
        ({**LONG, "outage": SILENT}, "budget.expire_s"),
        (
            {
                **LONG,
                "link__handover": {"every_s": 1, "burst_ms": 1000},
            },
            "budget.expire_s",
        ),
    ],
)
def test_too_much_is_refused_and_what_makes_it_is_named(changes: dict[str, Any], key: str) -> None:
    with pytest.raises(BadConfig, match=r"a virtual run of at most 10 million events") as caught:
        check_effort(scenario(**changes), load_profile("rpi5-8gb"), "it")
    assert caught.value.source == "it"
    assert caught.value.key.startswith(key)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"budget__expire_s": YEAR_S},
        {**LONG, "link__loss": 0.5},
        {"link__loss": 1},
        {"outage": SILENT},
        {"workload__count": 100_000},
        {
            "budget__expire_s": YEAR_S,
            "node__beacon_s": 1,
            "link__loss": 1,
            "contact": [{"start_s": 0, "end_s": 600}],
        },
    ],
)
def test_what_ends_is_not(changes: dict[str, Any]) -> None:
    check_effort(scenario(**changes), load_profile("rpi5-8gb"), "it")


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.toml")), ids=lambda path: path.stem)
def test_shipped_scenarios_are_far_from_it(path: Any) -> None:
    one = load_scenario(path)
    assert sum(events_of(one, load_profile(one.node.profile)).values()) < MAX_EVENTS / 50
