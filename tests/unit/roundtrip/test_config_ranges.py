"""What a setting may be at most and at least, and what it is where it is left out."""

from __future__ import annotations

import math
from typing import Any

import pytest
from pydantic import ValidationError

from dtn.ltp.notices import LEAST_MTU_BYTES
from roundtrip.config import (
    MAX_S,
    BudgetConfig,
    BurstLoss,
    ContactConfig,
    Direction,
    Fade,
    Handover,
    OrbitConfig,
    OutageConfig,
    SatelliteConfig,
    Section,
    StationConfig,
)
from roundtrip.node_config import EnergyConfig, NodeConfig, ThermalConfig
from roundtrip.scenario_file import check_scenario
from roundtrip.workload_config import WorkloadConfig

SHARE = (0, 1)
SECONDS = (0, MAX_S)
SPAN = (1e-3, MAX_S)
HOUR_MS = (0, 3_600_000)
DECIBEL = (0, 300)
WATTS = (0, 1e6)
WAY = {"rate_bps": 9600, "one_way_delay_ms": 5, "queue_bytes": 10**6}
ORBIT = {"start": "2026-06-01"}
CIRCLE = {"name": "s", "altitude_km": 550}
PLACE = {"name": "s", "lat_deg": 0, "lon_deg": 0}
WORKLOAD = {"questions": ["?"], "count": 1}
BATTERY = {"battery_wh": 1, "solar_w": 1}
RANGES: list[tuple[type[Section], dict[str, Any], dict[str, tuple[float, float]]]] = [
    (BurstLoss, {"p": 0.1, "r": 0.5}, {"p": SHARE, "loss_good": SHARE, "loss_bad": SHARE}),
    (BurstLoss, {"p": 0.1}, {"r": (1e-9, 1)}),
    (
        Fade,
        {"mean_db": 1, "sigma_db": 1, "time_constant_s": 1, "margin_db": 1},
        {"mean_db": DECIBEL, "sigma_db": DECIBEL, "time_constant_s": SPAN, "margin_db": DECIBEL},
    ),
    (
        Handover,
        {"every_s": 15, "burst_ms": 10},
        {"every_s": SPAN, "offset_s": SECONDS, "burst_ms": HOUR_MS, "loss": SHARE},
    ),
    (
        Direction,
        WAY,
        {
            "rate_bps": (1, 10**12), "one_way_delay_ms": HOUR_MS, "loss": SHARE,
            "bit_error_rate": (0, 0.5), "duplication": SHARE, "jitter_ms": HOUR_MS,
            "queue_bytes": (1, 10**12), "mtu_bytes": (LEAST_MTU_BYTES, 65_000),
        },
    ),
    (ContactConfig, {"start_s": 0}, {"end_s": SPAN}),
    (ContactConfig, {"start_s": 0, "end_s": 9}, {"max_elevation_deg": (-90, 90)}),
    (OutageConfig, {"start_s": 0, "kind": "cued"}, {"end_s": SPAN}),
    (OrbitConfig, ORBIT, {"hours": (0.01, MAX_S / 3600)}),
    (
        SatelliteConfig,
        CIRCLE | {"inclination_deg": 50},
        {
            "altitude_km": (math.nextafter(100, 101), 400_000), "inclination_deg": (0, 180),
            "raan_deg": (-360, 360), "phase_deg": (-360, 360),
        },
    ),
    (
        StationConfig,
        PLACE,
        {
            "lat_deg": (-90, 90), "lon_deg": (-180, 360), "alt_m": (-500, 10_000),
            "min_elevation_deg": (0, math.nextafter(90, 0)),
        },
    ),
    (
        WorkloadConfig,
        WORKLOAD,
        {
            "rate_per_min": (1e-3, 1e6), "start_s": SECONDS, "max_tokens": (1, 32_768),
            "temperature": (0, 10), "top_p": SHARE, "top_k": (0, 1 << 20),
            "think_tokens": (0, 32_768), "max_outstanding": (1, 100_000),
        },
    ),
    (WorkloadConfig, WORKLOAD | {"rate_per_min": 60}, {"count": (1, 1_000_000)}),
    (BudgetConfig, {"expire_s": MAX_S}, {"loop_s": SPAN, "objective": SHARE}),
    (BudgetConfig, {"loop_s": 1e-3}, {"expire_s": SPAN}),
    (
        EnergyConfig,
        BATTERY,
        {
            "battery_wh": (1e-3, 1e9), "floor": SHARE, "start": SHARE, "solar_w": WATTS,
            "bus_w": WATTS, "orbit_min": (1, 1e6),
        },
    ),
    (EnergyConfig, BATTERY | {"orbit_min": 1e6}, {"eclipse_min": (0, 1e6)}),
    (ThermalConfig, {"pause_c": 200}, {"reduce_c": (-100, math.nextafter(200, 0))}),
    (ThermalConfig, {"reduce_c": -100}, {"pause_c": (math.nextafter(-100, 0), 200)}),
    (ThermalConfig, {}, {"margin_c": (0.01, 100)}),
    (
        NodeConfig,
        {},
        {
            "threads": (0, 1024), "memory_mb": (0, 10**9), "cpu_cores": (0, 4096),
            "context": (64, 1_048_576), "queue": (1, 100_000), "sequences": (0, 64),
            "beacon_s": SECONDS, "part_s": SECONDS,
        },
    ),
]  # fmt: skip


def next_to(model: type[Section], field: str, bound: float, towards: float) -> float:
    """The nearest value beyond a bound."""
    if model.model_fields[field].annotation is int:
        return bound + (1 if towards > 0 else -1)
    return math.nextafter(bound, towards)


@pytest.mark.parametrize(
    ("model", "others", "field", "bounds"),
    [
        pytest.param(model, others, field, bounds, id=f"{model.__name__}.{field}")
        for model, others, fields in RANGES
        for field, bounds in fields.items()
    ],
)
def test_a_number_may_reach_its_bounds_and_not_pass_them(
    model: type[Section], others: dict[str, Any], field: str, bounds: tuple[float, float]
) -> None:
    for bound, towards in zip(bounds, (-math.inf, math.inf), strict=True):
        assert getattr(model.model_validate(others | {field: bound}), field) == bound
        with pytest.raises(ValidationError):
            model.model_validate(others | {field: next_to(model, field, bound, towards)})


@pytest.mark.parametrize(
    ("model", "others", "field", "least"),
    [
        (Direction, WAY, "bit_error_rate", 1e-15),
        (NodeConfig, {}, "cpu_cores", 0.01),
        (NodeConfig, {}, "beacon_s", 1),
        (NodeConfig, {}, "part_s", 0.1),
    ],
)
def test_what_0_switches_off_may_not_be_next_to_it(
    model: type[Section], others: dict[str, Any], field: str, least: float
) -> None:
    model.model_validate(others | {field: least})
    for value in (math.nextafter(least, 0), math.nextafter(0, 1)):
        with pytest.raises(ValidationError, match="0, or"):
            model.model_validate(others | {field: value})


def test_a_span_begins_with_the_plan_at_the_soonest_and_lasts_a_millisecond() -> None:
    assert ContactConfig(start_s=5, end_s=5.001).start_s == 5
    for start_s, end_s in ((5, 5.000_99), (5, 4), (-1, 4)):
        with pytest.raises(ValidationError):
            ContactConfig(start_s=start_s, end_s=end_s)


def test_a_last_question_is_asked_within_a_year() -> None:
    """The second of two comes half a minute after the first."""
    workload = {"questions": ["?"], "count": 2, "rate_per_min": 2}
    assert WorkloadConfig(**workload, start_s=MAX_S - 30).start_s == MAX_S - 30
    with pytest.raises(ValidationError, match="put it at 366"):
        WorkloadConfig(**workload, start_s=MAX_S - 29.9)


def test_what_is_left_out_is_as_the_documents_say() -> None:
    burst, handover = {"p": 0.1, "r": 0.5}, {"every_s": 15, "burst_ms": 10}
    way = {"rate_bps": 9600, "one_way_delay_ms": 5}
    table = {
        "link": {"uplink": way, "downlink": way | {"burst": burst, "handover": handover}},
        "workload": {"questions": ["?"], "count": 1},
        "node": {"energy": BATTERY},
    }
    usual = {
        "budget": None, "loss": 0, "burst": None, "bit_error_rate": 0, "frame_check": False,
        "duplication": 0, "jitter_ms": 0, "fade": None, "handover": None, "queue_bytes": 65_536,
        "trace": "", "trace_then": "repeat", "trace_between": "step",
        "mtu_bytes": 1400,
    }  # fmt: skip
    impaired = {
        "burst": burst | {"loss_good": 0, "loss_bad": 1},
        "handover": handover | {"offset_s": 0, "loss": 1},
    }
    assert check_scenario(table, "test").model_dump(mode="json") == {
        "name": "", "description": "", "seed": 1,
        "link": {
            "uplink": usual | way, "downlink": usual | way | impaired, "frame_log": True,
        },
        "orbit": None, "satellite": [], "station": [], "contact": [], "outage": [],
        "workload": {
            "questions": [
                {
                    "text": "?", "expected": None, "rule": "", "priority": "normal", "see": None,
                    "tools": None,
                }
            ],
            "questions_file": None, "system": "", "arrivals": "fixed", "rate_per_min": 6,
            "count": 1, "start_s": 0, "max_tokens": 64, "temperature": 0.7, "top_p": 0.8,
            "top_k": 20, "thinking": "off", "think_tokens": 0, "response_schema": "",
            "max_outstanding": 256, "see": [], "tools": [],
        },
        "budget": {"loop_s": 120, "objective": 0.95, "expire_s": 600},
        "node": {
            "satellite": "", "model": "builtin", "engine": "llama.cpp", "threads": 0,
            "memory_mb": 0, "cpu_cores": 0,
            "context": 2048, "queue": 256, "sequences": 0, "policy": "deadline", "kv": "f16",
            "speculate": True, "draft": "", "lock": False, "adapter": "",
                "system": "", "document": "", "profile": "builtin",
            "beacon_s": 60, "part_s": 1,
            "energy": BATTERY | {
                "floor": 0.3, "start": 1, "bus_w": 0, "orbit_min": 95, "eclipse_min": 0,
            },
            "thermal": {"reduce_c": 76, "pause_c": 84, "margin_c": 5},
            "telemetry": None, "tools": None, "camera": None, "radiation": None,
        },
        "upload": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    "engine", ["llama.cpp", "http://127.0.0.1:11434", "https://host/api/v1", "http://[::1]:80"]
)
def test_an_engine_is_llama_cpp_or_a_server(engine: str) -> None:
    assert NodeConfig(engine=engine).engine == engine


@pytest.mark.parametrize(
    "engine", ["", "llama", "127.0.0.1:80", "ftp://host", "http://", "http://user@it", "http://a b"]
)
def test_any_other_engine_is_refused(engine: str) -> None:
    with pytest.raises(ValidationError, match=r"llama\.cpp, or a server's URL"):
        NodeConfig(engine=engine)
