"""What `link --tun` is told, and where it cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from link_sim import namespaces
from link_sim.namespaces import Namespaces
from link_sim.tun import commands_in
from roundtrip.errors import EnvironmentFault
from roundtrip.modem import Side

MTUS = {Side.GROUND: 1400, Side.NODE: 1400}


@pytest.mark.parametrize(
    ("words", "commands"),
    [
        ("", {}),
        ("ground: ping x", {Side.GROUND: ["ping", "x"]}),
        ("-- ground: a -- node: b -c", {Side.GROUND: ["a"], Side.NODE: ["b", "-c"]}),
        ("ground: a -- -b -- node: c --", {Side.GROUND: ["a", "--", "-b"], Side.NODE: ["c", "--"]}),
        ("node: b -- ground: a ground:", {Side.NODE: ["b"], Side.GROUND: ["a", "ground:"]}),
    ],
)
def test_commands_are_told_apart(words: str, commands: dict[Side, list[str]]) -> None:
    assert commands_in(words.split()) == commands


@pytest.mark.parametrize(
    "words", ["ping", "ground:", "ground: a -- ground: b", "sky: a", "ground: a -- node:"]
)
def test_what_is_no_command_of_a_side_is_refused(words: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        commands_in(words.split())


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        ("sys.platform", "darwin", "no TUN devices on darwin; run it on Linux"),
        ("os.geteuid", lambda: 1000, "not root; run it as root"),
        ("Path.exists", lambda _: False, "no /dev/net/tun; load the kernel's tun module"),
        ("shutil.which", lambda _: None, "no program `ip`; install iproute2"),
    ],
)
def test_one_line_says_what_is_missing(monkeypatch, place: str, value, said: str) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr(Path, "exists", lambda _: True)
    owner, name = place.split(".")
    monkeypatch.setattr(getattr(namespaces, owner), name, value)
    with pytest.raises(EnvironmentFault) as raised:
        Namespaces("x", MTUS)
    assert said in str(raised.value)
