"""The links, each as a scenario: rates, light time, losses, outages, and the questions' times."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

SCENARIOS = Path(__file__).parents[2] / "testbed" / "scenarios"
MTU_BYTES = 1_280
"""The same for all: the least of IPv6, and enough for QUIC."""
START_S = 12.0
"""When the first question is asked: every server is up by then."""
BUDGET_S = 120.0
COUNT = 100


@dataclass(frozen=True, slots=True)
class LinkCase:
    """One row of links."""

    name: str
    what: str
    up: dict[str, Any]
    down: dict[str, Any]
    per_min: float
    outages: tuple[dict[str, Any], ...] = ()
    reset_s: float = 0.0
    """When the node is killed and started again; 0: never."""

    def last_s(self, count: int) -> float:
        """When the last of so many questions is asked."""
        return START_S + (count - 1) * 60 / self.per_min

    def write(self, path: Path, questions: Path, count: int, seed: int) -> None:
        """Write the scenario."""
        ways = {
            name: {"mtu_bytes": MTU_BYTES, "queue_bytes": 65_536} | way
            for name, way in (("uplink", self.up), ("downlink", self.down))
        }
        table = {
            "seed": seed,
            "link": ways,
            "outage": list(self.outages),
            "workload": {
                "questions_file": str(questions),
                "system": SYSTEM,
                "rate_per_min": self.per_min,
                "count": count,
                "start_s": START_S,
                "max_tokens": 160,
                "temperature": 0,
            },
            "budget": {"loop_s": BUDGET_S, "expire_s": BUDGET_S},
            "node": {"model": "builtin", "threads": 1, "context": 1024},
        }
        path.write_text(tomli_w.dumps(table))


SYSTEM = "You watch the telemetry of a satellite. Answer from the frame, exactly and briefly."


def body_of(text: str) -> dict[str, Any]:
    """A question as the API has it."""
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": text}]
    return {"model": "builtin", "messages": messages, "max_tokens": 160, "temperature": 0}


_LEO = {"rate_bps": 64_000, "one_way_delay_ms": 6}
_LEO_DOWN = {"rate_bps": 1_000_000, "one_way_delay_ms": 6}
_TRACE = str(SCENARIOS / "made-up.csv")


def _burst(share: float, length: float = 4) -> dict[str, Any]:
    """Gilbert-Elliott: bad spells of so many frames, in all such a share of frames."""
    return {"burst": {"p": round(share / (1 - share) / length, 6), "r": 1 / length}}


CASES = (
    LinkCase("clean", "low orbit, S-band, no loss", _LEO, _LEO_DOWN, 60),
    LinkCase(
        "burst-5",
        "5 % lost in bursts of 4 frames",
        _LEO | _burst(0.05),
        _LEO_DOWN | _burst(0.05),
        60,
    ),
    LinkCase(
        "burst-20",
        "20 % lost in bursts of 4 frames",
        _LEO | _burst(0.2),
        _LEO_DOWN | _burst(0.2),
        60,
    ),
    LinkCase(
        "geo-relay",
        "270 ms one way, 2 % lost",
        {"rate_bps": 256_000, "one_way_delay_ms": 270, "loss": 0.02},
        {"rate_bps": 1_000_000, "one_way_delay_ms": 270, "loss": 0.02},
        60,
    ),
    LinkCase(
        "uhf",
        "1.2 kbit/s up, 9.6 kbit/s down, 5 % lost",
        {"rate_bps": 1_200, "one_way_delay_ms": 6, "loss": 0.05},
        {"rate_bps": 9_600, "one_way_delay_ms": 6, "loss": 0.05},
        12,
    ),
    LinkCase(
        "outages",
        "two outages of 20 s that the modems notice",
        _LEO,
        _LEO_DOWN,
        60,
        (
            {"start_s": 40, "end_s": 60, "kind": "cued"},
            {"start_s": 90, "end_s": 110, "kind": "cued"},
        ),
    ),
    LinkCase(
        "asymmetric",
        "the downlink is gone for 40 s",
        _LEO,
        _LEO_DOWN,
        60,
        ({"start_s": 50, "end_s": 90, "kind": "cued", "direction": "downlink"},),
    ),
    LinkCase(
        "handover-burst",
        "a second is lost every 15 s",
        {
            "rate_bps": 2_000_000,
            "one_way_delay_ms": 20,
            "handover": {"every_s": 15, "burst_ms": 1000},
        },
        {
            "rate_bps": 8_000_000,
            "one_way_delay_ms": 20,
            "handover": {"every_s": 15, "burst_ms": 1000},
        },
        60,
    ),
    LinkCase(
        "traced",
        "a trace like Starlink's (made up)",
        {"rate_bps": 30_000_000, "one_way_delay_ms": 21, "trace": _TRACE},
        {"rate_bps": 30_000_000, "one_way_delay_ms": 21, "trace": _TRACE},
        60,
    ),
    LinkCase("reset", "the node is killed in the middle", _LEO, _LEO_DOWN, 60, reset_s=60),
)
