"""`groundloop bench node`: a model on this machine, measured for runs in virtual time."""

from __future__ import annotations

import asyncio
import platform
import statistics
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import click
import psutil
import tomli_w
from llama_cpp import __version__ as llama_version
from rich.table import Table

from ground.results.split import split_by_log
from models.cache import cache_dir
from models.gguf.inspect import inspect
from models.resolve import resolve
from node.engine.batching import Batcher, answer_all
from node.engine.chat import prompt
from node.engine.child import thread_counts
from node.engine.costs import Costs
from node.engine.llama import Engine, EngineSettings, state_key
from node.engine.prefixes import Prefixes
from node.engine.requests import Done, Refused, Request
from node.engine.tuning import tuned
from node.service_time import PROFILES, Profile
from roundtrip.command import SCENARIO
from roundtrip.drive.clock import monotonic_ns
from roundtrip.errors import BadInput
from roundtrip.framelog import read_log
from roundtrip.message import GREEDY
from roundtrip.scenario import Scenario
from roundtrip.scenario_file import check_scenario, load_scenario, to_toml
from roundtrip.screen import Screen
from roundtrip.words import count, shown
from testbed.live import run_live

SIZES = (64, 256, 1024)
"""Tokens of prompts, and of contexts in which a token is decoded."""
TOGETHER = (2, 3, 4, 6, 8)
DECODED = 16
ROUNDS = 5
ASKED = 30
REST_S = 1.0
"""Between measurements: a node has been idle when a question comes, its caches are cold."""


@click.group("bench")
def bench() -> None:
    """Measure this machine."""


@bench.command("node")
@click.option("--model", help="GGUF file or model name; overrides the scenario's.")
@click.option("--threads", type=click.IntRange(min=0), default=0, help="0: the fastest number.")
@click.option(
    "--scenario",
    type=SCENARIO,
    default="demo",
    show_default=True,
    help="Whose questions are asked, for the length of prompts and answers.",
)
@click.option("--machine", default="", help="What to call this machine in the profile.")
@click.option("--out", type=click.Path(path_type=Path), help="Write the profile here.")
def bench_node(
    model: str | None, threads: int, scenario: Path, machine: str, out: Path | None
) -> None:
    """Measure how fast a node on this machine reads and writes, by length and batch.

    The profile serves `groundloop run --virtual` on any other machine: name it in `node.profile`.
    Let nothing else run meanwhile.

    Example: groundloop bench node --model builtin --out this-machine.toml
    """
    loaded = load_scenario(scenario)
    path = resolve(model or loaded.node.model)
    profile, drafts = measured(path, threads, loaded, machine or _machine())
    text = tomli_w.dumps(_table(profile))
    console = Screen()
    _show(profile, console)
    console.print(drafts)
    if out is None:
        console.print("\n--out FILE writes the profile")
        return
    try:
        out.write_text(f"# Measured by `groundloop bench node --scenario {scenario.stem}`.\n{text}")
    except OSError as error:
        raise BadInput(str(out), "", "a file that can be written", str(error)) from None
    console.print(f"\nprofile   {shown(out)}: name it in node.profile")


def measured(path: Path, threads: int, scenario: Scenario, machine: str) -> tuple[Profile, str]:
    """A profile of a model on this machine, with the kind of attention that a node chooses there;
    and what drafts are good for here, in a line.

    Args:
        path: the model.
        threads: 0 for the fastest number.
        scenario: its questions are asked.
        machine: its name.
    """
    info = inspect(path)
    settings = EngineSettings(scenario.node.context, threads or 1, max(TOGETHER))
    engine = Engine(str(path), settings)
    counts = [threads] if threads else thread_counts()
    kept = cache_dir() / "engine" / f"{state_key([path], settings)}.json"
    choice = tuned(engine, settings, counts, file=kept, clock_ns=monotonic_ns)
    sized = replace(settings, context=max(SIZES) + 2 * DECODED)
    engine.open(replace(sized, threads=choice.threads, flash=choice.flash))
    prefill = {size: size / _rested(_prefill_s, engine, size) for size in SIZES}
    decode = {size: 1 / _rested(_step_s, engine, size, 1) for size in SIZES}
    together = {n: n / _rested(_step_s, engine, SIZES[1], n) for n in TOGETHER}
    costs = Costs(choice.step_ns, choice.check_ns)
    answers, drafts = _answers(engine, scenario, costs)
    size = sum(len(text.encode()) for text, _ in answers)
    prompts = sum(done.prompt_tokens for _, done in answers)
    template = _template_tokens(engine)
    start_ms, store_ms = _handling_ms(path, choice.threads, scenario.node.context)
    profile = Profile(
        model=info.name or path.stem,
        quantization=info.quantization,
        measured_on=f"{machine}, llama-cpp-python {llama_version}",
        threads=choice.threads,
        prefill_tok_s=_rounded(prefill),
        decode_tok_s=_rounded(decode),
        batch_tok_s=_rounded(together),
        start_ms=round(start_ms, 2),
        store_ms=round(store_ms, 2),
        bytes_per_token=round(size / max(1, prompts - len(answers) * template), 2),
        template_tokens=template,
        answer_tokens=_quantiles([done.output_tokens for _, done in answers]),
        rss_peak_mb=round(_rss_mb()),
    )
    return profile, drafts


def _quantiles(values: list[int]) -> tuple[int, ...]:
    """The least, the deciles, and the greatest."""
    ordered = sorted(values)
    return tuple(ordered[round(step * (len(ordered) - 1) / 10)] for step in range(11))


def _rounded(table: dict[int, float]) -> dict[int, float]:
    return {size: float(f"{figure:.3g}") for size, figure in table.items()}


def _rested(measure: Callable[..., float], *arguments: object, rounds: int = ROUNDS) -> float:
    """The median of some rounds, each after a rest."""
    found: list[float] = []
    for _ in range(rounds):
        asyncio.run(asyncio.sleep(REST_S))
        found.append(measure(*arguments))
    return statistics.median(found)


def _prefill_s(engine: Engine, size: int) -> float:
    engine.forget(0)
    begin_ns = monotonic_ns()
    _read(engine, 0, size)
    engine.likeliest((size - 1) % 512)
    took_s = (monotonic_ns() - begin_ns) / 1e9
    engine.forget(0)
    return took_s


def _read(engine: Engine, sequence: int, size: int) -> None:
    tokens = [(1000 + index) % engine.vocab_size for index in range(size)]
    for start in range(0, size, 512):
        piece = tokens[start : start + 512]
        engine.put(0, piece, start, sequence, wanted=True)
        engine.decode(len(piece))


def _step_s(engine: Engine, size: int, sequences: int) -> float:
    """A token for each of some sequences, each with a context of that size; seconds."""
    for sequence in range(sequences):
        engine.forget(sequence)
        _read(engine, sequence, size)
    begin_ns = monotonic_ns()
    for position in range(size, size + DECODED):
        for sequence in range(sequences):
            engine.put_one(sequence, 1000 % engine.vocab_size, position, sequence)
        engine.decode(sequences)
        for sequence in range(sequences):
            engine.likeliest(sequence)
    took_s = (monotonic_ns() - begin_ns) / 1e9 / DECODED
    for sequence in range(sequences):
        engine.forget(sequence)
    return took_s


def _answers(
    engine: Engine, scenario: Scenario, costs: Costs
) -> tuple[list[tuple[str, Done]], str]:
    """The scenario's questions, asked one at a time; prompt text and answer of each, and whether
    drafts paid."""
    workload = scenario.workload
    batcher = Batcher(engine, prefixes=Prefixes(None, ""), clock_ns=monotonic_ns, costs=costs)
    texts = [workload.questions[n % len(workload.questions)].text for n in range(ASKED)]
    found: dict[int, Done | Refused] = {}
    begin_ns = monotonic_ns()
    for n, text in enumerate(texts):
        request = Request(n, text, workload.system, workload.max_tokens, GREEDY, thinking=False)
        found |= answer_all(batcher, [request])
    took_ns = monotonic_ns() - begin_ns
    answers = [
        (workload.system + texts[n], done) for n, done in found.items() if isinstance(done, Done)
    ]
    if not answers:
        raise BadInput(str(scenario.name), "workload", "questions that fit the context", "none")
    share = batcher.draft_gain_ns / took_ns
    if batcher.drafting and share > 0:
        return answers, f"drafts pay here: {share:.0%} of the time of {ASKED} answers saved"
    return answers, f"drafts do not pay here: switched off after {-share:.1%} of the time was lost"


def _template_tokens(engine: Engine) -> int:
    return len(engine.tokens_of(prompt(text="", system="", thinking=False)))


def _handling_ms(path: Path, threads: int, context: int) -> tuple[float, float]:
    """What the node adds to the engine's work in a live loop, ms, medians: from a question on disk
    to the engine's beginning, and from something that must be on disk to what follows it."""
    direction = {"rate_bps": 10_000_000, "one_way_delay_ms": 1}
    scenario = check_scenario(
        {
            "link": {"uplink": direction, "downlink": direction},
            "workload": {
                "questions": ["Well?"],
                "count": ASKED,
                "rate_per_min": 60,
                "max_tokens": 1,
                "max_outstanding": 1,
            },
            "node": {"model": str(path), "threads": threads, "context": context},
        },
        "bench node",
    )
    with tempfile.TemporaryDirectory(dir=".") as name:
        folder = Path(name)
        (folder / "scenario.toml").write_text(to_toml(scenario))
        asked = asyncio.run(run_live(scenario, 1, folder, Screen(quiet=True), asyncio.Event()))
        records = split_by_log(asked.records, list(read_log(folder / "frames.jsonl")))
    phases = [record.phases_ns for record in records if record.answered]
    waiting = statistics.median(found["onboard_queue"] for found in phases) / 1e6
    store = statistics.median(found["downlink_wait"] for found in phases) / 1e6
    return max(0.0, waiting - store), store


def _rss_mb() -> float:
    return psutil.Process().memory_info().rss / 1e6


def _machine() -> str:
    return f"{platform.machine()}, {platform.system()} {platform.release()}"


def _table(profile: Profile) -> dict[str, object]:
    """As it is written: TOML's keys are text."""
    table = profile.model_dump(exclude_defaults=True)
    return {
        key: {str(k): v for k, v in value.items()} if isinstance(value, dict) else value
        for key, value in table.items()
    }


def _show(profile: Profile, console: Screen) -> None:
    table = Table(box=None, pad_edge=False)
    for column in ("what", "at", "tok/s"):
        table.add_column(column, justify="left" if column == "what" else "right")
    for what, figures, unit in (
        ("prompt read", profile.prefill_tok_s, "tokens"),
        ("answer written", profile.decode_tok_s, "tokens of context"),
        ("answers written together", profile.batch_tok_s, "at once"),
    ):
        rows: Iterable[tuple[int, float]] = figures.items() if isinstance(figures, dict) else ()
        for size, figure in rows:
            table.add_row(what, f"{size} {unit}", f"{figure:,.4g}")
    console.print(
        f"{shown(profile.model)} {shown(profile.quantization)}, "
        f"{count(profile.threads, 'thread')}\n{shown(profile.measured_on)}\n"
    )
    console.print(table)
    console.print(
        f"\nan order reaches the engine in {profile.start_ms} ms; a message is on disk and "
        f"handed on in {profile.store_ms} ms;\nhalf of the answers have at most "
        f"{count(profile.answer_tokens[len(profile.answer_tokens) // 2], 'token')}; "
        f"shipped profiles: {', '.join(sorted(p.stem for p in PROFILES.glob('*.toml')))}"
    )
