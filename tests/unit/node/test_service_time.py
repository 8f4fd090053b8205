from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from pydantic import ValidationError

from node.scheduler import Job, Order
from node.service_time import (
    PROFILES,
    EngineDone,
    EngineFirstToken,
    EngineStarted,
    EngineWrote,
    Profile,
    VirtualEngine,
    _quantile,
    at_size,
    load_profile,
)
from roundtrip.errors import BadConfig
from roundtrip.message import Question

PROFILE = Profile(
    model="m",
    quantization="Q8_0",
    measured_on="a choice",
    threads=1,
    prefill_tok_s=100,
    decode_tok_s=10,
    jitter=0,
)


def order(asked: Question, **changes) -> Order:
    known = {"max_tokens": asked.max_tokens, "thinking": False, "think_tokens": 0}
    job = Job(asked, 0, 10**12)
    return Order(job, **(known | changes), alone=False, cut_ns=None)


def run_out(engine: VirtualEngine) -> list:
    found = []
    while (due := engine.deadline) is not None:
        found += engine.timeout(now_ns=due[0])
    return found


def test_times_follow_the_profile(ask) -> None:
    engine = VirtualEngine(PROFILE, random.Random(1))
    engine.infer(order(ask(text="x" * 320)), now_ns=0)
    started, first, done = run_out(engine)
    assert started == EngineStarted(1, 500_000)
    assert first == EngineFirstToken(1, 1_000_500_000)
    assert abs(done.at_ns - 2_600_500_000) < 10
    assert done.result.prompt_tokens == 100
    assert (done.result.output_tokens, done.result.finish_reason) == (16, "length")


def test_answers_have_the_lengths_that_were_measured(ask) -> None:
    profile = PROFILE.model_copy(update={"answer_tokens": (2, 4, 10)})
    engine = VirtualEngine(profile, random.Random(1))
    for number in range(400):
        engine.infer(order(ask(number)), now_ns=0)
    lengths = sorted(e.result.output_tokens for e in run_out(engine) if isinstance(e, EngineDone))
    assert (lengths[0], lengths[-1]) == (2, 9)
    assert abs(lengths[200] - 4) <= 1
    single = PROFILE.model_copy(update={"answer_tokens": (7,)})
    engine = VirtualEngine(single, random.Random(1))
    engine.infer(order(ask()), now_ns=0)
    assert run_out(engine)[-1].result.output_tokens == 7


def test_answers_are_told_of_while_they_are_written(ask) -> None:
    engine = VirtualEngine(PROFILE, random.Random(1), 300_000_000)
    for number in (1, 2):
        engine.infer(order(ask(number, text="x" * 320)), now_ns=0)
    found = run_out(engine)
    done = {e.question_id: e for e in found if isinstance(e, EngineDone)}
    assert len(done) == 2
    for number in (1, 2):
        told = [e.text for e in found if isinstance(e, EngineWrote) and e.question_id == number]
        assert len(told) > 5
        assert sorted(told, key=len) == told
        assert all(done[number].result.text.startswith(text) for text in told)
    plain = VirtualEngine(PROFILE, random.Random(1))
    for number in (1, 2):
        plain.infer(order(ask(number, text="x" * 320)), now_ns=0)
    ends = [e.at_ns for e in run_out(plain) if isinstance(e, EngineDone)]
    assert all(
        abs(a - b) < 100 for a, b in zip(ends, (e.at_ns for e in done.values()), strict=True)
    )


def test_answers_are_written_together_as_fast_as_the_profile_says(ask) -> None:
    together = PROFILE.model_copy(update={"batch_tok_s": {2: 16.0}, "start_ms": 0})
    for profile, seconds in ((PROFILE, 3.2), (together, 2.0)):
        engine = VirtualEngine(profile, random.Random(1))
        for number in (1, 2):
            engine.infer(order(ask(number, text="")), now_ns=0)
        *_, first, last = run_out(engine)
        assert first.at_ns / 1e9 == pytest.approx(0.4 + seconds, abs=0.2)
        assert last.at_ns / 1e9 == pytest.approx(0.4 + seconds, abs=0.2)


def test_however_the_dice_fall_reading_takes_time(ask) -> None:
    rng = SimpleNamespace(gauss=lambda *_: -5.0, expovariate=random.Random(1).expovariate)
    engine = VirtualEngine(PROFILE, rng)
    engine.infer(order(ask(text="x" * 4000)), now_ns=0)
    started, first, *_ = run_out(engine)
    plain = VirtualEngine(PROFILE, random.Random(1))
    plain.infer(order(ask(text="x" * 4000)), now_ns=0)
    begun, usual, *_ = run_out(plain)
    assert (first.at_ns - started.at_ns) / (usual.at_ns - begun.at_ns) == pytest.approx(0.1)


def test_a_system_prompt_is_read_once(ask) -> None:
    engine = VirtualEngine(PROFILE, random.Random(1))
    asked = replace(ask(), system="x" * 400)
    took = []
    for _ in range(2):
        begin_ns = round(engine._now_ns)
        engine.infer(order(asked), now_ns=begin_ns)
        first = next(one for one in run_out(engine) if isinstance(one, EngineFirstToken))
        took.append(first.at_ns - begin_ns)
    assert took[0] - took[1] == pytest.approx(1e9)


def test_a_cut_gives_what_there_is_by_then(ask) -> None:
    engine = VirtualEngine(PROFILE, random.Random(1))
    engine.infer(order(ask(text="")), now_ns=0)
    assert engine.cut(9, now_ns=1) == []
    (*_, done) = engine.cut(1, now_ns=1_000_000_000)
    assert (done.result.finish_reason, done.result.output_tokens) == ("deadline", 7)
    assert engine.deadline is None
    engine.infer(order(ask(2, text="")), now_ns=2_000_000_000)
    (*_, done) = engine.cut(2, now_ns=2_000_000_001)
    assert (done.result.text, done.result.output_tokens) == ("", 0)


def test_figures_may_depend_on_a_size() -> None:
    table = {100: 10.0, 200: 20.0}
    assert [at_size(table, n) for n in (1, 100, 150, 200, 999)] == [10, 10, 15, 20, 20]
    assert at_size(7.0, 3) == 7.0


def test_answer_lengths_have_the_profiles_mean(ask) -> None:
    profile = PROFILE.model_copy(update={"answer_tokens_mean": 5.0})
    engine = VirtualEngine(profile, random.Random(1))
    for number in range(1000):
        engine.infer(order(ask(number)), now_ns=0)
    lengths = [one.result.output_tokens for one in run_out(engine) if isinstance(one, EngineDone)]
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


LEAST = """
model = "m"
quantization = "q"
measured_on = "nothing"
threads = 1
prefill_tok_s = 100
decode_tok_s = 10
"""


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (LEAST.replace("= 100", "= {}"), "prefill_tok_s"),
        (LEAST.replace("= 100", "= 5e-324"), "prefill_tok_s"),
        (LEAST.replace("= 10\n", "= { 0 = 10 }\n"), "decode_tok_s"),
        (LEAST.replace("threads = 1", "threads = 1e9"), "threads"),
        (LEAST.replace('model = "m"\n', ""), "model"),
    ],
)
def test_a_bad_figure_is_named(tmp_path: Path, text: str, key: str) -> None:
    (tmp_path / "p.toml").write_text(text)
    with pytest.raises(BadConfig) as caught:
        load_profile(str(tmp_path / "p.toml"))
    assert caught.value.key.split(".")[0] == key


def test_a_profile_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text("\ufeff" + LEAST)
    assert load_profile(str(tmp_path / "p.toml")).decode_tok_s == 10


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("thread = ", "expected TOML"),
        ("colour = 2", "colour: expected a known key, found an unknown one"),
        ("[power]\nidle_w = 1\nprefill_w = 1\ndecode_w = -1", r"power\.decode_w: .* found -1"),
        ("[limits]\nmemory_mb = -1", r"limits\.memory_mb: expected .* 0, found -1"),
        ("[limits]\nmemory_mb = 1e300", r"limits\.memory_mb"),
        ("jitter = inf", "jitter: expected a finite number, found inf"),
        ("bytes_per_token = 5e-324", "bytes_per_token"),
        ("batch_tok_s = { 0 = 1 }", r"batch_tok_s\.0"),
        ("batch_tok_s = { 2 = 1e-300 }", r"batch_tok_s\.2"),
        ("start_ms = 1e300", "start_ms"),
        ("rss_peak_mb = 1e300", "rss_peak_mb"),
        ("answer_tokens = [1, 2, -3]", r"answer_tokens\.2"),
    ],
)
def test_a_bad_profile_is_refused(tmp_path: Path, text: str, match: str) -> None:
    (tmp_path / "p.toml").write_text(LEAST + text)
    with pytest.raises(BadConfig, match=match):
        load_profile(str(tmp_path / "p.toml"))


def test_an_unknown_profile_names_the_known_ones() -> None:
    with pytest.raises(BadConfig, match="builtin"):
        load_profile("none")


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        ((7,), 0.0, 7), ((7,), 0.99, 7), ((2, 4), 0.0, 2), ((2, 4), 0.5, 3), ((2, 4), 1.0, 4),
        ((2, 4, 10), 0.25, 3), ((2, 4, 10), 0.5, 4), ((2, 4, 10), 0.75, 7), ((2, 4, 10), 1.0, 10),
    ],
)  # fmt: skip
def test_quantiles_are_joined_by_straight_lines(
    values: tuple[int, ...], share: float, expected: float
) -> None:
    assert _quantile(values, share) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("field", "low", "high", "step"),
    [
        ("threads", 1, 1024, 1), ("sequences", 0, 64, 1), ("start_ms", 0, 3_600_000, 0.5),
        ("store_ms", 0, 3_600_000, 0.5), ("bytes_per_token", 0.1, 100, 0.01),
        ("template_tokens", 0, 10**6, 1), ("prefill_tok_s", 1e-3, 1e9, 1e-4),
        ("answer_tokens_mean", 0.01, 1e6, 0.001), ("rss_peak_mb", 0, 1e9, 0.5),
        ("weights_mb", 0.001, 1e9, 0.0005), ("scrub_mb_s", 1, 1e9, 0.5), ("upset_harm", 0, 1, 0.1),
    ],
)  # fmt: skip
def test_figures_of_a_profile_have_bounds(field: str, low: float, high: float, step: float) -> None:
    known = PROFILE.model_dump()
    for inside in (low, high):
        assert getattr(Profile.model_validate(known | {field: inside}), field) == inside
    for outside in (low - step, high + 2 * max(step, 1)):
        with pytest.raises(ValidationError):
            Profile.model_validate(known | {field: outside})


@pytest.mark.parametrize(
    ("table", "good"),
    [
        ({1: 5.0}, True), ({10**6: 5.0}, True), ({0: 5.0}, False), ({10**6 + 1: 5.0}, False),
        ({}, False), ({1: 0.0}, False),
    ],
)  # fmt: skip
def test_rates_by_size_have_bounds(table: dict[int, float], good: bool) -> None:
    known = PROFILE.model_dump() | {"prefill_tok_s": table}
    if good:
        assert Profile.model_validate(known).prefill_tok_s == table
    else:
        with pytest.raises(ValidationError):
            Profile.model_validate(known)


def test_jitter_is_less_than_the_whole() -> None:
    known = PROFILE.model_dump()
    for jitter, good in ((0.0, True), (0.99, True), (1.0, False), (-0.1, False)):
        if good:
            assert Profile.model_validate(known | {"jitter": jitter}).jitter == jitter
        else:
            with pytest.raises(ValidationError):
                Profile.model_validate(known | {"jitter": jitter})
