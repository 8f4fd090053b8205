"""`groundloop keys`: new, show, rotate."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from roundtrip.errors import BadConfig
from roundtrip.keys import read_keys
from testbed.commands.cli import cli


def run(path: Path, *words: str) -> Result:
    return CliRunner().invoke(cli, ["keys", *words], env={"GROUNDLOOP_KEYS": str(path)})


def secrets(path: Path) -> list[str]:
    return [s.hex() for key in read_keys(path).keys for s in (key.signing, key.encrypting)]


def test_a_rotation_from_the_first_key_on(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    outputs = [run(path, "new").output]
    first = read_keys(path)
    shown = run(path, "show").output
    assert outputs == [shown]
    assert first.keys[0].fingerprint in shown
    for _ in range(3):
        outputs.append(run(path, "rotate").output)
        assert not any(secret[:8] in "".join(outputs) for secret in secrets(path))
    assert "then `groundloop keys rotate`" in outputs[1]
    assert "then `groundloop keys rotate`" not in outputs[2]
    assert first.keys[0].fingerprint not in outputs[3]


def test_new_leaves_a_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    run(path, "new")
    before = path.read_bytes()
    result = run(path, "new")
    assert isinstance(result.exception, BadConfig)
    assert path.read_bytes() == before


@pytest.mark.parametrize("command", ["show", "rotate"])
def test_a_file_others_can_read_is_refused(tmp_path: Path, command: str) -> None:
    path = tmp_path / "named.toml"
    assert run(tmp_path, "new", "--file", str(path)).exit_code == 0
    path.chmod(0o644)
    result = run(path, command)
    assert isinstance(result.exception, BadConfig)
    assert "expected 0600, found 0644" in str(result.exception)
