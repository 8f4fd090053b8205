"""Names to files, and the cache they are made in."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from models.cache import cache_dir, made_once
from models.gguf.inspect import inspect
from models.resolve import resolve
from roundtrip.errors import BadModel, EnvironmentFault


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROUNDLOOP_CACHE", str(tmp_path / "cache"))


def test_where_the_cache_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_dir() == tmp_path / "cache"
    monkeypatch.delenv("GROUNDLOOP_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_dir() == tmp_path / "xdg" / "groundloop"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_dir() == tmp_path / "home" / ".cache" / "groundloop"


def test_a_path_stays_a_path(tiny_gguf: Path) -> None:
    assert resolve(tiny_gguf) == tiny_gguf
    assert resolve(str(tiny_gguf)) == tiny_gguf


def test_tiny_is_made_once(tiny_gguf: Path) -> None:
    first = resolve("tiny")
    assert first.parent == cache_dir()
    assert first.read_bytes() == tiny_gguf.read_bytes()
    made_at = first.stat().st_mtime_ns
    assert resolve("synth:tiny") == resolve("synth:TINY:q8_0") == first
    assert first.stat().st_mtime_ns == made_at


def test_a_named_quantization() -> None:
    assert inspect(resolve("synth:tiny:Q4_0")).quantization == "Q4_0"


@pytest.mark.parametrize("name", ["no-such", "./no-such.gguf", "builtin:x", "a\0b"])
def test_unknown_names(name: str) -> None:
    with pytest.raises(BadModel, match="builtin, tiny, synth:"):
        resolve(name)


@pytest.mark.parametrize("name", ["synth:", "synth:9b", "synth:tiny:Q9", "synth:tiny:Q8_0:x"])
def test_unknown_shapes(name: str) -> None:
    with pytest.raises(BadModel, match="expected one of"):
        resolve(name)


def test_many_at_once(tiny_gguf: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        paths = set(pool.map(lambda _: resolve("tiny"), range(8)))
    (path,) = paths
    assert path.read_bytes() == tiny_gguf.read_bytes()


def test_a_failed_making_is_tried_again(tmp_path: Path) -> None:
    target = tmp_path / "cache" / "m"

    def fails(_path: Path) -> None:
        raise RuntimeError("interrupted")

    with pytest.raises(RuntimeError):
        made_once(target, fails)
    assert made_once(target, lambda path: path.write_bytes(b"x")).read_bytes() == b"x"
    assert made_once(target, fails) == target


def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("GROUNDLOOP_CACHE", str(tmp_path / "file"))
    with pytest.raises(EnvironmentFault, match="GROUNDLOOP_CACHE"):
        resolve("tiny")
