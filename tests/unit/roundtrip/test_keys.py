"""The key file: made once, its owner's alone, rotated in steps, and never shown."""

from __future__ import annotations

import random
import stat
from itertools import pairwise
from pathlib import Path

import pytest

from dtn.bpv7.blocks import PrimaryBlock
from dtn.bpv7.bundle import make_bundle
from dtn.errors import SecurityFailure
from roundtrip.drive.entropy import system_bytes
from roundtrip.errors import BadConfig, EnvironmentFault
from roundtrip.keys import (
    SharedKeys,
    keys_path,
    link_security,
    load_or_make_keys,
    new_keys,
    read_keys,
    rotated,
    write_keys,
)
from roundtrip.modem import Side

SEEDED = random.Random(1).randbytes


def test_made_at_first_use_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "config" / "keys.toml"
    made = load_or_make_keys(path, system_bytes)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert load_or_make_keys(path, system_bytes) == made == read_keys(path)
    assert [entry.name for entry in path.parent.iterdir()] == ["keys.toml"]


def test_one_that_exists_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    first = load_or_make_keys(path, system_bytes)
    with pytest.raises(FileExistsError):
        write_keys(path, new_keys(system_bytes))
    assert read_keys(path) == first


def test_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert keys_path({}) == tmp_path / ".config" / "groundloop" / "keys.toml"
    assert keys_path({"GROUNDLOOP_KEYS": "/etc/keys"}) == Path("/etc/keys")


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o660, 0o400, 0o700])
def test_another_mode_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "keys.toml"
    write_keys(path, new_keys(SEEDED))
    path.chmod(mode)
    with pytest.raises(BadConfig) as caught:
        load_or_make_keys(path, SEEDED)
    assert str(caught.value) == f"{path}: mode: expected 0600, found {mode:04o}"


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="groundloop keys new"):
        read_keys(tmp_path / "keys.toml")


def test_a_folder_in_its_place(tmp_path: Path) -> None:
    with pytest.raises(BadConfig):
        load_or_make_keys(tmp_path, SEEDED)


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises((EnvironmentFault, BadConfig)):
        load_or_make_keys(tmp_path / "file" / "deeper" / "keys.toml", SEEDED)


def content() -> str:
    secrets = [SEEDED(32).hex() for _ in range(4)]
    return f"""version = 1
sending = "a"
[[keys]]
id = "a"
signing = "{secrets[0]}"
encrypting = "{secrets[1]}"
[[keys]]
id = "b"
signing = "{secrets[2]}"
encrypting = "{secrets[3]}"
"""


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("version = 1", "version = 2", "version"),
        ("version = 1", "version = [", ""),
        ('sending = "a"', 'sending = "c"', ""),
        ('id = "b"', 'id = "a"', ""),
        ('id = "b"', 'id = "b b"', "keys.1.id"),
        ('id = "b"', 'id = "b"\nmore = 1', "keys.1.more"),
        ("signing = ", 'signing = "0g"\n# ', "keys.0.signing"),
        ("encrypting = ", "# ", "keys.0.encrypting"),
    ],
)
def test_a_wrong_file_names_the_place_and_keeps_its_secrets(
    tmp_path: Path, old: str, new: str, key: str
) -> None:
    path = tmp_path / "keys.toml"
    text = content()
    secrets = [word.strip('"') for word in text.split() if len(word) > 60]
    path.write_text(text.replace(old, new, 1))
    path.chmod(0o600)
    with pytest.raises(BadConfig) as caught:
        read_keys(path)
    assert caught.value.key == key
    assert not any(secret[:8] in str(caught.value) for secret in secrets)


def test_one_secret_for_two_uses_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    secret = "ab" * 32
    path.write_text(
        f'version = 1\nsending = "a"\n[[keys]]\nid = "a"\nsigning = "{secret}"\n'
        f'encrypting = "{secret}"\n'
    )
    path.chmod(0o600)
    with pytest.raises(BadConfig, match="all differ"):
        read_keys(path)


def test_a_file_too_large(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    path.write_text(content() + "#" * 20_000)
    path.chmod(0o600)
    with pytest.raises(BadConfig, match="at most 16384 bytes"):
        read_keys(path)


def test_nothing_secret_is_printed() -> None:
    keys = new_keys(SEEDED)
    (key,) = keys.keys
    assert key.signing.hex()[:8] not in repr(keys)
    assert "signing" not in repr(keys)
    assert key.fingerprint.replace(" ", "") not in key.signing.hex() + key.encrypting.hex()


def passes(sender: SharedKeys, receiver: SharedKeys) -> bool:
    primary = PrimaryBlock("ipn:2.1", "ipn:1.1", 800_000_000_000, 1, 60_000)
    bundle = make_bundle(primary, b"question", hop_limit=4)
    ground = link_security(sender, Side.GROUND, random_bytes=SEEDED)
    node = link_security(receiver, Side.NODE, random_bytes=SEEDED)
    try:
        return node.open(ground.protect(bundle)).payload == b"question"
    except SecurityFailure:
        return False


def test_both_ends_may_be_one_step_of_a_rotation_apart() -> None:
    steps = [new_keys(SEEDED)]
    for _ in range(6):
        steps.append(rotated(steps[-1], SEEDED))
    assert [len(keys.keys) for keys in steps] == [1, 2, 2, 2, 2, 2, 2]
    for before, after in pairwise(steps):
        assert passes(before, after)
        assert passes(after, before)
    assert not passes(steps[0], steps[4]), "a key that went is no longer accepted"
    assert not passes(steps[4], steps[0])


def test_the_sending_key_comes_first() -> None:
    twice = rotated(rotated(new_keys(SEEDED), SEEDED), SEEDED)
    assert twice.sending == twice.keys[1].key_id
    assert twice.ring.signing[0].secret == twice.keys[1].signing
    assert len(twice.ring.encrypting) == 2
