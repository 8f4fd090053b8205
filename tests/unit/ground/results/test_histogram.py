from __future__ import annotations

import io
import itertools
import math
import random
import re

import pytest
from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader

from ground.results.histogram import (
    histograms,
    new_histogram,
    quantiles_ms,
    rank_of,
    to_hgrm,
    to_hlog,
    values_at,
)
from roundtrip.budget import Budget
from roundtrip.units import NS_PER_MS, NS_PER_S

BUDGET = Budget(120 * 10**9, 600 * 10**9, 0.95)


def test_quantiles_are_the_values_at_their_ranks() -> None:
    values = [n * 1_000_000 for n in range(1, 101)]
    assert quantiles_ms(values) == {"p50": 50.0, "p90": 90.0, "p99": 99.0, "max": 100.0}
    assert quantiles_ms([7_000_000]) == {"p50": 7.0, "p90": 7.0, "p99": 7.0, "max": 7.0}
    assert quantiles_ms([])["p50"] is None


def test_a_question_without_an_answer_counts_as_the_time_of_giving_up(answered, expired) -> None:
    table = histograms([answered(0), expired(1)], BUDGET)
    assert table["loop"].total_count == 2
    assert table["uncorrected"].total_count == 2
    assert table["loop"].get_max_value() == pytest.approx(600e9, rel=1e-3)
    assert table["in_contact"].total_count == 1
    assert table["decode"].get_max_value() == pytest.approx(6e6, rel=1e-3)


def test_what_is_longer_than_a_day_counts_as_a_day(expired) -> None:
    ages = Budget(120 * NS_PER_S, 10 * 86_400 * NS_PER_S, 0.95)
    table = histograms([expired(0)], ages)
    assert table["loop"].get_max_value() >= 86_000 * NS_PER_S


def test_the_log_is_read_back_by_hdrhistograms_own_reader(answered, tmp_path) -> None:
    table = histograms([answered(n, scale=n + 1) for n in range(20)], BUDGET)
    path = tmp_path / "latency.hlog"
    path.write_text(to_hlog(table, start_s=1e9, length_s=60, comment="test"))
    reader = HistogramLogReader(str(path), HdrHistogram(1000, 86_400 * 10**9, 3))
    found = {}
    while (histogram := reader.get_next_interval_histogram()) is not None:
        found[histogram.get_tag()] = histogram
    reader.close()
    assert set(found) == set(table)
    for name, histogram in found.items():
        assert histogram.total_count == 20
        assert histogram.get_max_value() == table[name].get_max_value()
        assert histogram.get_value_at_percentile(50) == table[name].get_value_at_percentile(50)


def test_no_name_breaks_the_log(answered, tmp_path) -> None:
    table = histograms([answered(1)], BUDGET)
    odd = {"a b,c\nd\u2028e": table["loop"]}
    path = tmp_path / "latency.hlog"
    path.write_text(to_hlog(odd, start_s=1e9, length_s=60, comment="day 1\nnight 2"))
    assert path.read_text().startswith("#[day 1 night 2]\n#[Histogram log format")
    reader = HistogramLogReader(str(path), HdrHistogram(1000, 86_400 * 10**9, 3))
    histogram = reader.get_next_interval_histogram()
    assert histogram.get_tag() == "a;b;c;d;e"
    assert histogram.total_count == 1
    assert reader.get_next_interval_histogram() is None
    reader.close()


def test_a_histogram_holds_a_day_and_a_microsecond_to_three_digits(answered) -> None:
    day_ns = 24 * 3600 * 10**9
    read = HdrHistogram.decode(new_histogram().encode())
    assert (read.lowest_trackable_value, read.highest_trackable_value) == (1000, day_ns)
    assert read.significant_figures == 3
    table = histograms([answered(1, scale=10**7)], BUDGET)
    assert table["loop"].get_max_value() == table["loop"].get_highest_equivalent_value(day_ns)


def test_the_percentile_text_ends_at_the_maximum_in_ms() -> None:
    histogram = new_histogram()
    for value_ms in range(1, 1001):
        histogram.record_value(value_ms * 1_000_000)
    lines = io.StringIO(to_hgrm(histogram)).read().splitlines()
    assert lines[0].split() == ["Value", "Percentile", "TotalCount", "1/(1-Percentile)"]
    rows = [line.split() for line in lines[2:] if not line.startswith("#")]
    assert rows[-1][:3] == [rows[-1][0], "1.000000000000", "1000"]
    assert float(rows[-1][0]) == pytest.approx(1000, rel=1e-3)
    median = next(row for row in rows if float(row[1]) >= 0.5)
    assert float(median[0]) == pytest.approx(500, rel=2e-3)
    mean, most, _ = ([float(part) for part in re.findall(r"[\d.]+", row)] for row in lines[-3:])
    deviation = math.sqrt((1000**2 - 1) / 12)
    assert mean == pytest.approx([500.5, deviation], rel=1e-3)
    assert most == pytest.approx([1000, 1000], rel=1e-3)


DEMO_MS = (
    3, 96, 98, 101, 120, 141, 146, 148, 149, 152, 155, 160, 170, 190, 210, 5_100, 8_290, 11_420,
)  # fmt: skip
"""Loops like those of the demo: 18, of which three wait for the end of an outage."""


def by_javas_reader(histogram, *percents: float) -> list[int]:
    """`AbstractHistogram.getValueAtPercentile` of HdrHistogram 2.2, on hdrhistogram's counts."""
    counts = [histogram.get_count_at_index(index) for index in range(histogram.counts_len)]
    found = []
    for percent in percents:
        wanted = min(max(math.nextafter(percent, -math.inf), 0.0), 100.0)
        rank = max(math.ceil(wanted * histogram.total_count / 100), 1)
        index = next(i for i, reached in enumerate(itertools.accumulate(counts)) if reached >= rank)
        value = histogram.get_value_from_index(index)
        found.append(histogram.get_highest_equivalent_value(value))
    return found


def samples():
    yield [ms * NS_PER_MS for ms in DEMO_MS]
    rng = random.Random(5)
    for count in [*range(1, 12), 19, 20, 21, 33, 99, 100, 101, 333]:
        yield [round(10 ** rng.uniform(3.1, 11)) for _ in range(count)]


@pytest.mark.parametrize("values", [*samples()], ids=len)
def test_summary_log_and_javas_reader_give_the_same_percentiles(values: list[int]) -> None:
    exact, histogram = quantiles_ms(values), new_histogram()
    for value in values:
        histogram.record_value(value)
    again = HdrHistogram.decode(histogram.encode())
    read = by_javas_reader(again, 50, 90, 99)
    for percent, read_ns in zip((50, 90, 99), read, strict=True):
        value_ns = exact[f"p{percent}"] * NS_PER_MS
        assert value_ns - 1 <= read_ns <= value_ns * 1.001 + 1024
    assert values_at(again, [rank_of(percent, len(values)) for percent in (50, 90, 99)]) == read
    rows = [line.split() for line in to_hgrm(histogram).splitlines()[2:] if line[0] != "#"]
    median = next(float(row[0]) for row in rows if float(row[1]) >= 0.5)
    assert median == pytest.approx(exact["p50"], rel=1e-3, abs=2e-3)


def test_all_ranks_are_read_in_one_go() -> None:
    histogram = new_histogram()
    for value in (5_000, 5_000, 80_000, 9_000_000):
        histogram.record_value(value)
    found = values_at(histogram, [1, 2, 3, 4, 4])
    assert found == pytest.approx([5_000, 5_000, 80_000, 9_000_000, 9_000_000], abs=9_000)
    assert [rank_of(p, 18) for p in (0, 50, 90, 99, 99.9, 100)] == [1, 9, 17, 18, 18, 18]
    assert (rank_of(99.9, 1000), rank_of(0.1, 1000), rank_of(50, 1)) == (999, 1, 1)


def test_a_name_cannot_break_the_log() -> None:
    histogram = new_histogram()
    histogram.record_value(5_000)
    log = to_hlog({"a b,c\nd\x1b": histogram}, start_s=0, length_s=1, comment="of [x]\n#[y]\u202e")
    lines = log.splitlines()
    assert lines[0] == "#[of [x] #[y]\\u202e]"
    assert lines[-1].startswith("Tag=a;b;c;d\\x1b,0.000,1.000,")
    assert len(lines) == 5
