"""What a GGUF file says about itself, and whether the node can run it.

It reads the header only and loads no model; `sha256` alone reads the whole file.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from models.gguf.architecture import CHAT_TOKENS, QWEN3, REQUIRED_KEYS, Shape, tensor_dimensions
from models.gguf.header import ArrayRef, Header, read_header
from models.gguf.types import FILE_TYPES, TokenType
from roundtrip.errors import BadModel

_SPECIAL_TYPES = (TokenType.CONTROL, TokenType.USER_DEFINED)
_MAX_DIMENSION = 1 << 31


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A model as its header describes it. A number that is not given is 0, a text empty."""

    path: Path
    architecture: str
    name: str
    quantization: str
    """`general.file_type` by name, or else the type of most of the weights."""
    parameters: int
    layers: int
    hidden: int
    ffn: int
    heads: int
    kv_heads: int
    head_dim: int
    context_length: int
    """Tokens it was made for."""
    vocabulary: int
    tokenizer: str
    """Kind of tokenizer and of its splitting, such as "gpt2/qwen2"."""
    chat_tokens: tuple[str, ...]
    """Those of Qwen3's chat template that are there as special tokens."""
    weights_bytes: int
    """Of all tensors."""
    file_bytes: int
    header: Header

    @property
    def kv_bytes_per_token(self) -> int:
        """Of an f16 key-value cache."""
        return 2 * 2 * self.layers * self.kv_heads * self.head_dim


def inspect(path: Path) -> ModelInfo:
    """Describe a GGUF file.

    Raises:
        BadModel: the file is missing, damaged or truncated, or a key has the wrong type.
    """
    header = read_header(path)
    keys = _Keys(header)
    architecture = keys.text("general.architecture", required=True)
    hidden = keys.integer(f"{architecture}.embedding_length")
    heads = keys.integer(f"{architecture}.attention.head_count")
    tokens = header.metadata.get("tokenizer.ggml.tokens")
    kinds = (keys.text("tokenizer.ggml.model"), keys.text("tokenizer.ggml.pre"))
    return ModelInfo(
        path=path,
        architecture=architecture,
        name=keys.text("general.name"),
        quantization=_quantization(header, keys),
        parameters=sum(tensor.elements for tensor in header.tensors),
        layers=keys.integer(f"{architecture}.block_count"),
        hidden=hidden,
        ffn=keys.integer(f"{architecture}.feed_forward_length"),
        heads=heads,
        kv_heads=keys.integer(f"{architecture}.attention.head_count_kv") or heads,
        head_dim=keys.integer(f"{architecture}.attention.key_length")
        or (hidden // heads if heads else 0),
        context_length=keys.integer(f"{architecture}.context_length"),
        vocabulary=tokens.count if isinstance(tokens, ArrayRef) else 0,
        tokenizer="/".join(kind for kind in kinds if kind),
        chat_tokens=_chat_tokens(header),
        weights_bytes=sum(tensor.size_bytes for tensor in header.tensors),
        file_bytes=header.file_bytes,
        header=header,
    )


def require_qwen3(info: ModelInfo) -> None:
    """Refuse what the node cannot run.

    Raises:
        BadModel: another architecture, a key or tensor missing or of another size than the keys
            say, or a tokenizer that lacks Qwen3's chat tokens.
    """
    source = str(info.path)
    if info.architecture != QWEN3:
        raise BadModel(source, "general.architecture", repr(QWEN3), repr(info.architecture))
    keys = _Keys(info.header)
    for key in REQUIRED_KEYS:
        value = info.header.metadata.get(f"{QWEN3}.{key}")
        if value is None:
            raise BadModel(source, f"{QWEN3}.{key}", "a value", "nothing")
        if key.endswith("epsilon"):
            found = keys.number(f"{QWEN3}.{key}")
            if not 0 < found < 1:
                raise BadModel(source, f"{QWEN3}.{key}", "a number between 0 and 1", str(found))
        elif keys.integer(f"{QWEN3}.{key}") < 1:
            raise BadModel(source, f"{QWEN3}.{key}", "1 or more", str(value))
    value_length = keys.integer(f"{QWEN3}.attention.value_length") or info.head_dim
    if value_length != info.head_dim:
        raise BadModel(
            source, f"{QWEN3}.attention.value_length", str(info.head_dim), str(value_length)
        )
    _require_tokenizer(info)
    _require_tensors(info)


def sha256(path: Path) -> str:
    """The file's SHA-256, in hex.

    Raises:
        BadModel: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise BadModel(str(path), "", "a readable file", error.strerror or str(error)) from None


def _require_tokenizer(info: ModelInfo) -> None:
    source = str(info.path)
    if info.tokenizer.partition("/")[0] != "gpt2":
        raise BadModel(
            source, "tokenizer.ggml.model", "'gpt2' (byte-level BPE)", repr(info.tokenizer)
        )
    for key in ("tokenizer.ggml.merges", "tokenizer.ggml.token_type"):
        if not isinstance(info.header.metadata.get(key), ArrayRef):
            raise BadModel(source, key, "an array", "nothing")
    types = len(info.header.integers("tokenizer.ggml.token_type"))
    if types != info.vocabulary:
        raise BadModel(
            source, "tokenizer.ggml.token_type", f"{info.vocabulary} items", f"{types} items"
        )
    distinct = len(set(info.header.strings("tokenizer.ggml.tokens")))
    if distinct != info.vocabulary:
        # llama.cpp does not refuse such a file: it aborts.
        raise BadModel(
            source,
            "tokenizer.ggml.tokens",
            "each token once",
            f"{info.vocabulary - distinct} twice",
        )
    missing = [token for token in CHAT_TOKENS if token not in info.chat_tokens]
    if missing:
        raise BadModel(
            source,
            "tokenizer.ggml.tokens",
            "the special tokens " + " ".join(CHAT_TOKENS),
            "none called " + " ".join(missing),
        )


def _require_tensors(info: ModelInfo) -> None:
    """Hold the tensors against the keys, before anything is sized or loaded by either."""
    source = str(info.path)
    found = {tensor.name: tensor.dimensions for tensor in info.header.tensors}
    if info.layers > len(found):
        raise BadModel(
            source, f"{QWEN3}.block_count", "no more layers than tensors", str(info.layers)
        )
    shape = Shape(
        layers=info.layers,
        hidden=info.hidden,
        ffn=info.ffn,
        heads=info.heads,
        kv_heads=info.kv_heads,
        head_dim=info.head_dim,
        vocabulary=info.vocabulary,
        tied="output.weight" not in found,
    )
    for name, dimensions in tensor_dimensions(shape).items():
        if found.get(name) != dimensions:
            raise BadModel(source, name, _dimensions(dimensions), _dimensions(found.get(name)))


def _dimensions(dimensions: tuple[int, ...] | None) -> str:
    return "x".join(map(str, dimensions)) if dimensions else "no such tensor"


def _quantization(header: Header, keys: _Keys) -> str:
    by_type: Counter[str] = Counter()
    for tensor in header.tensors:
        by_type[tensor.type.name] += tensor.elements
    if "general.file_type" in header.metadata:
        named = FILE_TYPES.get(keys.integer("general.file_type"))
        if named:
            return named
    return by_type.most_common(1)[0][0] if by_type else ""


def _chat_tokens(header: Header) -> tuple[str, ...]:
    tokens = header.metadata.get("tokenizer.ggml.tokens")
    if tokens is None:
        return ()
    types = header.metadata.get("tokenizer.ggml.token_type")
    if not isinstance(types, ArrayRef):
        return ()
    kinds = dict(
        zip(
            header.strings("tokenizer.ggml.tokens"),
            header.integers("tokenizer.ggml.token_type"),
            strict=False,
        )
    )
    return tuple(token for token in CHAT_TOKENS if kinds.get(token) in _SPECIAL_TYPES)


class _Keys:
    """Typed access to the metadata."""

    def __init__(self, header: Header) -> None:
        self._header = header

    def text(self, key: str, *, required: bool = False) -> str:
        """A string; empty if there is none."""
        value = self._header.metadata.get(key)
        if value is None and not required:
            return ""
        if not isinstance(value, str) or (required and not value):
            raise self._bad(key, "a string", value)
        return value

    def integer(self, key: str) -> int:
        """A count; 0 if there is none, or one per layer."""
        value = self._header.metadata.get(key, 0)
        if isinstance(value, ArrayRef):
            return 0
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < _MAX_DIMENSION:
            raise self._bad(key, f"a whole number below {_MAX_DIMENSION}", value)
        return value

    def number(self, key: str) -> float:
        """A number; 0 if there is none."""
        value = self._header.metadata.get(key, 0.0)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._bad(key, "a number", value)
        return float(value)

    def _bad(self, key: str, expected: str, value: object) -> BadModel:
        found = "nothing" if value is None else repr(value)[:60]
        if isinstance(value, ArrayRef):
            found = f"an array of {value.item_type.name.lower()}"
        return BadModel(str(self._header.path), key, expected, found)
