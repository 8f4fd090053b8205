"""A link that is one of ours is found again; one that is not is said to be off."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from click.testing import CliRunner

from roundtrip.link_trace import Trace
from roundtrip.scenario_file import load_scenario
from roundtrip.units import NS_PER_MS, NS_PER_S
from testbed.commands.tracing import trace
from testbed.trace_fit import fitted, ks_distance

S = NS_PER_S


def rows(count: int, **columns: tuple) -> Trace:
    return Trace(tuple(at * S for at in range(count)), count * S, **columns)


def test_steps_are_means() -> None:
    found = fitted(rows(5, rates_bps=(1e6, 3e6, 5e6, 7e6, 9e6)), 2)
    assert found.steps == ((0, 2e6), (2, 6e6), (4, 9e6))
    assert found.settings == {"rate_bps": 5_000_000}
    (rate,) = found.compared
    assert (rate.measured[2], rate.modelled[2]) == (5, 6)


def test_a_step_may_end_within_a_row() -> None:
    assert fitted(rows(3, rates_bps=(1e6, 3e6, 5e6)), 1.5).steps == (
        (0, pytest.approx(5e6 / 3)),
        (1.5, pytest.approx(13e6 / 3)),
    )


def test_a_spread_that_is_uniform_is_found() -> None:
    rng = random.Random(1)
    delays = tuple(round(rng.uniform(20, 50) * NS_PER_MS) for _ in range(2000))
    found = fitted(rows(2000, delays_ns=delays), 15)
    assert found.settings["one_way_delay_ms"] == pytest.approx(20, abs=0.7)
    assert found.settings["jitter_ms"] == pytest.approx(30, abs=1.4)
    assert found.compared[0].ks < 0.03
    constant = fitted(rows(3, delays_ns=(7 * NS_PER_MS,) * 3), 15)
    assert constant.settings == {"one_way_delay_ms": 7, "jitter_ms": 0}
    assert constant.compared[0].ks == 0


def test_bursts_are_found() -> None:
    """Of 10 s and 90 s, at 89.3 frames a second."""
    rng, losses, bad = random.Random(1), list[float](), False
    while len(losses) < 5000:
        losses += [0.5 if bad else 0.0] * max(1, round(rng.expovariate(1 / (10 if bad else 90))))
        bad = not bad
    burst = fitted(rows(len(losses), losses=tuple(losses)), 15).settings["burst"]
    assert burst["loss_bad"] == 0.5
    assert burst["loss_good"] == 0
    assert 1 / burst["r"] == pytest.approx(10 * 89.3, rel=0.25)
    assert 1 / burst["p"] == pytest.approx(90 * 89.3, rel=0.25)


def test_what_never_changes_has_no_bursts() -> None:
    found = fitted(rows(9, losses=(0.25,) * 9), 15)
    assert found.settings["burst"] == {"p": 0.0, "r": 1.0, "loss_good": 0.25, "loss_bad": 0.25}
    assert found.compared[0].ks == 0


@pytest.mark.parametrize(
    ("one", "other", "distance"),
    [
        ([1, 2, 3, 4], [1, 2, 3, 4], 0),
        ([1, 2], [3, 4], 1),
        ([1, 2, 3, 4], [3, 4, 5, 6], 0.5),
        ([1, 1, 1, 5], [1, 5, 5, 5], 0.5),
        ([1], [1, 2], 0.5),
    ],
)
def test_the_distance_is_that_of_the_distribution_functions(one, other, distance) -> None:
    assert ks_distance(one, other) == ks_distance(other, one) == distance


def test_what_it_prints_is_a_link(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text(
        "t_s,rate_bps,rtt_ms,loss\n"
        + "".join(f"{at},{1e6 + at % 7 * 1e5},{40 + at % 5},{at % 9 == 0:d}\n" for at in range(60))
    )
    done = CliRunner().invoke(trace, ["fit", str(tmp_path / "m.csv"), "--every", "20"])
    assert done.exit_code == 0, done.output
    link, _, compared = done.output.partition("\n\n")
    assert [line.split(":")[0] for line in compared.splitlines() if "KS" in line] == [
        "rate, Mbit/s", "one way, ms", "loss, %",
    ]  # fmt: skip
    (tmp_path / "s.toml").write_text(
        f"{link}\n[link.downlink]\nrate_bps = 9600\none_way_delay_ms = 5\n"
        '[workload]\nquestions = ["?"]\ncount = 1\n'
    )
    loaded = load_scenario(tmp_path / "s.toml")
    assert loaded.link.uplink.trace == str(tmp_path / "m-steps.csv")
    assert len((tmp_path / "m-steps.csv").read_text().splitlines()) == 4
