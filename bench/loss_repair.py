"""What the transport makes of loss and outages, in virtual time: how long a question takes, how
much of the rate is used, and how soon a link that is back is in use again."""

from __future__ import annotations

from bench.pair import Pair, scenario_of
from bench.row import Row
from ground.results.histogram import quantiles_ms
from roundtrip.framelog import Fate

RATE_BPS = 10_000_000
ONE_WAY_MS = 300.0
LOSS = 0.10
SEEDS = 10_000
GOODPUT_SEEDS = 5
QUESTION_BYTES = 2_000
BLOCK_BYTES = 20_000_000
BULK_BYTES = 50_000_000
MTU_BYTES = 1_400
FRAME_MS = MTU_BYTES * 8e3 / RATE_BPS
OUTAGE_FROM_S = 20.0
OUTAGES_S = (1.0, 15.0, 120.0, 600.0)


def rows() -> list[Row]:
    """All of it."""
    times = [delivery_ms(seed) for seed in range(SEEDS)]
    quantiles = quantiles_ms([round(ms * 1e6) for ms in times])
    assert quantiles["p99"] is not None
    clear_ms = ONE_WAY_MS + 2 * FRAME_MS
    note = f"{SEEDS} seeds; 300 ms, 10 Mbit/s, 10 % loss"
    return [
        Row("2 KB question, p99", quantiles["p99"], "ms", 5 * ONE_WAY_MS, False, note),
        Row(
            "2 KB question, mean / without any loss",
            sum(times) / len(times) / clear_ms,
            "",
            1.25,
            False,
            note,
        ),
        Row(
            "20 MB block: goodput / (rate x (1 - loss))",
            sum(goodput(seed) for seed in range(GOODPUT_SEEDS)) / GOODPUT_SEEDS,
            "",
            0.95,
            True,
            f"mean of {GOODPUT_SEEDS}; 300 ms, 10 Mbit/s, 10 % loss",
        ),
        Row(
            "question behind 50 MB of bulk: what it waits",
            bulk_delay_ms() / FRAME_MS,
            "frames",
            2,
            False,
        ),
        *_outage_rows(),
    ]


def delivery_ms(seed: int) -> float:
    """How long a 2 KB question takes to be whole at the node."""
    pair = Pair(scenario_of(rate_bps=RATE_BPS, one_way_ms=ONE_WAY_MS, loss=LOSS), seed)
    pair.send(bytes(QUESTION_BYTES))
    pair.run(lambda: bool(pair.seen.received), limit_s=600)
    return max(pair.seen.received.values()) / 1e6


def goodput(seed: int) -> float:
    """Of a block of 20 MB, until it is whole at the node."""
    pair = Pair(scenario_of(rate_bps=RATE_BPS, one_way_ms=ONE_WAY_MS, loss=LOSS), seed)
    pair.send(bytes(BLOCK_BYTES))
    pair.run(lambda: bool(pair.seen.received), limit_s=600)
    took_s = max(pair.seen.received.values()) / 1e9
    return BLOCK_BYTES * 8 / took_s / (RATE_BPS * (1 - LOSS))


def bulk_delay_ms() -> float:
    """How much later a question of one frame arrives with a bulk transfer under way."""
    question = bytes(500)

    def arrival_ms(bulk: bytes | None) -> float:
        pair = Pair(scenario_of(rate_bps=RATE_BPS, one_way_ms=ONE_WAY_MS), 1)
        if bulk is not None:
            pair.send(bulk, priority=2)
        pair.at(3_000_000_000, lambda: pair.send(question))
        pair.run(lambda: bool(pair.seen.received), limit_s=60)
        return max(pair.seen.received.values()) / 1e6

    return arrival_ms(bytes(BULK_BYTES)) - arrival_ms(None)


def after_outage(kind: str, outage_s: float) -> tuple[float, float, float]:
    """An outage under way through 2 MB of small bundles.

    Returns:
        ms from its end to the first frame on the air, s until the backlog is with the node, and
        share of the rate used in between.
    """
    end_s = OUTAGE_FROM_S + outage_s
    pair = Pair(
        scenario_of(rate_bps=RATE_BPS, one_way_ms=50.0, outages=[(OUTAGE_FROM_S, end_s, kind)]),
        1,
    )
    count = 500
    for number in range(count):
        pair.at(
            round((OUTAGE_FROM_S - 0.5 + number * 0.001) * 1e9), lambda: pair.send(bytes(20_000))
        )
    pair.run(lambda: len(pair.seen.received) == count, limit_s=end_s + 600)
    up = [
        frame
        for frame in pair.seen.frames
        if frame.direction == "uplink" and frame.tx_start_ns is not None
        and frame.tx_start_ns >= end_s * 1e9 and frame.fate is Fate.DELIVERED
    ]  # fmt: skip
    first_ns = up[0].tx_start_ns
    assert first_ns is not None
    last_s = max(pair.seen.received.values()) / 1e9
    arrived = sum(frame.size_bytes for frame in up if (frame.arrives_ns or 0) <= last_s * 1e9)
    busy_s = last_s - 0.05 - first_ns / 1e9
    return (first_ns / 1e9 - end_s) * 1e3, last_s - end_s, arrived * 8 / busy_s / RATE_BPS


def _outage_rows() -> list[Row]:
    found: list[Row] = []
    for kind, limit_ms in (("cued", 10.0), ("silent", 1_100.0)):
        results = [after_outage(kind, outage_s) for outage_s in OUTAGES_S]
        note = "worst of outages of " + ", ".join(f"{s:g}" for s in OUTAGES_S) + " s"
        first_ms = max(result[0] for result in results)
        used = min(result[2] for result in results)
        found += [
            Row(f"{kind} outage over: first frame", first_ms, "ms", limit_ms, False, note),
            Row(f"{kind} outage over: share of the rate", used, "", 0.95, True, note),
        ]
    return found
