"""The quantizer's guards, its silence, and that it leaves nothing half-done."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.gguf.inspect import inspect
from models.gguf.quantize import quantize
from roundtrip.errors import BadModel, EnvironmentFault


def test_it_quantizes_quietly(
    tmp_path: Path, tiny_f16: Path, tiny_gguf: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    done = quantize(tiny_f16, tmp_path / "q.gguf", "q8_0", threads=1)
    assert done.type == "Q8_0"
    assert done.source_bytes == tiny_f16.stat().st_size
    assert done.target_bytes == done.path.stat().st_size < done.source_bytes
    assert done.path.read_bytes() == tiny_gguf.read_bytes()
    assert capfd.readouterr() == ("", "")


def test_it_talks_if_asked(
    tmp_path: Path, tiny_f16: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    quantize(tiny_f16, tmp_path / "q.gguf", "Q4_0", verbose=True)
    assert "token_embd.weight" in capfd.readouterr().err


def test_a_smaller_type_is_smaller(tmp_path: Path, tiny_f16: Path) -> None:
    sizes = [
        quantize(tiny_f16, tmp_path / "q.gguf", name).target_bytes
        for name in ("Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q2_K")
    ]
    assert sizes == sorted(sizes, reverse=True)
    assert inspect(tmp_path / "q.gguf").quantization == "Q2_K"


def test_never_its_own_input(tmp_path: Path, tiny_f16: Path) -> None:
    source = tmp_path / "m.gguf"
    source.write_bytes(tiny_f16.read_bytes())
    (tmp_path / "link.gguf").symlink_to(source)
    for target in (source, tmp_path / "link.gguf", tmp_path / "." / "m.gguf"):
        with pytest.raises(BadModel, match="the input itself"):
            quantize(source, target, "Q8_0")
    assert source.read_bytes() == tiny_f16.read_bytes()


def test_bad_input(tmp_path: Path, tiny_gguf: Path, tiny_f16: Path) -> None:
    target = tmp_path / "out" / "q.gguf"
    with pytest.raises(BadModel, match="no such file"):
        quantize(tmp_path / "none.gguf", target, "Q8_0")
    with pytest.raises(BadModel, match="F32, F16 or BF16 tensor, found Q8_0"):
        quantize(tiny_gguf, target, "Q4_0")
    with pytest.raises(BadModel, match="expected one of F16, Q8_0"):
        quantize(tiny_f16, target, "int4")
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(tiny_f16.read_bytes()[:-1000])
    with pytest.raises(BadModel, match="truncated"):
        quantize(cut, target, "Q8_0")
    assert not target.parent.exists()


def test_what_llama_cpp_refuses(tmp_path: Path, tiny_f16: Path) -> None:
    source = tmp_path / "other.gguf"
    head = tiny_f16.read_bytes().replace(
        b"\x05" + bytes(7) + b"qwen3", b"\x05" + bytes(7) + b"nosuc"
    )
    source.write_bytes(head)
    with pytest.raises(EnvironmentFault, match="nosuc"):
        quantize(source, tmp_path / "q.gguf", "Q8_0")
    assert [path.name for path in tmp_path.iterdir()] == ["other.gguf"]
