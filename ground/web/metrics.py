"""`/metrics`, for Prometheus: loops, phases, outcomes, link, node, the next pass."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import Route

from ground.desk import Desk
from ground.results.record import LoopRecord
from roundtrip.budget import Outcome
from roundtrip.units import ns_to_s

BUCKETS_S = (
    0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 30, 45, 60, 90, 120, 150, 180, 300, 600, 1_800, 7_200, 43_200,
)  # fmt: skip
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """The figures of one station since it was started.

    Args:
        desk: tells them.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._registry = CollectorRegistry()
        self._loops = Histogram(
            "groundloop_loop_seconds",
            "From when a question was asked to when its answer was there.",
            buckets=BUCKETS_S,
            registry=self._registry,
        )
        self._phases = Histogram(
            "groundloop_phase_seconds",
            "Of an answered loop, by phase.",
            ["phase"],
            buckets=BUCKETS_S,
            registry=self._registry,
        )
        self._outcomes = Counter(
            "groundloop_questions_total",
            "Questions that have their outcome.",
            ["outcome"],
            registry=self._registry,
        )
        self._tokens = Counter(
            "groundloop_tokens_total", "Of answers.", ["type"], registry=self._registry
        )
        for outcome in Outcome:
            self._outcomes.labels(outcome.value)
        self._registry.register(self)
        desk.watchers.append(self._settled)

    def routes(self) -> list[Route]:
        """Of the application."""
        return [Route("/metrics", self._show)]

    async def _show(self, _: HttpRequest) -> Response:
        return Response(generate_latest(self._registry), media_type=CONTENT_TYPE)

    def _settled(self, record: LoopRecord) -> None:
        self._outcomes.labels(record.outcome.value).inc()
        if not record.answered or record.loop_ns is None:
            return
        self._loops.observe(ns_to_s(record.loop_ns))
        for phase, spent_ns in record.phases_ns.items():
            self._phases.labels(phase).observe(ns_to_s(spent_ns))
        self._tokens.labels("input").inc(record.prompt_tokens)
        self._tokens.labels("output").inc(record.output_tokens)

    def collect(self) -> Iterator[Metric]:
        """What is so now."""
        status = self._desk.status()
        yield _gauge("groundloop_budget_seconds", "Of a loop.", status["budget_s"])
        yield _gauge("groundloop_open_questions", "Without an outcome.", len(status["open"]))
        link, node, now_s = status["link"], status["node"], status["clock_s"]
        carrier = GaugeMetricFamily(
            "groundloop_carrier_up", "Whether there is a carrier.", labels=["direction"]
        )
        carrier.add_metric(["up"], float(bool(link and link["tx_up"])))
        carrier.add_metric(["down"], float(bool(link and link["rx_up"])))
        yield carrier
        coming = [span for span in status["contacts"] if now_s is not None and span[1] > now_s]
        if now_s is not None and coming:
            wait_s = max(0.0, coming[0][0] - now_s)
            yield _gauge("groundloop_next_contact_seconds", "Until AOS; 0 in contact.", wait_s)
        for name, key, what in (
            ("groundloop_node_charge_ratio", "charge", "Of the node's battery."),
            ("groundloop_node_temperature_celsius", "temperature_c", "Of the node's processor."),
            ("groundloop_node_power_watts", "power_w", "That the node's board draws."),
            ("groundloop_node_memory_bytes", "rss_bytes", "Resident, of the node."),
            ("groundloop_node_engine_restarts", "engine_restarts", "Since the node started."),
            ("groundloop_node_mended_tensors", "mended", "Damaged weights that were read again."),
        ):
            if node is not None and node[key] is not None:
                yield _gauge(name, what, node[key])


def _gauge(name: str, what: str, value: float) -> Metric:
    gauge = GaugeMetricFamily(name, what)
    gauge.add_metric([], value)
    return gauge
