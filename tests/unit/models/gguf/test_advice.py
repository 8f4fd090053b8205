from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from models.gguf.advice import largest_context, options
from models.gguf.fit import fit
from models.gguf.inspect import ModelInfo, inspect
from models.resolve import resolve
from roundtrip.errors import BadConfig
from testbed.commands.models import models
from testbed.commands.sizes import parse_size


@pytest.fixture(scope="module")
def tiny() -> ModelInfo:
    return inspect(resolve("tiny"))


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1024M", 1 << 30),
        ("1G", 1 << 30),
        ("800MB", 800_000_000),
        ("1.5GiB", 3 << 29),
        ("512", 512),
        (" 2 gib ", 2 << 30),
    ],
)
def test_sizes_as_people_write_them(text: str, size: int) -> None:
    assert parse_size(text, "--memory") == size


@pytest.mark.parametrize("text", ["", "M", "-1G", "1X", "0", "1 2", "nan", "1e9"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(BadConfig, match="--memory: expected"):
        parse_size(text, "--memory")


def test_the_largest_context_fits_and_the_next_does_not(tiny: ModelInfo) -> None:
    limit = fit(tiny, 3000).total_bytes
    largest = largest_context(tiny, "f16", limit, most=8192)
    assert largest is not None
    assert fit(tiny, largest).total_bytes <= limit < fit(tiny, largest + 256).total_bytes
    assert largest_context(tiny, "f16", 1000, most=8192) is None


def test_every_option_really_keeps_within_the_limit(tiny: ModelInfo) -> None:
    limit = fit(tiny, 8192, kv_type="q8_0").total_bytes
    assert limit < fit(tiny, 8192).total_bytes
    ways = list(options(tiny, 8192, "f16", limit))
    assert [way.what.split()[0] for way in ways][:2] == ["KV", "context"]
    assert all(way.total_bytes <= limit for way in ways)
    assert list(options(tiny, 8192, "f16", 1_000_000)) == []


def test_the_command_says_what_fits_and_what_would() -> None:
    run = CliRunner().invoke
    good = run(models, ["fit", "tiny", "--memory", "1G"], standalone_mode=False)
    assert good.return_value == 0
    assert "fits into" in good.output
    bad = run(models, ["fit", "tiny", "--memory", "70MB", "--context", "32768"],
              standalone_mode=False)  # fmt: skip
    assert bad.return_value == 99
    assert "does not fit" in bad.output
    assert "would fit: context of" in bad.output


def test_a_file_that_is_none_is_refused_first(tmp_path: Path) -> None:
    path = tmp_path / "x.gguf"
    path.write_bytes(b"")
    result = CliRunner().invoke(models, ["fit", str(path), "--memory", "1G"])
    assert "x.gguf" in str(result.exception)
