from __future__ import annotations

import io

import pytest
from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader

from ground.results.histogram import histograms, new_histogram, quantiles_ms, to_hgrm, to_hlog
from roundtrip.budget import Budget
from roundtrip.units import NS_PER_S

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
    assert lines[-2].startswith("#[Max     =")
