from __future__ import annotations

import random
from pathlib import Path

import pytest

from node.service_time import PROFILES, Profile, ServiceTime, load_profile
from roundtrip.errors import BadConfig

PROFILE = Profile(
    model="m",
    quantization="Q8_0",
    measured_on="a choice",
    threads=1,
    prefill_tok_s=100,
    decode_tok_s=10,
    jitter=0,
)


def test_times_follow_the_profile(ask) -> None:
    inference = ServiceTime(PROFILE, random.Random(1)).infer(ask(text="x" * 320))
    assert inference.result.prompt_tokens == 100
    assert inference.prefill_ns == 1_000_000_000
    assert inference.result.output_tokens == 16
    assert inference.decode_ns == 1_600_000_000
    assert inference.result.finish_reason == "length"


def test_answer_lengths_have_the_profiles_mean(ask) -> None:
    profile = PROFILE.model_copy(update={"answer_tokens_mean": 5.0})
    service = ServiceTime(profile, random.Random(1))
    lengths = [service.infer(ask()).result.output_tokens for _ in range(4000)]
    assert max(lengths) == 16
    assert 4.5 < sum(lengths) / len(lengths) < 5.5


def test_every_shipped_profile_loads_and_says_where_it_was_measured() -> None:
    names = [path.stem for path in PROFILES.glob("*.toml")]
    assert "builtin" in names
    assert all(load_profile(name).measured_on for name in names)


@pytest.mark.parametrize("name", ["rpi5-8gb", "rpi4-4gb", "cubesat-1gb", "laptop"])
def test_every_number_of_a_platform_has_its_source_or_is_marked_a_choice(name: str) -> None:
    profile = load_profile(name)
    assert profile.power is not None
    assert profile.limits.memory_mb
    lines = (PROFILES / f"{name}.toml").read_text().splitlines()
    in_section = lines[lines.index("[limits]") :]
    numbers = [line for line in in_section if "=" in line]
    assert len(numbers) >= 7
    assert [line for line in numbers if "#" not in line] == []


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("threads = ", "TOML"),
        ("model = 1", "model"),
        ("colour = 2", "model"),
        ("[power]\nidle_w = 1\nprefill_w = 1\ndecode_w = -1", "decode_w"),
        ("[limits]\nmemory_mb = -1", "memory_mb"),
    ],
)
def test_a_bad_profile_is_refused(tmp_path: Path, text: str, match: str) -> None:
    (tmp_path / "p.toml").write_text(text)
    with pytest.raises(BadConfig, match=match):
        load_profile(str(tmp_path / "p.toml"))


def test_an_unknown_profile_names_the_known_ones() -> None:
    with pytest.raises(BadConfig, match="builtin"):
        load_profile("none")
