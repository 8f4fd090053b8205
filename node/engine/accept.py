"""Whether a node can run the model it is given, before the engine has it."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from models.cache import cache_dir
from models.gguf.adapter import require_adapter
from models.gguf.fit import Fit, fit
from models.gguf.inspect import ModelInfo, inspect, require_qwen3
from models.resolve import resolve
from node.body.cgroup import usable_cpus
from node.body.limits import Limits, limits_of, with_profile
from node.engine.wire import Load
from node.service_time import load_profile
from roundtrip.errors import BadConfig, BadModel
from roundtrip.files import read_text
from roundtrip.message import MAX_TEXT_BYTES
from roundtrip.node_config import LLAMA, NodeConfig
from roundtrip.units import s_to_ns

MAX_SEQUENCES = 8
"""Questions at once where the scenario does not say how many."""


@dataclass(frozen=True, slots=True)
class AcceptedModel:
    """A model that the node can run, and what it may use."""

    title: str
    """What it calls itself; empty where a server is yet to say so."""
    quantization: str
    path: str
    """Its file; or by which name a server has it."""
    sequences: int
    """Questions at once."""
    threads: int
    """0: the engine measures."""
    document: str
    limits: Limits
    draft: str
    """The file of the model that drafts; empty for none."""
    adapter: str = ""
    """The file of its LoRA adapter; empty for none."""
    system: str = ""
    """The system prompt of questions that bring none."""
    sha256: str = ""
    """Of its file, and the adapter's after it, in hex; empty where a server has it."""


def accept_model(config: NodeConfig) -> AcceptedModel:
    """Check the model of a node before anything is started for it.

    Raises:
        BadModel: it is missing, damaged, not a Qwen3, or does not fit the memory.
        BadConfig: there is no such profile, prompt or document.
    """
    limits = load_profile(config.profile).limits
    if limits.threads > len(usable_cpus()):
        limits = limits.model_copy(update={"threads": 0})  # this machine has no such number
    config = with_profile(config, limits)
    if config.engine != LLAMA:
        return _served(config)
    path = resolve(config.model)
    info = inspect(path)
    require_qwen3(info)
    draft = resolve(config.draft) if config.draft else None
    adapter = resolve(config.adapter) if config.adapter else None
    changes = None if adapter is None else inspect(adapter)
    if changes is not None:
        require_adapter(changes, info)
    both = [info]
    if draft is not None:
        both.append(inspect(draft))
        require_qwen3(both[1])
    if config.memory_mb:
        needed = [fit(one, config.context, kv_type=config.kv) for one in both]
        _must_fit(needed, path, config, 0 if changes is None else changes.weights_bytes)
    return AcceptedModel(
        _title(info, changes),
        info.quantization,
        str(path),
        _sequences(config, both),
        config.threads,
        _text(config.document, "document"),
        limits_of(config),
        str(draft or ""),
        str(adapter or ""),
        _text(config.system, "system"),
        _sha256([path] if adapter is None else [path, adapter]),
    )


def _title(info: ModelInfo, adapter: ModelInfo | None) -> str:
    title = info.name or info.path.stem
    return title if adapter is None else f"{title} + {adapter.name or adapter.path.stem}"


def _sha256(paths: Sequence[Path]) -> str:
    whole = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while piece := file.read(1 << 20):
                whole.update(piece)
    return whole.hexdigest()


def _served(config: NodeConfig) -> AcceptedModel:
    """A model that a server has: what it needs is the server's to know."""
    if config.radiation is not None:
        raise BadConfig("node", "radiation", "none: a server's memory is its own", "one")
    if config.adapter:
        raise BadConfig("node", "adapter", "none: a server has adapters of its own", "one")
    document, system = _text(config.document, "document"), _text(config.system, "system")
    return AcceptedModel(
        "", "", config.model, config.sequences or 1, 0, document, Limits(), "", system=system
    )


def found(config: NodeConfig, model: str) -> NodeConfig:
    """With another model, by its file where it has one here.

    Raises:
        BadModel: there is none of this name.
    """
    path = str(resolve(model).resolve()) if config.engine == LLAMA else model
    return config.model_copy(update={"model": path})


def load_of(config: NodeConfig, model: AcceptedModel) -> Load:
    """What the engine is told."""
    radiation = config.radiation
    return Load(
        model.path,
        config.context,
        model.sequences,
        model.threads,
        config.kv,
        config.lock,
        config.speculate,
        str(cache_dir() / "engine"),
        model.document,
        system=model.system,
        adapter=model.adapter,
        max_threads=math.ceil(config.cpu_cores),
        draft=model.draft,
        fixed_width=config.sequences > 0,
        tell_ns=s_to_ns(config.part_s),
        private=radiation is not None,
        scrub=radiation is not None and radiation.scrub,
        probe_ns=s_to_ns(radiation.probe_s) if radiation is not None else 0,
        flips_per_bit_day=radiation.rate if radiation is not None else 0.0,
        flips_seed=radiation.seed if radiation is not None else 0,
        url=config.engine if config.engine != LLAMA else "",
    )


def _sequences(config: NodeConfig, models: Sequence[ModelInfo]) -> int:
    """How many questions at once the memory allows, unless the scenario says how many."""
    if config.sequences:
        return config.sequences
    limit_bytes = config.memory_mb * 1_000_000 or psutil.virtual_memory().available // 2
    for sequences in range(MAX_SEQUENCES, 1, -1):
        needed = [fit(one, config.context * sequences, kv_type=config.kv) for one in models]
        if _total_bytes(needed) <= limit_bytes:
            return sequences
    return 1


def _total_bytes(needed: Sequence[Fit]) -> int:
    """Of models in one process."""
    return sum(one.total_bytes for one in needed) - sum(one.process_bytes for one in needed[1:])


def _must_fit(needed: Sequence[Fit], path: Path, config: NodeConfig, adapter_bytes: int) -> None:
    total_bytes = _total_bytes(needed) + adapter_bytes
    if total_bytes > config.memory_mb * 1_000_000:
        weights, kv, compute = (
            sum(getattr(one, part) for one in needed) / 1e6
            for part in ("weights_bytes", "kv_bytes", "compute_bytes")
        )
        weights += adapter_bytes / 1e6
        drafts = f" and {config.draft}" if config.draft else ""
        raise BadModel(
            f"{path}{drafts}",
            "node.memory_mb",
            f"at least {total_bytes / 1e6:.0f} MB (weights {weights:.0f}, KV cache {kv:.0f}, "
            f"compute {compute:.0f}, process {needed[0].process_bytes / 1e6:.0f})",
            f"{config.memory_mb} MB; take a smaller model, quantization or context",
        )


def _text(name: str, key: str) -> str:
    if not name:
        return ""
    return read_text(Path(name), f"a node.{key}", limit_bytes=MAX_TEXT_BYTES)
