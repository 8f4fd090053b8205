"""`groundloop models eval`: asks a model the held-out triage questions, greedily, and grades the
answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import click
from rich.table import Table

from models.gguf.inspect import inspect, require_qwen3
from models.resolve import resolve
from models.triage.evaluate import Accuracy, evaluate
from models.triage.questions import (
    SYSTEM_PROMPT,
    Question,
    held_out,
    held_out_hard,
    on_board,
    workload,
)
from models.triage.talks import Talk, held_out_talks
from node.engine.batching import Batcher, answer_all
from node.engine.llama import Engine, EngineSettings
from node.engine.prefixes import Prefixes
from node.engine.requests import Done, Request
from roundtrip.drive.clock import monotonic_ns
from roundtrip.message import GREEDY
from roundtrip.say import say, say_json
from roundtrip.screen import Screen
from roundtrip.tools import BUILTIN, section

CONTEXT = 1024
MAX_TOKENS = 200


def answers_of(path: Path, threads: int) -> Batcher:
    """The engine to be graded, one question at a time and without speculation; without llama.cpp's
    repacked buffers too (they may crash a bad build)."""
    require_qwen3(inspect(path))
    settings = EngineSettings(CONTEXT, threads, flash=False, use_extra_bufts=False)
    engine = Engine(str(path), settings)
    return Batcher(engine, prefixes=Prefixes(None, ""), clock_ns=monotonic_ns, drafts=False)


def asked(question: Question) -> Request:
    """A triage question as the engine takes it."""
    return Request(0, question.prompt, question.system, MAX_TOKENS, GREEDY, thinking=False)


def graded(
    engine: Batcher, questions: Iterable[Question], wrong: list[dict[str, str]] | None = None
) -> list[Accuracy]:
    """Accuracy by type; what was wrong is appended to `wrong`."""

    def answer(question: Question) -> str:
        found = answer_all(engine, [asked(question)])[0]
        return found.text if isinstance(found, Done) else found.reason

    return evaluate(questions, answer, _noting(wrong))


def graded_talks(
    engine: Batcher, talks: Iterable[Talk], wrong: list[dict[str, str]] | None = None
) -> list[Accuracy]:
    """Accuracy with tools by type: every call, and the answer, must be right to the letter."""
    by_text: dict[str, Talk] = {}

    def questions() -> Iterator[Question]:
        for said in talks:
            by_text[said.text] = said
            yield Question(said.type, said.system, "", said.text, said.expected)

    def answer(question: Question) -> str:
        said = by_text.pop(question.text)
        tools = section([BUILTIN[name] for name in said.tools]) if said.tools else ""
        rounds: list[tuple[str, tuple[str, ...]]] = []
        for call, response in (*said.rounds, ("", "")):
            request = Request(
                0, said.text, SYSTEM_PROMPT, MAX_TOKENS, GREEDY, thinking=False, tools=tools,
                rounds=tuple(rounds),
            )  # fmt: skip
            found = answer_all(engine, [request])[0]
            text = found.text if isinstance(found, Done) else found.reason
            if text != call:
                return text
            rounds.append((call, (response,)))
        return ""

    return evaluate(questions(), answer, _noting(wrong))


def _noting(wrong: list[dict[str, str]] | None) -> Callable[[Question, str], None]:
    def on_wrong(question: Question, said: str) -> None:
        if wrong is not None:
            fields = {"type": question.type, "prompt": question.prompt}
            wrong.append(fields | {"expected": question.expected, "answer": said})

    return on_wrong


@click.command("eval")
@click.argument("model")
@click.option(
    "--n",
    "count",
    type=click.IntRange(min=1),
    default=1000,
    show_default=True,
    help="Questions of each set.",
)
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True)
@click.option(
    "--wrong", type=click.Path(path_type=Path), help="Write the wrong answers here (JSON lines)."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def eval_command(model: str, count: int, threads: int, wrong: Path | None, as_json: bool) -> None:
    """Grade MODEL on telemetry triage: exact answers on three held-out sets.

    The first set has frames never trained on; the second shuffled channels, wordings never trained
    on, channels that are missing, no system prompt, and questions off topic; the third what tools
    answer, in wordings never trained on: each call must be right, and the answer.

    Example: groundloop models eval builtin
    """
    engine = answers_of(resolve(model), threads)
    mistakes: list[dict[str, str]] = []
    sets = {
        "held out": graded(engine, held_out(count), mistakes),
        "held out, hard": graded(engine, held_out_hard(count), mistakes),
        "tools": graded_talks(engine, held_out_talks(count), mistakes),
    }
    if wrong is not None:
        lines = [json.dumps(mistake, ensure_ascii=False) + "\n" for mistake in mistakes]
        wrong.write_text("".join(lines), encoding="utf-8")
    if as_json:
        say_json({name: [_plain(a) for a in found] for name, found in sets.items()})
        return
    for name, found in sets.items():
        _print(name, found)


@click.command("questions")
@click.option("--n", "count", type=click.IntRange(min=1), default=60, show_default=True)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--on-board", "short", is_flag=True, help="About telemetry that is on board already.")
def questions_command(count: int, seed: int, short: bool) -> None:
    """Print triage questions with their right answers, for `workload.questions_file`.

    Example: groundloop models questions --n 20 --on-board
    """
    if short:
        for posed in on_board(count, seed):
            line = {"text": posed.text}
            line |= {"rule": posed.rule} if posed.rule else {"expected": posed.answer}
            say(json.dumps(line, ensure_ascii=False))
        return
    for question in workload(count, seed):
        line = {"text": question.prompt, "expected": question.expected}
        say(json.dumps(line, ensure_ascii=False))


def _plain(accuracy: Accuracy) -> dict[str, object]:
    low, high = accuracy.interval
    return {
        "type": accuracy.type,
        "right": accuracy.right,
        "asked": accuracy.asked,
        "share": accuracy.share,
        "low": low,
        "high": high,
    }


def _print(name: str, found: list[Accuracy]) -> None:
    table = Table(title=name, title_justify="left", box=None, pad_edge=False)
    for column in ("type", "right", "asked", "share", "95 %"):
        table.add_column(column, justify="left" if column == "type" else "right")
    for accuracy in found:
        low, high = accuracy.interval
        table.add_row(
            accuracy.type,
            str(accuracy.right),
            str(accuracy.asked),
            f"{accuracy.share:.1%}",
            f"{low:.1%} to {high:.1%}",
        )
    Screen().print(table)
