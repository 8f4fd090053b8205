"""llama.cpp's own quantizer, made safe: input checked first, output atomic, log kept quiet.

It must never write over its input, and never quantize what was quantized before.
"""

from __future__ import annotations

import ctypes
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.atomic import atomic_target
from models.gguf.header import Header, read_header
from roundtrip.errors import BadModel, EnvironmentFault

QUANTIZATIONS: dict[str, int] = {
    "F16": 1,
    "Q8_0": 7,
    "Q6_K": 18,
    "Q5_K_M": 17,
    "Q5_K_S": 16,
    "Q5_0": 8,
    "Q4_K_M": 15,
    "Q4_K_S": 14,
    "Q4_0": 2,
    "Q3_K_M": 12,
    "Q2_K": 10,
}
"""llama.cpp's `enum llama_ftype` (include/llama.h), the ones that need no importance matrix."""
MAX_ROWS_BYTES = 256 << 20
"""Rows of a tensor the quantizer holds at once."""
_LOG_ERROR = 4
"""`GGML_LOG_LEVEL_ERROR` (ggml.h)."""


@dataclass(frozen=True, slots=True)
class Quantized:
    """What came of a quantization."""

    path: Path
    type: str
    source_bytes: int
    target_bytes: int


def checked_type(name: str, *, source: str) -> str:
    """The name of a quantization, in llama.cpp's spelling.

    Args:
        name: as the user gave it, in any case.
        source: what the user gave it to, for the error.

    Raises:
        BadModel: there is none of that name.
    """
    upper = name.upper()
    if upper not in QUANTIZATIONS:
        raise BadModel(source, "quantization", "one of " + ", ".join(QUANTIZATIONS), repr(name))
    return upper


def quantize(
    source: Path, target: Path, quantization: str, *, threads: int = 0, verbose: bool = False
) -> Quantized:
    """Quantize an F32, F16 or BF16 file.

    Args:
        source: the file to read.
        target: the file to write; one that is there is replaced.
        quantization: a key of `QUANTIZATIONS`, in any case.
        threads: 0 for as many as there are processors.
        verbose: let llama.cpp's log through to stderr.

    Raises:
        BadModel: the source is damaged or quantized already, the target is the source, or no such
            quantization.
        EnvironmentFault: the target cannot be written.
    """
    quantization = checked_type(quantization, source=str(source))
    header = read_header(source)
    _refuse_quantized(header)
    if target.exists() and target.samefile(source):
        raise BadModel(str(target), "", "another file than the input", "the input itself")
    with atomic_target(target) as temporary:
        _run(source, temporary, QUANTIZATIONS[quantization], threads, verbose)
        read_header(temporary)
    return Quantized(target, quantization, header.file_bytes, target.stat().st_size)


def _refuse_quantized(header: Header) -> None:
    for tensor in header.tensors:
        if tensor.type.name not in ("F32", "F16", "BF16"):
            raise BadModel(
                str(header.path), tensor.name, "an F32, F16 or BF16 tensor", tensor.type.name
            )
    if not header.tensors:
        raise BadModel(str(header.path), "", "tensors", "none")


def _run(source: Path, target: Path, file_type: int, threads: int, verbose: bool) -> None:
    from llama_cpp import llama_cpp as llama  # slow to import: not for those who only inspect

    params: Any = llama.llama_model_quantize_default_params()
    params.ftype = file_type
    params.nthread = threads
    params.max_buf_size = MAX_ROWS_BYTES
    log = _Log(verbose)
    log.install(llama)
    try:
        status = llama.llama_model_quantize(
            str(source).encode(), str(target).encode(), ctypes.byref(params)
        )
    finally:
        log.remove(llama)
    if status != 0:
        raise EnvironmentFault(
            f"quantize {source} to {target}",
            log.last_error or f"llama.cpp returned {status}",
            "check the disk's free space, or see llama.cpp's log (verbose)",
        )


class _Log:
    """Takes llama.cpp's log while installed: keeps the last error, shows it all if verbose."""

    def __init__(self, verbose: bool) -> None:
        self.last_error = ""
        self._verbose = verbose
        self._callback: Any = None
        self._before: tuple[Any, Any] | None = None

    def install(self, llama: Any) -> None:
        """Take the log over, remembering who had it."""
        callback, data = llama.llama_log_callback(), ctypes.c_void_p()
        llama.llama_log_get(ctypes.byref(callback), ctypes.byref(data))
        self._before = (callback, data)
        self._callback = llama.llama_log_callback(self._take)
        llama.llama_log_set(self._callback, ctypes.c_void_p(0))

    def remove(self, llama: Any) -> None:
        """Give the log back."""
        assert self._before is not None
        llama.llama_log_set(*self._before)

    def _take(self, level: int, line: bytes, _data: Any) -> None:
        words = line.decode(errors="replace")
        if level == _LOG_ERROR:
            self.last_error = words.strip()
        if self._verbose:
            sys.stderr.write(words)
