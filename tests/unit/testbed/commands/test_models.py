"""The commands, as a user types them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from roundtrip.errors import BadModel
from testbed.commands.models import models


def run(*arguments: str | Path) -> str:
    result = CliRunner().invoke(
        models, [str(argument) for argument in arguments], catch_exceptions=False
    )
    assert result.exit_code == 0, result.output
    return result.output


def test_synth_inspect_quantize(tmp_path: Path) -> None:
    source = tmp_path / "m.gguf"
    assert "5.8 MB" in run("synth", "--shape", "tiny", "--quant", "f16", "--out", source)
    assert "-> 1.9 MB" in run("quantize", source, tmp_path / "q.gguf", "--type", "Q4_K_M")
    described = run("inspect", tmp_path / "q.gguf", "--context", "4096", "--sha256")
    for words in ("qwen3", "Q4_K_M", "2,886,400", "KV cache", "4,096 tokens", "yes"):
        assert words in described


def test_synth_into_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROUNDLOOP_CACHE", str(tmp_path / "cache"))
    run("synth", "--seed", "5")
    (made,) = (tmp_path / "cache").glob("*.gguf")
    assert made.name == "synth-v2-tiny-Q8_0-seed5.gguf"
    assert "runs on the node" in run("inspect", "tiny")


def test_inspect_as_json(tiny_gguf: Path) -> None:
    described = json.loads(run("inspect", tiny_gguf, "--json", "--context", "256"))
    assert described["runs_here"] is True
    assert described["refusal"] is described["sha256"] is None
    assert described["memory"]["kv_bytes"] == 256 * described["kv_bytes_per_token"]
    assert described["parameters"] == 2_886_400


def test_inspect_says_why_not(tmp_path: Path, tiny_gguf: Path) -> None:
    path = tmp_path / "other.gguf"
    name = b"\x05" + bytes(7)
    path.write_bytes(tiny_gguf.read_bytes().replace(name + b"qwen3", name + b"llama"))
    described = json.loads(run("inspect", path, "--json"))
    assert described["runs_here"] is False
    assert "found 'llama'" in described["refusal"]


def test_errors_pass_through(tmp_path: Path) -> None:
    with pytest.raises(BadModel):
        run("inspect", "no-such-model")
    with pytest.raises(BadModel):
        run("quantize", tmp_path / "none", tmp_path / "q.gguf", "--type", "Q8_0")
