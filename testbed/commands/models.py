"""The `models` commands: make, describe, size and quantize GGUF files.

Errors of the project's own tree pass through; the command line above turns them into one line.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from models.gguf.advice import options
from models.gguf.architecture import SHAPES
from models.gguf.fit import KV_BYTES_PER_32, Fit, fit
from models.gguf.inspect import ModelInfo, inspect, require_qwen3, sha256
from models.gguf.quantize import QUANTIZATIONS, quantize
from models.resolve import DEFAULT_QUANTIZATION, resolve, synth_path
from roundtrip.errors import EXIT_OBJECTIVE_MISSED, EXIT_OK, BadModel
from roundtrip.say import say, say_json
from roundtrip.screen import Screen
from roundtrip.words import count, shown
from testbed.commands.deferred import Deferred
from testbed.commands.sizes import parse_size

if TYPE_CHECKING:
    from models.gguf.synth import Progress as OnProgress

_FILE = click.Path(path_type=Path)


COMMANDS = (
    Deferred(
        "eval",
        "testbed.commands.evaluation:eval_command",
        "Grade MODEL on telemetry triage: exact answers on three held-out sets.",
    ),
    Deferred(
        "list",
        "testbed.commands.hub:list_command",
        "List the builtin, what is in the cache, and the catalogue.",
    ),
    Deferred(
        "pull",
        "testbed.commands.hub:pull_command",
        "Fetch NAME from the catalogue, and verify its size and sha256.",
    ),
    Deferred(
        "questions",
        "testbed.commands.evaluation:questions_command",
        "Print triage questions with their right answers, for `workload.questions_file`.",
    ),
)


@click.group("models", commands=COMMANDS)
def models() -> None:
    """Make, describe, size, quantize and grade GGUF files."""


@models.command("synth")
@click.option("--shape", type=click.Choice(list(SHAPES), case_sensitive=False), default="tiny")
@click.option(
    "--quant",
    type=click.Choice(list(QUANTIZATIONS), case_sensitive=False),
    help="Q4_K_M if not given; Q8_0 for tiny.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--out", type=_FILE, help="Where to; in the cache if not given.")
def synth_command(shape: str, quant: str | None, seed: int, out: Path | None) -> None:
    """Make a Qwen3 with random weights: its answers are noise, its speed is real.

    Example: groundloop models synth --shape qwen3-0.6b --quant Q4_K_M
    """
    from models.gguf.synth import synth

    quantization = quant or DEFAULT_QUANTIZATION.get(shape, "Q4_K_M")
    target = out or synth_path(shape, quantization, seed)
    with _progress() as bar:
        made = synth(shape, quantization, target, seed=seed, progress=_shown_on(bar, "weights"))
    say(f"{made.path}  {_size(made.size_bytes)}")


@models.command("inspect")
@click.argument("file")
@click.option("--context", type=click.IntRange(min=1), default=2048, show_default=True)
@click.option("--kv-type", type=click.Choice(list(KV_BYTES_PER_32)), default="f16")
@click.option("--sha256", "with_sha256", is_flag=True, help="Read the whole file for its checksum.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def inspect_command(
    file: str, context: int, kv_type: str, with_sha256: bool, as_json: bool
) -> None:
    """Describe FILE, a GGUF or a known name, and the memory it needs.

    Example: groundloop models inspect builtin
    """
    info = inspect(resolve(file))
    needed = fit(info, context, kv_type=kv_type)
    checksum = sha256(info.path) if with_sha256 else None
    refusal = _refusal(info)
    if as_json:
        say_json(_as_json(info, needed, checksum, refusal))
        return
    console = Screen()
    console.print(_table(info, checksum, refusal))
    console.print(_fit_table(needed, context))


@models.command("verify")
@click.argument("file")
@click.option("--sha256", "expected", help="What it should be; the builtin's is known.")
@click.option("--tensors", is_flag=True, help="Print the checksum of each tensor.")
def verify_command(file: str, expected: str | None, tensors: bool) -> None:
    """Check FILE: checksum, structure, and no NaN or infinity in norms and scales.

    Example: groundloop models verify model.gguf
    """
    from models.gguf.verify import tensor_checksums, verify

    path = resolve(file)
    found = verify(path, expected)
    if tensors:
        for name, checksum in tensor_checksums(path):
            say(f"{checksum}  {name}")
    known = "as it should be" if found.expected_sha256 else "nothing to hold it against"
    say(f"sha256     {found.sha256}  ({known})")
    say(f"structure  {count(found.tensors, 'tensor')} inside the file; norms and scales finite")


@models.command("fit")
@click.argument("file")
@click.option("--memory", required=True, help="The limit: 1024M, 1G, 800MB.")
@click.option("--context", type=click.IntRange(min=1), default=2048, show_default=True)
@click.option(
    "--kv",
    "kv_type",
    type=click.Choice(list(KV_BYTES_PER_32)),
    default="f16",
    show_default=True,
    help="Type of the KV cache.",
)
def fit_command(file: str, memory: str, context: int, kv_type: str) -> int:
    """Does FILE fit into the memory, and if not, what would?

    Exit code 0 when it fits, 99 when it does not.

    Example: groundloop models fit builtin --memory 1024M --context 4096
    """
    limit_bytes = parse_size(memory, "--memory")
    info = inspect(resolve(file))
    require_qwen3(info)
    needed = fit(info, context, kv_type=kv_type)
    console = Screen()
    console.print(_fit_table(needed, context))
    fits = needed.total_bytes <= limit_bytes
    verdict = "fits" if fits else "does not fit"
    console.print(
        f"{shown(info.path.name)} {verdict} into {_size(limit_bytes)}: "
        f"needs {_size(needed.total_bytes)}",
        soft_wrap=True,
    )
    if fits:
        return EXIT_OK
    ways = list(options(info, context, kv_type, limit_bytes))
    for way in ways:
        console.print(f"would fit: {way.what}, {_size(way.total_bytes)}")
    if not ways:
        console.print("nothing would make it fit; take a smaller model")
    return EXIT_OBJECTIVE_MISSED


@models.command("quantize")
@click.argument("source", type=_FILE)
@click.argument("target", type=_FILE)
@click.option(
    "--type",
    "quantization",
    required=True,
    type=click.Choice(list(QUANTIZATIONS), case_sensitive=False),
)
@click.option("--verbose", is_flag=True, help="Show llama.cpp's log.")
def quantize_command(source: Path, target: Path, quantization: str, verbose: bool) -> None:
    """Quantize SOURCE, an F32, F16 or BF16 GGUF, into TARGET.

    Example: groundloop models quantize model-f16.gguf model-q4.gguf --type Q4_K_M
    """
    done = quantize(source, target, quantization, verbose=verbose)
    say(f"{done.path}  {done.type}  {_size(done.source_bytes)} -> {_size(done.target_bytes)}")


def _refusal(info: ModelInfo) -> str | None:
    try:
        require_qwen3(info)
    except BadModel as error:
        return f"{error.key}: expected {error.expected}, found {error.found}"
    return None


def _facts(info: ModelInfo) -> dict[str, str | int]:
    return {
        "architecture": info.architecture,
        "name": info.name,
        "quantization": info.quantization,
        "parameters": info.parameters,
        "layers": info.layers,
        "hidden": info.hidden,
        "ffn": info.ffn,
        "heads": info.heads,
        "kv_heads": info.kv_heads,
        "head_dim": info.head_dim,
        "context_length": info.context_length,
        "vocabulary": info.vocabulary,
        "tokenizer": info.tokenizer,
        "weights_bytes": info.weights_bytes,
        "kv_bytes_per_token": info.kv_bytes_per_token,
        "file_bytes": info.file_bytes,
    }


def _as_json(
    info: ModelInfo, needed: Fit, checksum: str | None, refusal: str | None
) -> dict[str, object]:
    return {
        "path": str(info.path),
        **_facts(info),
        "sha256": checksum,
        "runs_here": refusal is None,
        "refusal": refusal,
        "memory": {
            "weights_bytes": needed.weights_bytes,
            "kv_bytes": needed.kv_bytes,
            "compute_bytes": needed.compute_bytes,
            "process_bytes": needed.process_bytes,
            "total_bytes": needed.total_bytes,
            "peak_resident_bytes": needed.peak_resident_bytes,
        },
    }


def _table(info: ModelInfo, checksum: str | None, refusal: str | None) -> Table:
    table = Table(title=shown(info.path), show_header=False)
    for name, value in _facts(info).items():
        if name.endswith("_bytes"):
            text = _size(int(value))
        else:
            text = f"{value:,}" if isinstance(value, int) else shown(value)
        table.add_row(name, text)
    if checksum:
        table.add_row("sha256", checksum)
    table.add_row("runs on the node", "yes" if refusal is None else f"no: {shown(refusal)}")
    return table


def _fit_table(needed: Fit, context: int) -> Table:
    table = Table(title=f"memory for {count(context, 'token')} of context", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    table.add_row("weights", _size(needed.weights_bytes))
    table.add_row("KV cache", _size(needed.kv_bytes))
    table.add_row("compute", _size(needed.compute_bytes))
    table.add_row("process and vocabulary", _size(needed.process_bytes))
    table.add_row("needed", _size(needed.total_bytes), style="bold")
    table.add_row("resident where memory is plenty", _size(needed.peak_resident_bytes))
    return table


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:,.1f} MB"


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TimeElapsedColumn(),
        console=Screen(stderr=True),
        transient=True,
    )


def _shown_on(bar: Progress, label: str) -> OnProgress:
    task = bar.add_task(label, total=None)
    return lambda done, total: bar.update(task, completed=done, total=total)
