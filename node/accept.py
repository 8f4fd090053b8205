"""Whether a node can run the model it is given, before the engine has it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import psutil

from models.cache import cache_dir
from models.fit import Fit, fit
from models.inspect import ModelInfo, inspect, require_qwen3
from models.resolve import resolve
from node.cgroup import usable_cpus
from node.engine_wire import Load
from node.limits import Limits, limits_of, with_profile
from node.service_time import load_profile
from roundtrip.config import NodeConfig
from roundtrip.errors import BadConfig, BadModel
from roundtrip.message import MAX_TEXT_BYTES
from roundtrip.units import s_to_ns

MAX_SEQUENCES = 8
"""Questions at once where the scenario does not say how many."""


@dataclass(frozen=True, slots=True)
class AcceptedModel:
    """A model that the node can run, and what it may use."""

    info: ModelInfo
    path: Path
    sequences: int
    """Questions at once."""
    threads: int
    """0: the engine measures."""
    document: str
    limits: Limits


def accept_model(config: NodeConfig) -> AcceptedModel:
    """Check the model of a node before anything is started for it.

    Raises:
        BadModel: it is missing, damaged, not a Qwen3, or does not fit the memory.
        BadConfig: there is no such profile or document.
    """
    limits = load_profile(config.profile).limits
    if limits.threads > len(usable_cpus()):
        limits = limits.model_copy(update={"threads": 0})  # this machine has no such number
    config = with_profile(config, limits)
    path = resolve(config.model)
    info = inspect(path)
    require_qwen3(info)
    if config.memory_mb:
        _must_fit(fit(info, config.context, kv_type=config.kv), path, config.memory_mb)
    return AcceptedModel(
        info,
        path,
        _sequences(config, info),
        config.threads,
        _document(config.document),
        limits_of(config),
    )


def load_of(config: NodeConfig, model: AcceptedModel) -> Load:
    """What the engine is told."""
    return Load(
        str(model.path),
        config.context,
        model.sequences,
        model.threads,
        config.kv,
        config.lock,
        config.speculate,
        str(cache_dir() / "engine"),
        model.document,
        max_threads=math.ceil(config.cpu_cores),
        tell_ns=s_to_ns(config.part_s),
    )


def _sequences(config: NodeConfig, info: ModelInfo) -> int:
    """How many questions at once the memory allows, unless the scenario says how many."""
    if config.sequences:
        return config.sequences
    limit_bytes = config.memory_mb * 1_000_000 or psutil.virtual_memory().available // 2
    for sequences in range(MAX_SEQUENCES, 1, -1):
        needed = fit(info, config.context * sequences, kv_type=config.kv)
        if needed.total_bytes <= limit_bytes:
            return sequences
    return 1


def _must_fit(needed: Fit, path: Path, memory_mb: int) -> None:
    if needed.total_bytes > memory_mb * 1_000_000:
        raise BadModel(
            str(path),
            "node.memory_mb",
            f"at least {needed.total_bytes / 1e6:.0f} MB "
            f"(weights {needed.weights_bytes / 1e6:.0f}, "
            f"KV cache {needed.kv_bytes / 1e6:.0f}, compute {needed.compute_bytes / 1e6:.0f}, "
            f"process {needed.process_bytes / 1e6:.0f})",
            f"{memory_mb} MB; take a smaller model, quantization or context",
        )


def _document(name: str) -> str:
    if not name:
        return ""
    try:
        text = Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadConfig(name, "node.document", "a readable text file", str(error)) from None
    if len(text.encode()) > MAX_TEXT_BYTES:
        raise BadConfig(name, "node.document", f"at most {MAX_TEXT_BYTES} bytes", "more")
    return text
