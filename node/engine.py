"""The language model: llama.cpp through its low-level C API. The only importer of llama_cpp on the
node.

It runs in the engine's own process (`engine_child.py`): llama.cpp may crash, hang or be killed for
memory without taking the link down. One sequence at a time; no Python object is made per token but
an int.
"""

from __future__ import annotations

import ctypes
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from llama_cpp import llama_cpp as llama

from node.chat import IM_END, IM_START, THINK_END, THINK_START, Piece
from roundtrip.errors import BadModel
from roundtrip.message import Sampling

PREFILL_BATCH = 512
_LOG_ERROR = 4


@dataclass(frozen=True, slots=True)
class Generation:
    """What the model wrote."""

    text: str
    finish_reason: str
    """`stop`: the model ended; `length`: it was cut at its limit."""
    prompt_tokens: int
    output_tokens: int


class TooLong(Exception):
    """The prompt does not fit into the context."""


class Engine:
    """One model in one context.

    Args:
        path: a GGUF file that `models.inspect.require_qwen3` has accepted.
        context: tokens of context.
        threads: for prefill and decode.
        use_extra_bufts: llama.cpp's repacked weight buffers; False avoids the AMX code that some
            builds get wrong (llama.cpp pull request 26954), at some cost of speed.

    Raises:
        BadModel: llama.cpp does not load it.
    """

    def __init__(
        self, path: str, *, context: int, threads: int, use_extra_bufts: bool = True
    ) -> None:
        _quiet()
        llama.llama_backend_init()
        params = llama.llama_model_default_params()
        params.n_gpu_layers = 0
        params.use_extra_bufts = use_extra_bufts
        self._model = llama.llama_model_load_from_file(path.encode(), params)
        if not self._model:
            raise BadModel(path, "", "a GGUF that llama.cpp loads", _last_log() or "a failure")
        context_params = llama.llama_context_default_params()
        context_params.n_ctx = context
        context_params.n_batch = PREFILL_BATCH
        context_params.n_ubatch = PREFILL_BATCH
        context_params.n_seq_max = 1
        context_params.n_threads = threads
        context_params.n_threads_batch = threads
        context_params.no_perf = True
        self._context = llama.llama_init_from_model(self._model, context_params)
        if not self._context:
            raise BadModel(
                path, "context", f"memory for {context} tokens", _last_log() or "a failure"
            )
        self._memory = llama.llama_get_memory(self._context)
        self._vocab = llama.llama_model_get_vocab(self._model)
        self.context = int(llama.llama_n_ctx(self._context))
        self.threads = threads
        self._vocab_size = int(llama.llama_vocab_n_tokens(self._vocab))
        names = (IM_START, IM_END, THINK_START, THINK_END)
        self._special = {name: self._special_token(path, name) for name in names}
        self._ends = frozenset(
            token
            for token in range(self._vocab_size)
            if llama.llama_vocab_is_eog(self._vocab, token)
        )
        self._batch = llama.llama_batch_init(PREFILL_BATCH, 0, 1)

    def set_threads(self, threads: int) -> None:
        """Use so many threads from now on."""
        llama.llama_set_n_threads(self._context, threads, threads)
        self.threads = threads

    def _special_token(self, path: str, name: str) -> int:
        tokens = self._tokens(name, special=True)
        if len(tokens) != 1:
            raise BadModel(path, "tokenizer", f"one token for {name}", f"{len(tokens)} tokens")
        return tokens[0]

    def _tokens(self, text: str, *, special: bool) -> list[int]:
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
            if piece.special:
                tokens.append(self._special[piece.text])
            else:
                tokens += self._tokens(piece.text, special=False)
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

    def prefill(self, tokens: Sequence[int]) -> None:
        """Forget what was there, and put these tokens into the context."""
        llama.llama_memory_clear(self._memory, False)
        batch = self._batch
        for start in range(0, len(tokens), PREFILL_BATCH):
            chunk = tokens[start : start + PREFILL_BATCH]
            for index, token in enumerate(chunk):
                batch.token[index] = token
                batch.pos[index] = start + index
                batch.n_seq_id[index] = 1
                batch.seq_id[index][0] = 0
                batch.logits[index] = False
            batch.logits[len(chunk) - 1] = True
            batch.n_tokens = len(chunk)
            self._decode(batch)

    def _decode(self, batch: Any) -> None:
        status = llama.llama_decode(self._context, batch)
        if status != 0:
            raise RuntimeError(f"llama_decode returned {status}: {_last_log()}")

    def decode(
        self,
        position: int,
        limit: int,
        sampling: Sampling,
        on_first_token: Callable[[], None],
    ) -> tuple[list[int], bool]:
        """Write up to `limit` tokens after a prefill of `position` tokens.

        Returns:
            The tokens, without the one that ended them, and whether there was one.
        """
        sampler = _sampler(sampling)
        try:
            batch, context, ends = self._batch, self._context, self._ends
            sample, step = llama.llama_sampler_sample, llama.llama_decode
            batch.n_tokens = 1
            batch.n_seq_id[0] = 1
            batch.seq_id[0][0] = 0
            batch.logits[0] = True
            tokens: list[int] = []
            token = sample(sampler, context, -1)
            on_first_token()
            while token not in ends:
                tokens.append(token)
                if len(tokens) >= limit:
                    return tokens, False
                batch.token[0] = token
                batch.pos[0] = position
                position += 1
                if step(context, batch) != 0:
                    raise RuntimeError(f"llama_decode failed: {_last_log()}")
                token = sample(sampler, context, -1)
            return tokens, True
        finally:
            llama.llama_sampler_free(sampler)

    def answer(
        self,
        pieces: Sequence[Piece],
        *,
        max_tokens: int,
        sampling: Sampling,
        thinking: bool,
        on_first_token: Callable[[], None],
    ) -> Generation:
        """Answer one prompt; what the model thinks before `</think>` is not part of the answer.

        Raises:
            TooLong: the prompt leaves no room for an answer.
        """
        prompt = self.tokens_of(pieces)
        if len(prompt) >= self.context:
            raise TooLong(f"{len(prompt)} prompt tokens in a context of {self.context}")
        self.prefill(prompt)
        limit = min(max_tokens, self.context - len(prompt))
        tokens, ended = self.decode(len(prompt), limit, sampling, on_first_token)
        written = self._after_thinking(tokens) if thinking else tokens
        return Generation(
            self.text_of(written).strip(), "stop" if ended else "length", len(prompt), len(tokens)
        )

    def _after_thinking(self, tokens: list[int]) -> list[int]:
        end = self._special[THINK_END]
        return tokens[tokens.index(end) + 1 :] if end in tokens else []

    def self_test(self) -> None:
        """Decode several tokens at once, then one, as real work does; a bad build dies here.

        Raises:
            RuntimeError: the logits are not finite.
        """
        self.prefill([token % self._vocab_size for token in range(100, 116)])
        self.decode(16, 2, Sampling(temperature=0.0), lambda: None)
        logits = llama.llama_get_logits_ith(self._context, -1)
        if not all(math.isfinite(logits[index]) for index in range(0, self._vocab_size, 97)):
            raise RuntimeError("self-test: the logits are not finite")


def _sampler(sampling: Sampling) -> Any:
    chain = llama.llama_sampler_chain_init(llama.llama_sampler_chain_default_params())
    if sampling.temperature == 0:
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
