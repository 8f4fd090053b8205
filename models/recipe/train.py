"""Training: a fixed number of steps, Muon for the matrices, AdamW for the rest, checkpoints to go
on from."""

from __future__ import annotations

import time
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional

from models.recipe.batches import IGNORED, Batches
from models.recipe.network import Qwen3, Size
from models.recipe.start import weights_of

SEED = 20261123
STEPS = 3000
WARMUP = 80
DECAY_FROM = 0.45
"""The learning rate falls linearly to nothing from this share of the steps on."""
MUON_RATE = 0.02
ADAM_RATE = 2e-3
WATCH_WEIGHT = 0.5
"""Of the loss on comparisons half-way up, see `network.py`."""
CHECKPOINT_STEPS = 100
GENTLER = 0.5
"""Of the rates, where training begins with a builtin."""


class Muon(torch.optim.Optimizer):
    """Momentum whose update is orthogonalised by five Newton-Schulz steps (Jordan et al., 2024)."""

    def __init__(self, params: list[nn.Parameter], lr: float, momentum: float = 0.95) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        """One update."""
        for group in self.param_groups:
            for p in group["params"]:
                buffer = self.state[p].setdefault("momentum", torch.zeros_like(p))
                buffer.mul_(group["momentum"]).add_(p.grad)
                update = orthogonal(p.grad.add(buffer, alpha=group["momentum"]))
                p.add_(update, alpha=-group["lr"] * max(1, p.shape[0] / p.shape[1]) ** 0.5)


def orthogonal(g: Tensor) -> Tensor:
    """The nearest half-orthogonal matrix, roughly."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = g / (g.norm() + 1e-7)
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    for _ in range(5):
        s = x @ x.T
        x = a * x + (b * s + c * s @ s) @ x
    return x.T if tall else x


def rate_at(step: int, steps: int) -> float:
    """Share of the full learning rate."""
    rise = min(1.0, (step + 1) / WARMUP)
    left = (steps - step) / (steps * (1 - DECAY_FROM))
    return min(rise, left)


def train(
    tokenizer: Tokenizer, folder: Path, steps: int = STEPS, start: Path | None = None
) -> Qwen3:
    """Train, or go on from the folder's checkpoint.

    Args:
        tokenizer: see `tokens.py`.
        folder: of checkpoint and log.
        steps: in all; the schedule depends on it.
        start: a builtin to begin with, at gentler rates; None: from nothing.
    """
    torch.manual_seed(SEED)
    network = Qwen3(Size(vocabulary=tokenizer.get_vocab_size()))
    gentler = 1.0
    if start is not None:
        network.load_state_dict(weights_of(start), strict=False)
        gentler = GENTLER
    matrices = [p for p in network.layers.parameters() if p.dim() == 2]
    chosen = {id(p) for p in matrices}
    others = [p for p in network.parameters() if id(p) not in chosen]
    optimizers = [
        Muon(matrices, MUON_RATE),
        torch.optim.AdamW(others, lr=ADAM_RATE, betas=(0.9, 0.95), weight_decay=0.0),
    ]
    full = [MUON_RATE * gentler, ADAM_RATE * gentler]
    checkpoint = folder / "checkpoint.pt"
    begin, spent_s = 0, 0.0
    if checkpoint.exists():
        state = torch.load(checkpoint)
        begin, spent_s = state["step"], state["seconds"]
        network.load_state_dict(state["network"])
        for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
    batches = Batches(tokenizer, SEED)
    run = torch.compile(network, dynamic=False)
    clock, tokens_done = time.monotonic(), 0
    with (folder / "train.log").open("a") as log:
        for step in range(begin, steps):
            batch = batches.batch(step)
            targets = batch.targets
            with torch.autocast("cpu", dtype=torch.bfloat16):
                logits, sides = run(
                    batch.tokens, batch.positions, batch.mask, batch.wanted, batch.watched
                )
            loss = functional.cross_entropy(logits.float(), targets, ignore_index=IGNORED)
            watched = functional.cross_entropy(sides.float(), batch.sides, ignore_index=IGNORED)
            (loss + WATCH_WEIGHT * watched).backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            for optimizer, rate in zip(optimizers, full, strict=True):
                for group in optimizer.param_groups:
                    group["lr"] = rate * rate_at(step, steps)
                optimizer.step()
                optimizer.zero_grad()
            tokens_done += batch.tokens.numel()
            if step % 20 == 19:
                answers = targets != IGNORED
                hits = (logits.argmax(-1) == targets)[answers]
                right = hits.float().mean().item()
                rate = tokens_done / (time.monotonic() - clock)
                print(
                    f"{step + 1} {loss.item():.5f} {right:.5f} {watched.item():.4f} {rate:.0f}",
                    file=log,
                    flush=True,
                )
            if (step + 1) % CHECKPOINT_STEPS == 0 or step + 1 == steps:
                saved = [optimizer.state_dict() for optimizer in optimizers]
                state = {
                    "step": step + 1,
                    "seconds": spent_s + time.monotonic() - clock,
                    "cores": torch.get_num_threads(),
                    "network": network.state_dict(),
                    "optimizers": saved,
                }
                torch.save(state, checkpoint.with_suffix(".new"))
                checkpoint.with_suffix(".new").replace(checkpoint)
    return network
