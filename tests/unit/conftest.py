"""One tiny model for all tests of the package, and llama.cpp to try it with."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.gguf.synth import synth


class Loaded:
    """A model in llama.cpp, without the repacked buffers that some builds get wrong."""

    def __init__(self, path: Path) -> None:
        from llama_cpp import llama_cpp

        self._llama: Any = llama_cpp
        params = self._llama.llama_model_default_params()
        params.n_gpu_layers = 0
        params.use_extra_bufts = False
        self._model = self._llama.llama_model_load_from_file(str(path).encode(), params)
        assert self._model, "llama.cpp does not load it"
        settings = self._llama.llama_context_default_params()
        settings.n_ctx = 512
        settings.n_threads = settings.n_threads_batch = 1
        self._context = self._llama.llama_init_from_model(self._model, settings)
        assert self._context
        self._vocabulary = self._llama.llama_model_get_vocab(self._model)
        self.size = int(self._llama.llama_vocab_n_tokens(self._vocabulary))

    def close(self) -> None:
        self._llama.llama_free(self._context)
        self._llama.llama_model_free(self._model)

    def encode(self, text: str, *, special: bool = False) -> list[int]:
        data = text.encode()
        room = len(data) + 8
        tokens = (ctypes.c_int32 * room)()
        count = self._llama.llama_tokenize(
            self._vocabulary, data, len(data), tokens, room, False, special
        )
        assert count >= 0
        return list(tokens[:count])

    def decode(self, tokens: list[int]) -> bytes:
        pieces = []
        buffer = ctypes.create_string_buffer(256)
        for token in tokens:
            size = self._llama.llama_token_to_piece(self._vocabulary, token, buffer, 256, 0, True)
            assert size >= 0
            pieces.append(buffer.raw[:size])
        return b"".join(pieces)

    def greedy(self, prompt: list[int], count: int) -> tuple[list[int], np.ndarray]:
        """The tokens after a prompt, and the logits of each: (count, vocabulary) float32."""
        self._llama.llama_memory_clear(self._llama.llama_get_memory(self._context), True)
        written: list[int] = []
        rows = []
        batch = (ctypes.c_int32 * len(prompt))(*prompt)
        for _ in range(count):
            status = self._llama.llama_decode(
                self._context, self._llama.llama_batch_get_one(batch, len(batch))
            )
            assert status == 0
            row = self._llama.llama_get_logits_ith(self._context, -1)
            rows.append(np.ctypeslib.as_array(row, shape=(self.size,)).copy())
            written.append(int(rows[-1].argmax()))
            batch = (ctypes.c_int32 * 1)(written[-1])
        return written, np.stack(rows)


@pytest.fixture(scope="session")
def tiny_gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny synthetic model, Q8_0, seed 0. Not to be changed."""
    return synth("tiny", "Q8_0", tmp_path_factory.mktemp("models") / "tiny.gguf").path


@pytest.fixture(scope="session")
def tiny_f16(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same weights before quantization. Not to be changed."""
    return synth("tiny", "F16", tmp_path_factory.mktemp("models") / "tiny-f16.gguf").path


@pytest.fixture(scope="session")
def loaded_tiny(tiny_gguf: Path) -> Iterator[Loaded]:
    """The tiny model in llama.cpp."""
    loaded = Loaded(tiny_gguf)
    yield loaded
    loaded.close()
