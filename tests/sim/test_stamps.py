"""Every stamp against the truth of the virtual world: what is called exact is exact, and the truth
of an estimate lies within its uncertainty. A failure names scenario, seed and question."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from dtn.agent import BundleAgent, BundleReceived, TransmissionStarted, Transmit
from dtn.bpv7.bundle import BundleId
from dtn.errors import SegmentError
from dtn.ltp.segment import DataSegment, SessionId, decode
from ground.outputs import Settled, StorePart
from ground.outputs import StoredQuestion as StoredByGround
from ground.outputs import StoreQuestion as AskedQuestion
from ground.results.record import LoopRecord
from node.engine.events import EngineDone, EngineFirstToken, EngineStarted, ToolsCalled
from node.outputs import StoreAnswer, StoreQuestion, StoreSettled
from node.outputs import StoredQuestion as StoredByNode
from node.service_time import load_profile
from roundtrip.budget import Outcome
from roundtrip.codec import decode as decode_message
from roundtrip.codec import question_in
from roundtrip.contacts import Windows
from roundtrip.framelog import FrameFate
from roundtrip.message import TICK_US, Answer, Asked, Refusal
from roundtrip.scenario import Scenario
from roundtrip.scenario_file import check_scenario
from roundtrip.stages import USUAL, Stage
from roundtrip.units import NS_PER_MS, NS_PER_US, s_to_ns
from testbed.world import World

SCENARIOS = Path(__file__).parents[2] / "testbed" / "scenarios"
NAMES = sorted(path.stem for path in SCENARIOS.glob("*.toml"))
NODE_STAGES = (Stage.STARTED, Stage.FIRST_TOKEN, Stage.FINISHED)
KNOWN = set(USUAL) - {Stage.INTENDED, Stage.SUBMITTED}
EXACT_NS = dict.fromkeys(Stage, 0) | dict.fromkeys(
    (*NODE_STAGES, Stage.CALLED), TICK_US * NS_PER_US - 1
)
"""By how much an exact stamp may be early: the node's durations travel in steps of 0.1 ms."""


class Truth:
    """What really happened, from the machines' own outputs and the link's windows; a trace."""

    def __init__(self, scenario: Scenario) -> None:
        self._carrier = {name: _carrier_of(scenario, name) for name in ("uplink", "downlink")}
        self.stamps: defaultdict[int, dict[Stage, int]] = defaultdict(dict)
        self.estimates: list[LoopRecord] = []
        self.ledger: dict[int, StoredByGround] = {}
        self.store: dict[int, StoredByNode] = {}
        self._sent: dict[str, list[bytes]] = {"ground": [], "node": []}
        self._fates: list[FrameFate] = []
        self.bundles: dict[SessionId, BundleId] = {}
        self.questions: dict[BundleId, int] = {}

    def record(self, at_ns: int, machine: str, output: Any) -> None:
        match output:
            case Transmit(frame=frame):
                self._sent[machine].append(frame)
            case FrameFate():
                self._fates.append(output)
            case AskedQuestion(question_id=question_id, payload=payload, asked_ns=asked_ns):
                self.ledger[question_id] = StoredByGround(question_id, payload, asked_ns, False)
            case StorePart(part=part):
                known = self.ledger[part.question_id]
                parts = (*known.parts, part)
                self.ledger[part.question_id] = replace(known, parts=parts)
            case StoreQuestion(question_id=question_id, delivered_ns=delivered_ns):
                self.stamps[question_id].setdefault(Stage.DELIVERED, delivered_ns)
                question = question_in(output.payload)
                self.store[question_id] = StoredByNode(
                    question, delivered_ns, output.deadline_ns, None, False
                )
            case StoreSettled(question_id=question_id):
                self.store[question_id] = replace(self.store[question_id], settled=True)
            case EngineStarted(question_id=question_id, at_ns=event_ns):
                self.stamps[question_id][Stage.STARTED] = event_ns
            case EngineFirstToken(question_id=question_id, at_ns=event_ns):
                self.stamps[question_id][Stage.FIRST_TOKEN] = event_ns
            case ToolsCalled(question_id=question_id, at_ns=event_ns):
                self.stamps[question_id][Stage.CALLED] = event_ns
            case EngineDone(question_id=question_id, at_ns=event_ns):
                self.stamps[question_id][Stage.FINISHED] = event_ns
            case StoreAnswer(question_id=question_id, payload=payload):
                self.store[question_id] = replace(
                    self.store[question_id], reply=decode_message(payload)
                )
                if isinstance(decode_message(payload), Refusal):
                    self.stamps[question_id] |= dict.fromkeys(NODE_STAGES, at_ns)
            case Settled(record=record):
                self.estimates.append(record)
                if record.question_id in self.ledger:
                    known = self.ledger[record.question_id]
                    self.ledger[record.question_id] = replace(known, settled=True)
            case _:
                pass

    def agent_did(self, outputs: Sequence[Any]) -> None:
        for output in outputs:
            match output:
                case TransmissionStarted(bundle_id=bundle_id, session=session):
                    self.bundles[session] = bundle_id
                case BundleReceived(bundle=bundle, received_ns=received_ns):
                    said = decode_message(bundle.payload)
                    if isinstance(said, Answer | Refusal):
                        stamps = self.stamps[said.question_id]
                        stamps.setdefault(Stage.ANSWERED, received_ns)

    def agent_sent(self, bundle_id: BundleId | None, payload: bytes) -> None:
        said = decode_message(payload)
        if bundle_id is not None and isinstance(said, Asked | Answer | Refusal):
            self.questions[bundle_id] = said.question_id

    def finish(self) -> None:
        """Find when each question, and each answer, was first on the air."""
        ways = (
            ("uplink", "ground", Stage.UPLINK_STARTED),
            ("downlink", "node", Stage.DOWNLINK_STARTED),
        )
        for direction, sender, stage in ways:
            fates = [fate for fate in self._fates if fate.direction == direction]
            for frame, fate in zip(self._sent[sender], fates, strict=True):
                try:
                    segment = decode(frame)
                except SegmentError:
                    raise AssertionError("a machine sent no segment") from None
                if not isinstance(segment, DataSegment) or not self._on_air(fate):
                    continue
                question_id = self.questions.get(self.bundles[segment.session])
                if question_id is not None:
                    stamps = self.stamps[question_id]
                    stamps[stage] = min(stamps.get(stage, 1 << 63), fate.tx_start_ns or 0)

    def _on_air(self, fate: FrameFate) -> bool:
        """Whether it ever was, and then with the carrier with which it was handed in: a modem drops
        what waits when its carrier goes."""
        if fate.tx_start_ns is None or fate.tx_end_ns is None:
            return False
        window = self._carrier[fate.direction].at(fate.handed_ns)
        assert window is not None
        assert fate.handed_ns <= fate.tx_start_ns < fate.tx_end_ns <= window[1]
        return True


def _carrier_of(scenario: Scenario, name: str) -> Windows:
    return scenario.contact_windows(name).minus(scenario.outages(name, "planned", "cued"))


Watch = Callable[..., tuple[list[LoopRecord], Truth]]


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    """Run a scenario with witnesses in both agents; `restarts` are (side, at_s)."""

    def run(
        scenario: Scenario, seed: int, restarts: Sequence[tuple[str, float]] = ()
    ) -> tuple[list[LoopRecord], Truth]:
        truth = Truth(scenario)
        monkeypatch.setattr("testbed.world.BundleAgent", _witness(truth))
        world = World(scenario, seed, load_profile(scenario.node.profile), truth)
        for life, (side, at_s) in enumerate(restarts, 1):
            again = partial(_restart, world, truth, side, life)
            world.link.clock.call_at(s_to_ns(at_s), again)
        run = world.run()
        truth.finish()
        return run.records, truth

    return run


def _restart(world: World, truth: Truth, side: str, life: int) -> None:
    if side == "ground":
        world.restart_ground(life, truth.ledger.values())
    else:
        world.restart_node(life, truth.store.values())


def _witness(truth: Truth) -> type[BundleAgent]:
    class Witness(BundleAgent):
        def send(self, payload: bytes, **rest: Any) -> Any:
            bundle_id, outputs = super().send(payload, **rest)
            truth.agent_sent(bundle_id, payload)
            truth.agent_did(outputs)
            return bundle_id, outputs

    def watched(name: str) -> Any:
        def method(self: Any, *args: Any, **rest: Any) -> Any:
            outputs = getattr(BundleAgent, name)(self, *args, **rest)
            truth.agent_did(outputs)
            return outputs

        return method

    for name in ("receive", "accept", "carrier", "timeout", "cancel"):
        setattr(Witness, name, watched(name))
    return Witness


def late_ns(record: LoopRecord, truth: Truth) -> dict[Stage, int]:
    """How much later each stage really was than its stamp; of those before its outcome."""
    real = truth.stamps[record.question_id]
    return {
        stage: real[stage] - at_ns
        for stage, at_ns in record.stamps.items()
        if stage in real and real[stage] <= record.settled_ns
    }


def assert_honest(records: Sequence[LoopRecord], truth: Truth, where: str) -> int:
    """Hold the records, and the ground's own estimates, against the truth; how many of the replies
    are placed exactly."""
    for record in [*records, *truth.estimates]:
        assert (record.split == "frame_log") <= (record.uncertainty_ns == 0), where
        if record.answered:
            assert set(late_ns(record, truth)) == KNOWN, where
        elif record.split == "frame_log" and record.outcome is Outcome.EXPIRED:
            assert set(record.stamps) & KNOWN == set(late_ns(record, truth)), where
        for stage, off_ns in late_ns(record, truth).items():
            what = f"{where} #{record.planned.index} {stage.value}, {record.split}: {off_ns} ns"
            if record.split == "frame_log":
                assert 0 <= off_ns <= EXACT_NS[stage], what
            else:
                assert abs(off_ns) <= record.uncertainty_ns, f"{what} of {record.uncertainty_ns}"
    return sum(record.split == "frame_log" for record in records if Stage.ANSWERED in record.stamps)


CLEAN = {"rate_bps": 64_000, "one_way_delay_ms": 20, "mtu_bytes": 256}
BURSTS = {"burst": {"p": 0.05, "r": 0.2}, "loss": 0.02}
FADES = {"fade": {"mean_db": 3, "sigma_db": 3, "time_constant_s": 5, "margin_db": 7}}
HANDOVER = {"handover": {"every_s": 7, "burst_ms": 300}}
OUTAGES = [
    (2, 9, "stuck", "both"), (5, 6, "cued", "downlink"), (12, 17, "silent", "downlink"),
    (16, 22, "planned", "both"), (20, 26, "silent", "both"), (24, 31, "stuck", "uplink"),
    (29, 33, "cued", "uplink"), (36, 44, "stuck", "downlink"), (40, 42, "planned", "downlink"),
    (48, 49, "silent", "uplink"), (50, 58, "cued", "both"), (57, 62, "silent", "downlink"),
]  # fmt: skip
LONG = {"max_tokens": 600, "count": 8}
IMPAIRED: dict[str, dict[str, Any]] = {
    "bit errors": {"link": {"bit_error_rate": 3e-5}},
    "many bit errors": {"link": {"bit_error_rate": 1e-4, "loss": 0.02}},
    "checked frames": {"link": {"bit_error_rate": 3e-5, "frame_check": True}},
    "jitter": {"link": {"jitter_ms": 900, "loss": 0.02}},
    "copies": {"link": {"duplication": 0.5, "jitter_ms": 200, "bit_error_rate": 3e-5}},
    "bursts, fades, handovers": {"link": BURSTS | FADES | HANDOVER},
    "outages": {"outages": OUTAGES, "link": {"loss": 0.02}},
    "outages and bit errors": {"outages": OUTAGES, "link": {"bit_error_rate": 5e-5}},
    "a small queue": {"outages": OUTAGES, "link": {"queue_bytes": 600, "duplication": 0.2}},
    "parts": {"link": {"rate_bps": 9_600, "bit_error_rate": 2e-5}, "workload": LONG},
    "priorities": {"link": {"loss": 0.05}, "outages": OUTAGES, "priorities": True},
    "one at a time": {"link": {"loss": 0.2}, "workload": {"max_outstanding": 1}},
    "a full node": {"node": {"queue": 1, "sequences": 1}, "workload": {"rate_per_min": 600}},
    "too late": {
        "outages": [(0, 59, "stuck", "both")],
        "workload": {"count": 3},
        "budget": {"loop_s": 10, "expire_s": 20},
    },
}


def impaired(kind: str) -> Scenario:
    """A minute of questions over a link with one kind of trouble."""
    what = IMPAIRED[kind]
    way = CLEAN | what.get("link", {})
    priorities = ["bulk", "normal", "expedited"] if "priorities" in what else ["normal"]
    questions = [{"text": f"{p} status?", "priority": p} for p in priorities]
    outages = [
        dict(zip(("start_s", "end_s", "kind", "direction"), outage, strict=True))
        for outage in what.get("outages", [])
    ]
    workload = {"questions": questions, "rate_per_min": 20, "count": 20, "max_tokens": 40}
    return check_scenario(
        {
            "link": {"uplink": way, "downlink": way},
            "outage": outages,
            "workload": workload | what.get("workload", {}),
            "node": what.get("node", {}),
            "budget": {"loop_s": 120, "expire_s": 300} | what.get("budget", {}),
        },
        kind,
    )


@pytest.mark.parametrize("name", NAMES)
def test_the_stamps_of_every_shipped_scenario_are_honest(
    name: str, shipped: dict[str, Scenario], watch: Watch
) -> None:
    for seed in (1, 2) if shipped[name].workload.count <= 100 else (1,):
        records, truth = watch(shipped[name], seed)
        exact = assert_honest(records, truth, f"{name}, seed {seed}")
        assert exact >= 0.85 * sum(Stage.ANSWERED in record.stamps for record in records)


@pytest.mark.parametrize("kind", IMPAIRED)
def test_the_stamps_are_honest_whatever_the_link_does(kind: str, watch: Watch) -> None:
    exact = replies = 0
    for seed in (1, 2, 3):
        records, truth = watch(impaired(kind), seed)
        exact += assert_honest(records, truth, f"{kind}, seed {seed}")
        replies += sum(Stage.ANSWERED in record.stamps for record in records)
    assert exact >= 0.5 * replies


@pytest.mark.parametrize("side", ["ground", "node", "both"])
def test_the_stamps_are_honest_over_restarts(side: str, watch: Watch) -> None:
    """Every few seconds, also while questions and answers are on the way."""
    sides = ("ground", "node") if side == "both" else (side,)
    restarts = [(sides[at % len(sides)], 0.11 + 1.37 * at) for at in range(50)]
    exact = estimated = 0
    kinds = ("bit errors", "outages", "parts", "jitter", "many bit errors", "copies")
    for seed, kind in enumerate(kinds, 1):
        records, truth = watch(impaired(kind), seed, restarts)
        exact += assert_honest(records, truth, f"{kind}, seed {seed}, {side} restarts")
        estimated += sum(record.split == "estimate" for record in records)
    assert exact > 10
    assert estimated > 1


def test_an_estimate_on_a_clean_link_is_near(watch: Watch, shipped: dict[str, Scenario]) -> None:
    """Nothing is lost: what stays unknown is how long disks and transmitters were busy."""
    clear = shipped["demo"].model_copy(update={"outage": ()})
    _, truth = watch(clear, 1)
    assert max(record.uncertainty_ns for record in truth.estimates) < 60 * NS_PER_MS
