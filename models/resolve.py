"""From what an operator calls a model to a file: a path, or a known name.

It must never fetch anything from a network.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from models.cache import cache_dir, made_once
from models.catalogue import load_catalogue
from models.gguf.architecture import SHAPES
from models.gguf.quantize import QUANTIZATIONS, checked_type
from models.pull import pulled
from roundtrip.errors import BadModel

if TYPE_CHECKING:
    from models.gguf.synth import Progress

SYNTH_VERSION = 2
"""Part of a made file's name: to be raised whenever `synth` gives other bytes than before."""
DEFAULT_QUANTIZATION = {"tiny": "Q8_0"}
"""Where it is not Q4_K_M."""
BUILTIN = Path(__file__).parent / "builtin"
_SEED = 0


def resolve(name_or_path: str | Path, *, progress: Progress | None = None) -> Path:
    """The file of a model, made in the cache at its first use if the name says how.

    Args:
        name_or_path: a GGUF file, `builtin`, `tiny`, `synth:SHAPE[:QUANTIZATION]`, or a name in the
            catalogue that was pulled.
        progress: told how much of the weights is made, if any are.

    Raises:
        BadModel: there is neither such a file nor such a name.
        EnvironmentFault: the cache cannot be written.
    """
    name = str(name_or_path)
    if name == "builtin":
        return builtin_path()
    if name == "tiny":
        name = "synth:tiny"
    kind, _, rest = name.partition(":")
    if kind == "synth" and not Path(name).exists():
        shape, _, quantization = rest.partition(":")
        return _synthetic(shape, quantization, progress)
    path = Path(name_or_path).expanduser()
    if not path.exists() and (entry := load_catalogue().get(name)) is not None:
        there = pulled(entry)
        if there is None:
            raise BadModel(name, "", "a pulled model", f"none; `groundloop models pull {name}`")
        return there
    if not path.exists():
        raise BadModel(name, "", f"a GGUF file, or one of {known_names()}", "no such file or name")
    return path


def known_names() -> str:
    """What may stand where a file is wanted, for messages."""
    shapes, quantizations = "|".join(SHAPES), "|".join(QUANTIZATIONS)
    catalogue = ", ".join(load_catalogue())
    return f"builtin, tiny, synth:({shapes}):({quantizations}), {catalogue}"


def builtin_path() -> Path:
    """The small trained model that comes with groundloop.

    Raises:
        BadModel: the installation has none.
    """
    found = sorted(BUILTIN.glob("*.gguf"))
    if len(found) != 1:
        raise BadModel("builtin", "", f"one GGUF file in {BUILTIN}", f"{len(found)}")
    return found[0]


def synth_path(shape: str, quantization: str, seed: int) -> Path:
    """Where the cache keeps a synthetic model."""
    name = f"synth-v{SYNTH_VERSION}-{shape}-{quantization}-seed{seed}.gguf"
    return cache_dir() / name


def _synthetic(shape: str, quantization: str, progress: Progress | None) -> Path:
    from models.gguf.synth import checked_shape, synth

    shape = checked_shape(shape)
    quantization = checked_type(
        quantization or DEFAULT_QUANTIZATION.get(shape, "Q4_K_M"), source="synth"
    )
    return made_once(
        synth_path(shape, quantization, _SEED),
        lambda target: synth(shape, quantization, target, seed=_SEED, progress=progress),
    )
