"""The language model: llama.cpp through its low-level C API. The only importer of llama_cpp on the
node.

It runs in the engine's own process (`child.py`): llama.cpp may crash, hang or be killed for
memory without taking the link down. Each sequence has a part of the cache to itself: in a shared
one (`kv_unified`) every token attends over the cells of all, which made 8 sequences 1.2 to 1.5
times slower. What is decoded when is for `batching.py` to say. No Python object is made per token
but an int.
"""

from __future__ import annotations

import ctypes
import hashlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from llama_cpp import __version__ as llama_version
from llama_cpp import llama_cpp as llama

from node.engine.chat import IM_END, IM_START, TAGS, THINK_END, THINK_START, Piece, kept_apart
from node.engine.requests import NotFinite
from roundtrip.errors import BadModel
from roundtrip.message import Sampling

BATCH_TOKENS = 512
"""Most tokens of one decode."""
CONTEXT_STEP = 256
"""llama.cpp rounds each sequence's context up to a multiple of this, but only after it has cut the
batch to the whole of what was asked for: more tokens in a decode would abort."""
MAX_OUTPUTS = 128
"""Most tokens of one decode whose logits are wanted."""
KV_TYPES = {"f16": 1, "q8_0": 8}
"""ggml's numbers of the types that the cache may have."""
LEAST_TEMPERATURE = 1e-4
"""Below it even a logit that is higher by 0.001 is taken 22,000 times as often."""
_LOG_ERROR = 4
_LOAD_MODES = {(False, False): 1, (True, False): 3, (False, True): 0, (True, True): 2}
"""llama.cpp's number of how weights are loaded, by `lock` and `private`."""
_GET_TENSOR = "_ZNK11llama_model10get_tensorEPKc"
"""`llama_model::get_tensor(const char *) const`: llama.h has nothing that leads to a tensor."""


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """How a model is loaded."""

    context: int
    """Tokens that each sequence may have."""
    threads: int
    sequences: int = 1
    kv: str = "f16"
    """A key of `KV_TYPES`."""
    flash: bool = True
    """Flash attention: faster with long contexts and large models, slower with small ones; a
    quantized cache needs it."""
    lock: bool = False
    """Keep the weights in memory (mlock)."""
    private: bool = False
    """The weights are this process's own memory, not pages of the file's."""
    use_extra_bufts: bool = True
    """llama.cpp's repacked weight buffers; False avoids the AMX code that some builds get wrong
    (llama.cpp pull request 26954), at some cost of speed."""


class Engine:
    """One model, one context, any sequences in it.

    Args:
        path: a GGUF file that `models.inspect.require_qwen3` has accepted.
        settings: how to load it.
        adapter: the file of a LoRA adapter, that `models.adapter.require_adapter` has accepted for
            it; empty for none.

    Raises:
        BadModel: llama.cpp does not load it.
    """

    def __init__(self, path: str, settings: EngineSettings, adapter: str = "") -> None:
        _quiet()
        llama.llama_backend_init()
        params = llama.llama_model_default_params()
        params.n_gpu_layers = 0
        params.use_extra_bufts = settings.use_extra_bufts
        params.load_mode = _LOAD_MODES[settings.lock, settings.private]
        self._model = llama.llama_model_load_from_file(path.encode(), params)
        if not self._model:
            raise BadModel(path, "", "a GGUF that llama.cpp loads", _last_log() or "a failure")
        self._path = path
        self._adapter = self._adapter_of(adapter) if adapter else None
        self._context: Any = None
        self._rows: dict[int, Any] = {}
        self.open(settings)
        self._vocab = llama.llama_model_get_vocab(self._model)
        self.vocab_size = int(llama.llama_vocab_n_tokens(self._vocab))
        names = (IM_START, IM_END, THINK_START, THINK_END)
        self.special = {name: self._special_token(path, name) for name in names}
        known = {tag: self._tokenised(tag, special=True) for tag in TAGS}
        self.special |= {tag: tokens[0] for tag, tokens in known.items() if len(tokens) == 1}
        self.ends = frozenset(
            token
            for token in range(self.vocab_size)
            if llama.llama_vocab_is_eog(self._vocab, token)
        )
        self._matched = tuple(
            self._name(token)
            for token in range(self.vocab_size)
            if llama.llama_vocab_get_attr(self._vocab, token) & llama.LLAMA_TOKEN_ATTR_USER_DEFINED
        )
        """Names of tokens that llama.cpp finds in any text, `special` or not: in Qwen3's files
        `<think>` and `<tool_call>` are of this kind."""
        self._batch, self._kept = _new_batch()
        self._tokens, self._positions, self._sequences, self._wanted = self._kept[:4]

    def open(self, settings: EngineSettings) -> None:
        """A new, empty context for the loaded model.

        Raises:
            BadModel: there is no memory for it.
        """
        if self._context:
            llama.llama_free(self._context)
            self._rows.clear()
        context_params = llama.llama_context_default_params()
        each = -(-settings.context // CONTEXT_STEP) * CONTEXT_STEP
        context_params.n_ctx = each * settings.sequences
        context_params.n_batch = BATCH_TOKENS
        context_params.n_ubatch = BATCH_TOKENS
        context_params.n_outputs_max = MAX_OUTPUTS
        context_params.n_seq_max = settings.sequences
        context_params.kv_unified = False
        context_params.flash_attn_type = int(settings.flash or settings.kv != "f16")
        context_params.n_threads = settings.threads
        context_params.n_threads_batch = settings.threads
        context_params.type_k = context_params.type_v = KV_TYPES[settings.kv]
        context_params.no_perf = True
        self._context = llama.llama_init_from_model(self._model, context_params)
        if not self._context:
            raise BadModel(
                self._path,
                "context",
                f"memory for {settings.sequences} sequences of {settings.context} tokens",
                _last_log() or "a failure",
            )
        if self._adapter is not None:
            adapters = (llama.llama_adapter_lora_p_ctypes * 1)(self._adapter)
            llama.llama_set_adapters_lora(self._context, adapters, 1, (ctypes.c_float * 1)(1.0))
        self._memory = llama.llama_get_memory(self._context)
        self.settings = settings
        self.context = int(llama.llama_n_ctx_seq(self._context))

    def _adapter_of(self, path: str) -> Any:
        """It lives as long as the model."""
        adapter = llama.llama_adapter_lora_init(self._model, path.encode())
        if not adapter:
            expected = "an adapter that llama.cpp loads"
            raise BadModel(path, "", expected, _last_log() or "a failure")
        return adapter

    # -- text --------------------------------------------------------------------------------------

    def set_threads(self, threads: int) -> None:
        """Use so many threads from now on."""
        llama.llama_set_n_threads(self._context, threads, threads)
        self.threads = threads

    def _special_token(self, path: str, name: str) -> int:
        tokens = self._tokenised(name, special=True)
        if len(tokens) != 1:
            raise BadModel(path, "tokenizer", f"one token for {name}", f"{len(tokens)} tokens")
        return tokens[0]

    def _name(self, token: int) -> str:
        found: bytes = llama.llama_vocab_get_text(self._vocab, token)
        return found.decode(errors="replace")

    def _tokenised(self, text: str, *, special: bool) -> list[int]:
        data = text.encode()
        room = len(data) + 8
        buffer = (llama.llama_token * room)()
        count = llama.llama_tokenize(self._vocab, data, len(data), buffer, room, False, special)
        assert count >= 0
        return list(buffer[:count])

    def tokens_of(self, pieces: Sequence[Piece]) -> list[int]:
        """The token ids of a prompt."""
        tokens: list[int] = []
        for piece in pieces:
            if piece.special and piece.text in self.special:
                tokens.append(self.special[piece.text])
            else:
                for part in kept_apart(piece.text, self._matched):
                    tokens += self._tokenised(part, special=False)
        return tokens

    def text_of(self, tokens: Sequence[int]) -> str:
        """The text of token ids, special tokens left out."""
        parts: list[bytes] = []
        room = 256
        buffer = ctypes.create_string_buffer(room)
        for token in tokens:
            size = llama.llama_token_to_piece(self._vocab, token, buffer, room, 0, False)
            if size < 0:
                room = -size
                buffer = ctypes.create_string_buffer(room)
                size = llama.llama_token_to_piece(self._vocab, token, buffer, room, 0, False)
            parts.append(buffer.raw[:size])
        return b"".join(parts).decode(errors="replace")

    # -- decoding ----------------------------------------------------------------------------------

    def put_one(self, index: int, token: int, position: int, sequence: int) -> None:
        """Put a token at `index` of the next decode, its logits wanted."""
        self._tokens[index] = token
        self._positions[index] = position
        self._sequences[index] = sequence
        self._wanted[index] = 1

    def put(
        self, index: int, tokens: Sequence[int], position: int, sequence: int, *, wanted: bool
    ) -> None:
        """Put tokens of one sequence at `index` and after; the last one's logits may be wanted."""
        end = index + len(tokens)
        self._tokens[index:end] = tokens
        self._positions[index:end] = np.arange(position, position + len(tokens))
        self._sequences[index:end] = sequence
        self._wanted[index:end] = 0
        self._wanted[end - 1] = wanted

    def decode(self, count: int) -> None:
        """Run the model over the first `count` tokens that were put."""
        self._batch.n_tokens = count
        status = llama.llama_decode(self._context, self._batch)
        if status != 0:
            raise RuntimeError(f"llama_decode returned {status}: {_last_log()}")

    def logits(self, index: int) -> Any:
        """The logits after the token at `index` of the last decode: a float32 array over the
        vocabulary, valid until the next decode."""
        pointer = llama.llama_get_logits_ith(self._context, index)
        address = ctypes.addressof(pointer.contents)
        row = self._rows.get(address)
        if row is None:
            if len(self._rows) > 4 * MAX_OUTPUTS:
                self._rows.clear()
            buffer = (ctypes.c_float * self.vocab_size).from_address(address)
            row = self._rows[address] = np.ctypeslib.as_array(buffer)
        return row

    def likeliest(self, index: int) -> int:
        """The token with the highest logit after the token at `index`.

        Raises:
            NotFinite: that is none: weights or cache are damaged.
        """
        row = self.logits(index)
        token = int(row.argmax())  # of a row with not-a-number the first such
        if not np.isfinite(row[token]):
            raise NotFinite
        return token

    def new_sampler(self, sampling: Sampling, grammar: str) -> Any:
        """What draws tokens where `likeliest` will not do; `free_sampler` ends it.

        Args:
            sampling: the settings.
            grammar: GBNF that the text must keep to, see `grammar.py`; empty for none.

        Raises:
            ValueError: llama.cpp does not take the grammar.
        """
        chain = _chain(sampling)
        if not grammar:
            return chain
        keeper = llama.llama_sampler_init_grammar(self._vocab, grammar.encode(), b"root")
        if not keeper:
            self.free_sampler(chain)
            raise ValueError(f"llama.cpp does not take its grammar: {_last_log()}")
        both = llama.llama_sampler_chain_init(llama.llama_sampler_chain_default_params())
        llama.llama_sampler_chain_add(both, keeper)
        llama.llama_sampler_chain_add(both, chain)
        return both

    def sample(self, sampler: Any, index: int) -> int:
        """A token drawn by a sampler that `new_sampler` made."""
        token: int = llama.llama_sampler_sample(sampler, self._context, index)
        return token

    def free_sampler(self, sampler: Any) -> None:
        """Give back what `new_sampler` took."""
        llama.llama_sampler_free(sampler)

    # -- what is kept ------------------------------------------------------------------------------

    def forget(self, sequence: int, start: int = 0) -> None:
        """Drop a sequence's tokens from position `start` on."""
        llama.llama_memory_seq_rm(self._memory, sequence, start, -1)

    def state(self, sequence: int) -> bytes:
        """What the cache holds of a sequence."""
        size = llama.llama_state_seq_get_size(self._context, sequence)
        buffer = (ctypes.c_uint8 * size)()
        written = llama.llama_state_seq_get_data(self._context, buffer, size, sequence)
        return memoryview(buffer)[:written].tobytes()

    def restore(self, sequence: int, state: bytes, length: int) -> bool:
        """Put back what `state` gave of a sequence of `length` tokens; False where llama.cpp does
        not take it, or makes something else of it."""
        pointer = ctypes.cast(ctypes.c_char_p(state), ctypes.POINTER(ctypes.c_uint8))
        read = llama.llama_state_seq_set_data(self._context, pointer, len(state), sequence)
        return bool(
            read == len(state)
            and llama.llama_memory_seq_pos_min(self._memory, sequence) == 0
            and llama.llama_memory_seq_pos_max(self._memory, sequence) == length - 1
        )

    # -- the weights -------------------------------------------------------------------------------

    def _tensor(self, name: str) -> Any:
        """ggml's tensor of a name.

        Raises:
            BadModel: the model has none, or this llama.cpp does not let it be found.
        """
        found = None
        if hasattr(llama._lib, _GET_TENSOR):
            found = _function(_GET_TENSOR, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p)(
                self._model, name.encode()
            )
        named = _function("ggml_get_name", ctypes.c_char_p, ctypes.c_void_p)
        if not found or named(found) != name.encode():
            raise BadModel(
                self._path, name, "a tensor in memory", "none that this llama.cpp build shows"
            )
        return found

    def weights(self, name: str) -> memoryview:
        """A tensor's bytes, in this memory: as the file has them, or repacked. They can be written
        where the weights are `private`.

        Raises:
            BadModel: as `_tensor`.
        """
        tensor = self._tensor(name)
        address = _function("ggml_get_data", ctypes.c_void_p, ctypes.c_void_p)(tensor)
        size = _function("ggml_nbytes", ctypes.c_size_t, ctypes.c_void_p)(tensor)
        return memoryview((ctypes.c_uint8 * size).from_address(address)).cast("B")

    def set_weights(self, name: str, data: bytes) -> None:
        """Put a tensor there as the file has it; it is repacked again where it was.

        Raises:
            BadModel: as `_tensor`.
        """
        size = ctypes.c_size_t
        put = _function(
            "ggml_backend_tensor_set", None, ctypes.c_void_p, ctypes.c_char_p, size, size
        )
        put(self._tensor(name), data, 0, len(data))

    def self_test(self) -> None:
        """Decode several tokens at once, then one, as real work does; a bad build dies here.

        Raises:
            RuntimeError: the logits are not finite.
        """
        self.put(0, [token % self.vocab_size for token in range(100, 116)], 0, 0, wanted=True)
        self.decode(16)
        self.put_one(0, self.likeliest(15), 16, 0)
        self.decode(1)
        finite = bool(np.isfinite(self.logits(0)).all())
        self.forget(0)
        if not finite:
            raise RuntimeError("self-test: the logits are not finite")


def _function(name: str, returns: Any, *takes: Any) -> Any:
    """A function of the libraries that llama-cpp-python does not declare."""
    found = getattr(llama._lib, name)
    found.restype, found.argtypes = returns, takes
    return found


def greedy(sampling: Sampling) -> bool:
    """Whether the likeliest token is always taken; dividing logits by less overflows a float32."""
    return sampling.temperature < LEAST_TEMPERATURE


def _chain(sampling: Sampling) -> Any:
    """llama.cpp's sampler chain for these settings."""
    chain = llama.llama_sampler_chain_init(llama.llama_sampler_chain_default_params())
    if greedy(sampling):
        llama.llama_sampler_chain_add(chain, llama.llama_sampler_init_greedy())
        return chain
    if sampling.top_k:
        llama.llama_sampler_chain_add(chain, llama.llama_sampler_init_top_k(sampling.top_k))
    if sampling.top_p < 1:
        llama.llama_sampler_chain_add(chain, llama.llama_sampler_init_top_p(sampling.top_p, 1))
    if sampling.min_p > 0:
        llama.llama_sampler_chain_add(chain, llama.llama_sampler_init_min_p(sampling.min_p, 1))
    llama.llama_sampler_chain_add(chain, llama.llama_sampler_init_temp(sampling.temperature))
    llama.llama_sampler_chain_add(chain, llama.llama_sampler_init_dist(sampling.seed))
    return chain


def state_key(paths: Sequence[Path], settings: EngineSettings) -> str:
    """What a saved state depends on, besides its tokens: the model and its adapter, llama.cpp and
    the cache's type.

    Each file by its size and a hash over 64 KiB at each of 64 places, the header among them.
    """
    digest = hashlib.sha256(f"{llama_version} {settings.kv}".encode())
    for path in paths:
        size = path.stat().st_size
        digest.update(str(size).encode())
        with path.open("rb") as file:
            for place in range(64):
                file.seek(place * size // 64)
                digest.update(file.read(1 << 16))
    return digest.hexdigest()[:24]


def _new_batch() -> tuple[Any, tuple[Any, ...]]:
    """A batch over arrays of our own, and these: what points into them must keep them."""
    tokens, positions, sequences = (np.zeros(BATCH_TOKENS, np.int32) for _ in range(3))
    counts = np.ones(BATCH_TOKENS, np.int32)
    wanted = np.zeros(BATCH_TOKENS, np.int8)
    ints = ctypes.POINTER(ctypes.c_int32)
    start = sequences.ctypes.data
    each = (ints * BATCH_TOKENS)(
        *(ctypes.cast(start + 4 * index, ints) for index in range(BATCH_TOKENS))
    )
    batch = llama.llama_batch(
        n_tokens=0,
        token=tokens.ctypes.data_as(ints),
        embd=None,
        pos=positions.ctypes.data_as(ints),
        n_seq_id=counts.ctypes.data_as(ints),
        seq_id=each,
        logits=wanted.ctypes.data_as(ctypes.POINTER(ctypes.c_int8)),
    )
    return batch, (tokens, positions, sequences, wanted, counts, each)


_errors: list[str] = []


@llama.llama_log_callback  # type: ignore[untyped-decorator]
def _on_log(level: int, text: bytes, _: Any) -> None:
    if level == _LOG_ERROR:
        _errors.append(text.decode(errors="replace").strip())
        del _errors[:-8]
        sys.stderr.write(text.decode(errors="replace"))


def _quiet() -> None:
    llama.llama_log_set(_on_log, ctypes.c_void_p(0))


def _last_log() -> str:
    return _errors[-1] if _errors else ""
