"""What a file is that is to go up, and whether a node can use it: said before its first byte
does."""

from __future__ import annotations

from pathlib import Path

from models.gguf.adapter import is_adapter, require_adapter
from models.gguf.inspect import ModelInfo, inspect, require_qwen3
from models.gguf.types import MAGIC
from roundtrip.errors import BadInput, BadModel
from roundtrip.message import MAX_TEXT_BYTES

TEXTS = ("prompt", "document")


def judged(path: Path, name: str, kind: str = "") -> tuple[str, ModelInfo | None]:
    """The kind of a file, and its header where it has one.

    Args:
        path: of the file.
        name: what it is called in errors.
        kind: one of `roundtrip.bulk.manifest.KINDS`; empty: as a GGUF says of itself.

    Raises:
        BadInput: it is not of that kind, or no node can use it.
    """
    if kind in TEXTS:
        _require_text(path, name)
        return kind, None
    with path.open("rb") as file:
        if not kind and file.read(len(MAGIC)) != MAGIC:
            raise BadInput(name, "kind", f"a GGUF, or {' or '.join(TEXTS)}", "neither")
    try:
        info = inspect(path)
        kind = kind or ("adapter" if is_adapter(info) else "model")
        if kind == "adapter":
            require_adapter(info)
        else:
            require_qwen3(info)
    except BadModel as error:
        raise BadInput(name, error.key, error.expected, error.found) from None
    return kind, info


def _require_text(path: Path, name: str) -> None:
    size = path.stat().st_size
    if not 0 < size <= MAX_TEXT_BYTES:
        raise BadInput(name, "", f"a text of 1 to {MAX_TEXT_BYTES} bytes", f"{size} bytes")
    try:
        path.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise BadInput(name, "", "a text in UTF-8", f"byte {error.start} is not") from None
