"""What the bytes on the air are for, and what they cost in loops; virtual time, so exact."""

from __future__ import annotations

import random
import statistics
from dataclasses import replace

from bench.row import Row
from bench.text_size import sets, size
from dtn.agent import BundleAgent
from dtn.tally import Tally
from ground.results.record import LoopRecord
from node.machine import REPLY_LIFETIME_S
from node.service_time import load_profile
from roundtrip import codec
from roundtrip.budget import Outcome
from roundtrip.command import SHIPPED
from roundtrip.keys import link_security, new_keys
from roundtrip.message import GREEDY, Answer, Question, Sent, question_id
from roundtrip.modem import Carrier, Side
from roundtrip.scenario import Scenario
from roundtrip.scenario_file import load_scenario
from roundtrip.stages import Stage
from roundtrip.text.packing import pack
from roundtrip.transport import agent_config
from roundtrip.workload_config import QuestionConfig
from testbed.world import DTN_EPOCH_MS, World

SEEDS = range(1, 21)
SHORT = 100
"""Bytes of text."""
CUE = Carrier(1, True, True, 10**6, 10**6, 10**7, 1400, 0, 0, "", DTN_EPOCH_MS)
SYSTEM = "You watch the telemetry of a satellite. Answer from the frame, exactly and briefly."


def rows() -> list[Row]:
    """All of it: some 20 s."""
    texts = sets()
    short = [text for text in texts["English"] if len(text.encode()) <= SHORT]
    long = " ".join(texts["English"])[:2048]
    note = (
        f"worst of {len(short)} English texts of up to {SHORT} bytes; first copy, beside the text"
    )
    found: list[Row] = []
    for what, message, lifetime_ms in (("question", _question, 600_000), ("answer", _answer, _DAY)):
        over = [_overhead(message(text), text, lifetime_ms) for text in short]
        bundle = float(max(each.payload + each.bundle + each.security for each in over))
        segment = max(each.segments for each in over)
        found.append(Row(f"overhead of a secured {what}", bundle, "bytes", 48, False, note))
        found.append(
            Row(
                f"overhead of a secured {what}, LTP too", bundle + segment, "bytes", 48, False, note
            )
        )
    whole = _overhead(_answer(long), long, _DAY)
    share = (whole.total - whole.repeats) / len(long.encode())
    packed = f"the text is packed to {size(pack(long)):,} bytes"
    found.append(Row("overhead of an answer of 2 KB, LTP too", share, "of it", 0.05, False, packed))
    for name, reach_s in (("uhf", 1.8), ("leo-pass", 0.30)):
        scenario = _shipped(name)
        loops_s = [one.loop_ns / 1e9 for one in _runs(scenario) if one.answered and one.loop_ns]
        note = f"{len(SEEDS)} seeds, signed and encrypted"
        found.append(
            Row(f"{name}: loop p50", statistics.median(loops_s), "s", reach_s, False, note)
        )
    found += [_against_the_bits(_shipped(name)) for name in ("uhf", "leo-pass")]
    for name in ("storm", "outage-storm"):
        records = _runs(_shipped(name))
        good = sum(one.outcome is Outcome.ON_TIME for one in records) / len(records)
        note = f"{len(SEEDS)} seeds; all of them before, too"
        found.append(Row(f"{name}: on time", good, "", 1.0, True, note))
    return found


_DAY = REPLY_LIFETIME_S * 1000


def _shipped(name: str) -> Scenario:
    return load_scenario(SHIPPED / f"{name}.toml")


def _question(text: str) -> Sent:
    return Question(question_id(1 << 31, 100), text, SYSTEM, 160, GREEDY, "off", 119_990)


def _answer(text: str) -> Sent:
    number = question_id(1 << 31, 100)
    times = (2_800, 124_000, 2_591_000, 1 << 31)
    return Answer(number, text, "stop", 180, 160, *times, rss_peak_bytes=600 << 20)


def _overhead(message: Sent, text: str, lifetime_ms: int) -> Tally:
    """The layers of one message as it leaves when the node has its settings; the payload less its
    text."""
    side = Side.GROUND if isinstance(message, Question) else Side.NODE
    keys = new_keys(random.Random(1).randbytes)
    agent = BundleAgent(
        agent_config(side, CUE, max_bundles=8),
        rng=random.Random(2),
        security=link_security(keys, side, random_bytes=random.Random(3).randbytes),
    )
    agent.carrier(
        tx_up=True, rx_up=True, tx_rate_bps=CUE.tx_rate_bps, one_way_ns=CUE.one_way_ns, now_ns=0
    )
    payload = codec.encode(message, named=isinstance(message, Question))
    agent.send(payload, lifetime_ms=lifetime_ms, now_ns=0)
    for now_ns in range(0, 10**8, 10**6):
        agent.timeout(now_ns=now_ns)
    return replace(agent.sent, payload=agent.sent.payload - size(pack(text)))


def _runs(scenario: Scenario) -> list[LoopRecord]:
    profile = load_profile(scenario.node.profile)
    return [one for seed in SEEDS for one in World(scenario, seed, profile).run().records]


def _against_the_bits(scenario: Scenario) -> Row:
    """Loops of questions that bring their frame, one at a time, over light, the raw text's bits and
    inference."""
    lines = (SHIPPED / "triage.jsonl").read_text().splitlines()
    questions = tuple(QuestionConfig.model_validate_json(line) for line in lines)
    alone = scenario.workload.model_copy(
        update={"max_outstanding": 1, "rate_per_min": 1.0, "see": (), "questions": questions}
    )
    ratios = [
        record.loop_ns / _least_ns(scenario, record)
        for record in _runs(scenario.model_copy(update={"workload": alone}))
        if record.answered and record.loop_ns
    ]
    note = f"{len(ratios)} loops of questions that bring their frame, one at a time"
    name = f"{scenario.name}: loop p50 / (light + raw text's bits + inference)"
    return Row(name, statistics.median(ratios), "", 0.75, False, note)


def _least_ns(scenario: Scenario, record: LoopRecord) -> float:
    def way_ns(name: str, text: str, at: Stage) -> float:
        rate_bps = scenario.rate(name).at(record.stamps[at])
        light_ns = scenario.light_time(name).at(record.stamps[at])
        return light_ns + len(text.encode()) * 8e9 / rate_bps

    up_ns = way_ns("uplink", record.planned.text, Stage.UPLINK_STARTED)
    down_ns = way_ns("downlink", record.answer or "", Stage.DOWNLINK_STARTED)
    return up_ns + down_ns + record.stamps[Stage.FINISHED] - record.stamps[Stage.STARTED]
