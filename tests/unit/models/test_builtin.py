"""The shipped model is the one that its record names, and as good as its card says."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from models.gguf.inspect import inspect, require_qwen3, sha256
from models.resolve import resolve
from models.triage.evaluate import evaluate
from models.triage.questions import held_out, held_out_hard
from models.triage.talks import held_out_talks
from node.engine.batching import Batcher, answer_all
from node.engine.llama import Engine, EngineSettings
from node.engine.prefixes import Prefixes
from node.engine.requests import Request
from roundtrip.drive.clock import monotonic_ns
from roundtrip.message import GREEDY
from testbed.commands.evaluation import answers_of, graded_talks

BUILTIN = Path(__file__).parents[3] / "models" / "builtin"
RECORD = json.loads((BUILTIN / "record.json").read_text())
GRADED = 120


@pytest.fixture(scope="module")
def engine() -> Engine:
    settings = EngineSettings(1024, 1, sequences=8, flash=False, use_extra_bufts=False)
    return Engine(str(resolve("builtin")), settings)


def test_the_file_is_the_one_of_the_record() -> None:
    path = resolve("builtin")
    assert path == BUILTIN / RECORD["file"]
    assert path.stat().st_size == RECORD["bytes"] <= 6_000_000
    assert sha256(path) == RECORD["sha256"]


def test_it_is_a_qwen3() -> None:
    info = inspect(resolve("builtin"))
    require_qwen3(info)
    assert info.architecture == "qwen3"
    assert info.quantization == RECORD["quantization"]


def test_llama_cpps_tokens_equal_the_trainers(engine: Engine) -> None:
    rows = json.loads(gzip.decompress((BUILTIN / "tokens.json.gz").read_bytes()))
    assert len(rows) == 1000
    for text, ids in rows:
        assert engine._tokenised(text, special=False) == ids


def test_it_calls_tools_as_well_as_the_record_says() -> None:
    right, asked = RECORD["accuracy"][RECORD["quantization"]]["tools"]["all"]
    found = graded_talks(answers_of(resolve("builtin"), 1), held_out_talks(GRADED))
    assert found[-1].share >= right / asked - 0.04


@pytest.mark.parametrize(
    ("questions", "least"),
    [(held_out, RECORD["accuracy"][RECORD["quantization"]]["held out"]["all"]),
     (held_out_hard, RECORD["accuracy"][RECORD["quantization"]]["held out, hard"]["all"])],
    ids=["held out", "hard"],
)  # fmt: skip
def test_it_answers_a_sample_as_well_as_the_record_says(engine: Engine, questions, least) -> None:
    batcher = Batcher(engine, prefixes=Prefixes(None, ""), clock_ns=monotonic_ns)
    asked_of = list(questions(GRADED))
    found = answer_all(
        batcher,
        [
            Request(number, question.prompt, question.system, 200, GREEDY, thinking=False)
            for number, question in enumerate(asked_of)
        ],
    )
    said = iter(found[number].text for number in range(GRADED))
    whole = evaluate(asked_of, lambda _: next(said))[-1]
    right, asked = least
    assert whole.share >= right / asked - 0.025
