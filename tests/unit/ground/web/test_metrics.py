"""What Prometheus reads, and what the shipped dashboard and alerts ask of it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from ground.desk import Desk
from ground.outputs import NodeHealth, Settled
from ground.web.metrics import Metrics
from roundtrip.contacts import Windows
from roundtrip.message import Health, Vitals
from roundtrip.units import NS_PER_S
from tests.unit.ground.web.test_server import Actor, request, served

OBSERVABILITY = Path(__file__).parents[4] / "docs" / "observability"
FULL = Vitals(70_000_000, temperature_mc=45_500, power_mw=3_200, charge_permille=870)


@pytest.fixture
def samples(answered, expired):
    """What a station says with two loops behind it, by name and labels."""
    desk = Desk(Windows([(10 * NS_PER_S, 20 * NS_PER_S)]))
    desk.stands(Actor())  # its clock says 3 s
    metrics = Metrics(desk)
    desk.output(NodeHealth(Health("tiny", "Q8_0", 512, 1, 2, FULL)))
    desk.output(Settled(answered(scale=5_000)))  # 180 s
    desk.output(Settled(expired()))
    from prometheus_client import generate_latest

    text = generate_latest(metrics._registry).decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_loops_and_outcomes_are_counted(samples) -> None:
    assert samples["groundloop_loop_seconds_count", ()] == 1
    assert samples["groundloop_loop_seconds_sum", ()] == pytest.approx(180)
    assert samples["groundloop_loop_seconds_bucket", (("le", "120.0"),)] == 0
    assert samples["groundloop_loop_seconds_bucket", (("le", "180.0"),)] == 1
    assert samples["groundloop_questions_total", (("outcome", "on_time"),)] == 1
    assert samples["groundloop_questions_total", (("outcome", "expired"),)] == 1
    assert samples["groundloop_questions_total", (("outcome", "late"),)] == 0
    assert samples["groundloop_phase_seconds_sum", (("phase", "prefill"),)] == pytest.approx(25)
    assert samples["groundloop_tokens_total", (("type", "output"),)] == 6


def test_link_and_node_are_as_they_are_now(samples) -> None:
    assert samples["groundloop_next_contact_seconds", ()] == 7
    assert samples["groundloop_carrier_up", (("direction", "up"),)] == 0
    assert samples["groundloop_node_charge_ratio", ()] == 0.87
    assert samples["groundloop_node_temperature_celsius", ()] == 45.5
    assert samples["groundloop_node_power_watts", ()] == 3.2
    assert samples["groundloop_node_memory_bytes", ()] == 70_000_000
    assert samples["groundloop_node_engine_restarts", ()] == 2
    assert samples["groundloop_budget_seconds", ()] == 120


def asked_for() -> dict[str, str]:
    """Each name in the shipped files, with where it stands."""
    rules = yaml.safe_load((OBSERVABILITY / "alerts.yml").read_text())
    found = [(rule["expr"], rule["alert"]) for g in rules["groups"] for rule in g["rules"]]
    board = json.loads((OBSERVABILITY / "grafana.json").read_text())
    found += [(t["expr"], p["title"]) for p in board["panels"] for t in p["targets"]]
    return {name: where for text, where in found for name in re.findall(r"groundloop_\w+", text)}


def test_dashboard_and_alerts_ask_for_what_there_is(samples) -> None:
    there = {name for name, _ in samples}
    wanted = asked_for()
    assert len(wanted) > 10
    assert {name: where for name, where in wanted.items() if name not in there} == {}


def test_it_is_served() -> None:
    def check(port: int) -> None:
        status, _ = request(port, "GET", "/metrics")
        assert status == 200

    served(check)
