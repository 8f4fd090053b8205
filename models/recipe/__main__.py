"""`python -m models.recipe`: makes the builtin from nothing, in one command.

Tokenizer, training (an hour and a half on 2 cores; goes on from a checkpoint), export,
quantization, grading, record and card. Only what is not there yet in the work folder is done.
"""

from __future__ import annotations

import gzip
import json
import random
import time
from pathlib import Path

import click
import torch
from tokenizers import Tokenizer
from tokenizers import __version__ as tokenizers_version

from models.gguf.inspect import sha256
from models.gguf.quantize import quantize
from models.recipe.batches import FRAMES_PER_BATCH, LENGTH
from models.recipe.card import card
from models.recipe.export import export
from models.recipe.network import Qwen3, Size
from models.recipe.start import tokenizer_of, weights_of
from models.recipe.tokens import train_tokenizer
from models.recipe.train import SEED, STEPS, train
from models.triage.evaluate import Accuracy
from models.triage.questions import HELD_OUT_SEED, held_out, held_out_hard
from models.triage.talks import held_out_talks

BUILTIN = Path(__file__).parent.parent / "builtin"
SHIPPED = "Q8_0"
ALSO = ("Q6_K", "Q4_K_M")
GRADED = 2000
SPEED_QUESTIONS = 200
TOKEN_TEXTS = 1000


@click.command()
@click.option(
    "--work",
    type=click.Path(path_type=Path),
    default=Path("runs/recipe"),
    show_default=True,
    help="Where the checkpoint and the files in between are.",
)
@click.option("--steps", default=STEPS, show_default=True, help="Fewer only to try it out.")
@click.option("--graded", default=GRADED, show_default=True, help="Questions of each set.")
@click.option(
    "--start",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A builtin to begin with, instead of nothing; fewer --steps will do.",
)
@click.option(
    "--mean",
    is_flag=True,
    help="With --start: the mean of its weights and those that came of it, which forgets less.",
)
@click.option(
    "--into",
    type=click.Path(path_type=Path),
    default=BUILTIN,
    show_default=True,
    help="Where the model and its record go.",
)
def main(work: Path, steps: int, graded: int, start: Path | None, mean: bool, into: Path) -> None:
    """Make the builtin."""
    if mean and start is None:
        raise click.UsageError("--mean needs --start")
    work.mkdir(parents=True, exist_ok=True)
    into.mkdir(parents=True, exist_ok=True)
    tokenizer = _tokenizer(work / "tokenizer.json") if start is None else tokenizer_of(start)
    train(tokenizer, work, steps, start)
    state = torch.load(work / "checkpoint.pt")
    network = Qwen3(Size(vocabulary=tokenizer.get_vocab_size()))
    trained = state["network"]
    if mean and start is not None:
        trained |= {name: (trained[name] + w) / 2 for name, w in weights_of(start).items()}
    network.load_state_dict(trained)
    full = work / "triage-F16.gguf"
    full.unlink(missing_ok=True)
    export(network, tokenizer, full)
    files = {"F16": full}
    for quantization in (SHIPPED, *ALSO):
        files[quantization] = work / f"triage-{quantization}.gguf"
        quantize(full, files[quantization], quantization)
    accuracy = {name: _grade(path, graded) for name, path in files.items()}
    target = into / f"triage-{SHIPPED}.gguf"
    target.write_bytes(files[SHIPPED].read_bytes())
    prefill_tok_s, decode_tok_s = _speed(target)
    record = {
        "file": target.name,
        "bytes": target.stat().st_size,
        "sha256": sha256(target),
        "quantization": SHIPPED,
        "parameters": sum(
            p.numel() for name, p in network.named_parameters() if not name.startswith("watch.")
        ),
        "steps": steps,
        "tokens": steps * FRAMES_PER_BATCH * LENGTH,
        "minutes": round(state["seconds"] / 60),
        "cores": state["cores"],
        "seed": SEED,
        "began_with": None if start is None else sha256(start),
        "mean_with_that": mean,
        "held_out_seeds": [HELD_OUT_SEED, 2 * HELD_OUT_SEED, 3 * HELD_OUT_SEED],
        "graded_per_set": graded,
        "versions": {"torch": torch.__version__, "tokenizers": tokenizers_version},
        "files": {name: path.stat().st_size for name, path in files.items()},
        "prefill_tok_s": prefill_tok_s,
        "decode_tok_s": decode_tok_s,
        "accuracy": accuracy,
    }
    (into / "record.json").write_text(json.dumps(record, indent=2) + "\n")
    (into / "CARD.md").write_text(card(record))
    _write_tokens(tokenizer, into / "tokens.json.gz")


def _tokenizer(path: Path) -> Tokenizer:
    if not path.exists():
        train_tokenizer().save(str(path))
    return Tokenizer.from_file(str(path))


def _grade(path: Path, count: int) -> dict[str, dict[str, list[int]]]:
    """Right and asked by type, on both sets."""
    from testbed.commands.evaluation import answers_of, graded, graded_talks

    engine = answers_of(path, 1)

    def plain(found: list[Accuracy]) -> dict[str, list[int]]:
        return {accuracy.type: [accuracy.right, accuracy.asked] for accuracy in found}

    return {
        "held out": plain(graded(engine, held_out(count))),
        "held out, hard": plain(graded(engine, held_out_hard(count))),
        "tools": plain(graded_talks(engine, held_out_talks(count))),
    }


def _speed(path: Path) -> tuple[int, int]:
    """Prefill and decode, in tokens/s on one thread, over held-out questions."""
    from node.engine.requests import Done, FirstToken
    from testbed.commands.evaluation import answers_of, asked

    engine = answers_of(path, 1)
    prompt_tokens = output_tokens = 0
    prefill_s = decode_s = 0.0
    for question in held_out(SPEED_QUESTIONS):
        engine.add(asked(question))
        begin = first = time.perf_counter()
        while engine.busy:
            for event in [*engine.admit(), *engine.step()]:
                if isinstance(event, FirstToken):
                    first = time.perf_counter()
                elif isinstance(event, Done):
                    prompt_tokens += event.prompt_tokens - event.cached_tokens
                    output_tokens += event.output_tokens
        prefill_s += first - begin
        decode_s += time.perf_counter() - first
    return round(prompt_tokens / prefill_s), round(output_tokens / decode_s)


def _write_tokens(tokenizer: Tokenizer, path: Path) -> None:
    """Texts with the trainer's tokens, to hold llama.cpp's tokenizer against."""
    rng = random.Random(SEED)
    texts = [question.prompt for question in held_out_hard(TOKEN_TEXTS - 200)]
    texts += ["".join(chr(rng.randint(32, 0x2FF)) for _ in range(40)) for _ in range(200)]
    rows = [[text, tokenizer.encode(text, add_special_tokens=False).ids] for text in texts]
    path.write_bytes(gzip.compress(json.dumps(rows).encode(), mtime=0))


if __name__ == "__main__":
    main()
