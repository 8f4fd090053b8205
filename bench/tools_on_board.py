"""What tools on board save: a question that needs three calls takes one loop, or four where the
calls come down and what came back goes up.

Both ways in virtual time with the real builtin, over the same link, with the same questions at the
same moments; a question of the second way goes up when the answer before it has come down. The
model makes the same calls, and they get the same results. Steps take as long as those of the
profile rpi5-8gb, Qwen3-0.6B on a Raspberry Pi 5; energy is that of the board above idling, tools
included, and of the radio on the air, by the profile's watts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from bench.row import Row
from ground.outputs import Request, Settled
from models.triage.questions import SYSTEM_PROMPT
from node.board.errands import Action, Ask, Errands
from node.board.view import Board
from node.engine.events import JobEvent
from node.scheduler import Order
from node.service_time import load_profile
from roundtrip.command import SHIPPED
from roundtrip.framelog import FrameFate
from roundtrip.message import GREEDY, Turn, index_of
from roundtrip.node_config import EnergyConfig
from roundtrip.onboard import TelemetryConfig, ToolsConfig
from roundtrip.scenario import Scenario
from roundtrip.scenario_file import load_scenario
from roundtrip.tools import response_text
from roundtrip.units import NS_PER_S, s_to_ns
from testbed.real_engine import RealEngine, real_engine
from testbed.world import World

PROFILE = "rpi5-8gb"
LINKS = ("leo-pass", "uhf")
QUESTIONS = 10
APART_S = 30.0
TEXT = "What is {c}? And when is the next pass? And what time is it?"
CHANNELS = (
    "battery voltage",
    "state of charge",
    "payload temperature",
    "tank pressure",
    "COM.TEMP",
)
TOOLS = ("telemetry.read", "passes.next", "time.now")
MAX_TOKENS = 160
Transcript = list[tuple[str, str]]
"""Calls as the model wrote them, and what came back."""
Watch = Callable[[object], None]


@dataclass(slots=True)
class _Way:
    """One way over one link."""

    loops: int = 0
    seconds: list[float] = field(default_factory=list)
    """Of whole questions."""
    frame_bytes: int = 0
    downlink_bytes: int = 0
    engine_j: float = 0.0


class _Unheard(Errands):
    """Tells a model of its tools, and lets its calls come down; what came back from the ground is
    shown to it as if a tool on board had said it."""

    def begin(self, order: Order, *, now_ns: int) -> list[Action]:
        """The turns are its calls and what came back."""
        question = order.job.question
        (asked,) = super().begin(order, now_ns=now_ns)
        if not question.turns:
            return [asked]
        first, *later = [*(turn.text for turn in question.turns), question.text]
        results = [text.split("\n", 1)[1].rsplit("\n", 1)[0] for text in later]
        calls = [turn.answer for turn in question.turns]
        rounds = tuple((call, (result,)) for call, result in zip(calls, results, strict=True))
        alone = replace(question, text=first, turns=())
        job = replace(asked.order.job, question=alone)
        return [Ask(replace(asked.order, job=job, rounds=rounds))]

    def heard(self, event: JobEvent, *, now_ns: int) -> list[Action]:
        """Whatever the engine says is the answer."""
        return [event]


def rows() -> list[Row]:
    """Loops, seconds, bytes and joules of a question, for both ways."""
    found: list[Row] = []
    power = load_profile(PROFILE).power
    assert power is not None
    for name in LINKS:
        scenario = _scenario(name)
        real = real_engine(scenario, PROFILE)
        board, transcripts = _run(scenario, real, None)
        ground, _ = _run(scenario, real, transcripts)
        joules = [
            way.engine_j
            + power.radio_tx_w * way.downlink_bytes * 8 / scenario.link.downlink.rate_bps
            for way in (board, ground)
        ]
        for what, unit, ours, theirs in (
            ("loops", "", board.loops, ground.loops),
            ("time", "s", sum(board.seconds), sum(ground.seconds)),
            ("bytes on the air", "B", board.frame_bytes, ground.frame_bytes),
            ("energy", "J", *joules),
        ):
            each, others = ours / QUESTIONS, theirs / QUESTIONS
            note = f"{each:,.3g} {unit} a question; called from the ground {others:,.3g} {unit}"
            line = f"tools on board, {name}: {what} as a share of calling them from the ground"
            found.append(Row(line, each / others, "", 1.0, False, note))
    return found


def _scenario(name: str) -> Scenario:
    loaded = load_scenario(SHIPPED / f"{name}.toml")
    node = loaded.node.model_copy(
        update={
            "profile": PROFILE,
            "context": 1536,
            "telemetry": TelemetryConfig(),
            "tools": ToolsConfig(allow=TOOLS),
            "energy": EnergyConfig(battery_wh=100, solar_w=0),
        }
    )
    return loaded.model_copy(update={"node": node})


def _texts() -> list[str]:
    return [TEXT.format(c=CHANNELS[number % len(CHANNELS)]) for number in range(QUESTIONS)]


class _Noting(Errands):
    """Notes what is called for each question, and what comes back."""

    def __init__(self, board: Board, config: ToolsConfig | None) -> None:
        super().__init__(board, config)
        self.transcripts: list[Transcript] = [[] for _ in range(QUESTIONS)]

    def called(
        self, question_id: int, round_: int, results: Sequence[str], *, now_ns: int
    ) -> list[Action]:
        """As it is, and noted."""
        actions = super().called(question_id, round_, results, now_ns=now_ns)
        for action in actions:
            if isinstance(action, Ask):
                said, (result,) = action.order.rounds[-1]
                self.transcripts[index_of(question_id)].append((said, result))
        return actions


class _World(World):
    """Whose errands are of one kind or another."""

    def __init__(
        self, scenario: Scenario, real: RealEngine, watch: Watch, kind: type[Errands]
    ) -> None:
        self._kind = kind
        super().__init__(scenario, 1, real.profile, engine=real.new, watch=watch)

    def _new_errands(self, board: Board) -> Errands:
        self.errands = self._kind(board, self._scenario.node.tools)
        return self.errands


def _request(scenario: Scenario, world: World, text: str, turns: tuple[Turn, ...]) -> Request:
    asking = world.ground.machine._asking
    asking = replace(
        asking, system=SYSTEM_PROMPT, see=(), tools=TOOLS, max_tokens=MAX_TOKENS, sampling=GREEDY
    )
    return Request(text, asking, turns=turns)


def _ask_all(world: World, scenario: Scenario, first: dict[int, int]) -> None:
    for number, text in enumerate(_texts()):
        at_ns = s_to_ns(scenario.workload.start_s + number * APART_S)

        def ask(number: int = number, text: str = text) -> None:
            first[world.ground.machine.next_id()] = number
            request = _request(scenario, world, text, ())
            world.ground.call(world.ground.machine.ask, request)

        world.ground.clock.call_at(at_ns, ask)
    world.stand(s_to_ns(scenario.workload.start_s + QUESTIONS * APART_S + 60))


def _run(
    scenario: Scenario, real: RealEngine, calls: list[Transcript] | None
) -> tuple[_Way, list[Transcript]]:
    """Ask all questions; with transcripts each call comes down, and its result goes up. Without,
    they are what is called."""
    way = _Way()
    number_of: dict[int, int] = {}
    begun: dict[int, int] = {}
    turns: dict[int, tuple[Turn, ...]] = {}
    asked: dict[int, str] = {}

    def told(output: object) -> None:
        if isinstance(output, FrameFate):
            way.frame_bytes += output.size_bytes
            way.downlink_bytes += output.size_bytes * (output.direction == "downlink")
        if isinstance(output, Settled):
            record = output.record
            number = number_of[record.question_id]
            way.loops += 1
            way.engine_j += record.spent_mj / 1000
            begun.setdefault(number, record.planned.intended_ns)
            done = turns.get(number, ())
            if calls is not None and len(done) < len(calls[number]):
                call, result = calls[number][len(done)]
                turns[number] = (*done, Turn(asked.get(number, record.planned.text), call))
                asked[number] = response_text(result)
                world.ground.clock.call_at(
                    world.ground.clock.now_ns(), partial(again, number, record.question_id)
                )
                return
            way.seconds.append((record.settled_ns - begun[number]) / NS_PER_S)

    def again(number: int, after: int) -> None:
        machine = world.ground.machine
        number_of[machine.next_id()] = number
        request = replace(_request(scenario, world, asked[number], turns[number]), after=after)
        world.ground.call(machine.ask, request)

    world = _World(scenario, real, told, _Noting if calls is None else _Unheard)
    _ask_all(world, scenario, number_of)
    assert len(way.seconds) == QUESTIONS, f"{len(way.seconds)} of {QUESTIONS} were answered"
    return way, world.errands.transcripts if isinstance(world.errands, _Noting) else []
