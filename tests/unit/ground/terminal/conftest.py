from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ground.terminal.view import View
from roundtrip.stages import USUAL, phase_before

STAGE_NAMES = [stage.value for stage in USUAL]
QUESTIONS = (
    "EPS.VBAT=7.1 V\nWhat is EPS.VBAT?",
    "Is the bus within limits?",
    "电池电压是多少？",
    "Summarise the last hour of the reaction wheel.",
)
Event = dict[str, Any]


class Story:
    """Tells a view what a station would."""

    def __init__(self) -> None:
        self.view = View("leo-pass · 127.0.0.1:8080")
        self._number = 0

    def tell(self, kind: str, at_s: float | None, level: str = "info", **fields: Any) -> None:
        self._number += 1
        told = {"event": kind, "number": self._number, "at_s": at_s, "level": level}
        self.view.take(told | fields)

    def asked(self, index: int, at_s: float, text: str, **stages_s: float) -> None:
        """A question that is open, and has come to some stages."""
        known = {
            "id": f"{index:014x}",
            "index": index,
            "text": text,
            "priority": 1,
            "stage": "intended",
            "stages_s": {"intended": at_s},
            "expected_at_s": None,
        }
        self.tell("asked", at_s, **known)
        for stage, after_s in stages_s.items():
            known["stage"], known["expected_at_s"] = stage, at_s + 6
            known["stages_s"] = {**known["stages_s"], stage: at_s + after_s}
            self.tell("stage", at_s + after_s, **known)

    def settled(self, index: int, at_s: float, text: str, spent_s: float, **fields: Any) -> None:
        """A loop whose phases are as long as each other, unless other fields say so."""
        stages = {name: at_s + place * spent_s / 8 for place, name in enumerate(STAGE_NAMES)}
        known: Event = {
            "id": f"{index:014x}",
            "index": index,
            "text": text,
            "outcome": "on_time",
            "reason": "",
            "answer": "EPS.VBAT is 7.1 V, within its limits.",
            "loop_s": spent_s,
            "stages_s": stages,
            "phases_s": {phase_before(stage): spent_s / 8 for stage in USUAL[1:]},
        }
        self.tell("settled", at_s + spent_s, **(known | fields))


@pytest.fixture
def story() -> Story:
    return Story()


@pytest.fixture
def status() -> Callable[..., Event]:
    def make(**changes: Any) -> Event:
        usual: Event = {
            "link": {
                "tx_up": True,
                "rx_up": True,
                "tx_rate_bps": 9_600,
                "rx_rate_bps": 128_000,
                "one_way_ms": 4.21,
            },
            "node": {
                "model": "groundloop telemetry triage",
                "quantization": "Q8_0",
                "context": 1024,
                "threads": 4,
                "engine_restarts": 1,
                "charge": 0.82,
                "temperature_c": 41.3,
                "power_w": 3.2,
                "rss_bytes": 210 << 20,
                "throttled_s": 0.0,
                "mended": None,
            },
            "clock_s": 500.0,
            "contacts": [[0.0, 200.0], [300.0, 780.0], [6000.0, 6500.0]],
            "pass": {
                "max_elevation_deg": 61.0,
                "now": {"azimuth_deg": 123.4, "elevation_deg": 45.2, "range_km": 812.3},
            },
            "budget_s": 120.0,
            "loops": {
                "p50_s": 2.184,
                "p90_s": 13.32,
                "p99_s": 131.0,
                "bars": {"-15": 1, "0": 2, "1": 2, "3": 5, "8": 2, "11": 1, "21": 1},
                "outcomes": {"on_time": 13, "partial": 0, "late": 1, "refused": 1, "expired": 0},
                "per_decade": 10,
            },
            "open": [],
        }
        return usual | changes

    return make


@pytest.fixture
def busy(story: Story, status: Callable[..., Event]) -> View:
    """A pass on which much happens."""
    story.view.status = status()
    story.tell("note", None, text="station at http://127.0.0.1:8080, ledger in runs/station")
    story.tell("carrier", 300.0, tx_up=True, rx_up=True)
    for index in range(12):
        text = QUESTIONS[index % 4]
        story.settled(index, 302.0 + 10 * index, text, 0.8 + 0.3 * index)
    refused = {"outcome": "refused", "reason": "no_time: 12 tokens", "answer": None}
    some = dict(zip(STAGE_NAMES[:4], (430.0, 430.0, 430.1, 430.5), strict=True))
    story.settled(
        12, 430.0, "Why?", 1.0, level="error", loop_s=None, phases_s={}, stages_s=some, **refused
    )
    story.settled(13, 440.0, "How long?", 131.0, outcome="late", level="warning")
    story.asked(14, 495.0, "Is the transmitter on?", submitted=0.01)
    story.asked(15, 495.5, QUESTIONS[1], submitted=0.01, uplink_started=0.3)
    story.asked(16, 496.0, QUESTIONS[0], submitted=0.01, uplink_started=0.2, delivered=0.9)
    why = "Which subsystem draws the most power, and why has it risen since the last pass?"
    story.asked(17, 497.0, why, submitted=0.01, uplink_started=0.2, delivered=0.9)
    key = f"{17:014x}"
    story.tell("text", 499.0, id=key, text="The transmitter draws 4.1 W, most of it, because ")
    story.tell(
        "part", 499.5, id=key, start=170, text="and its duty cycle \x1b[31mrose\u202e to 31 %"
    )
    return story.view
