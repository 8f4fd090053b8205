"""What options take: numbers and dates, and nothing that looks like them."""

from __future__ import annotations

from datetime import UTC, datetime

import click
import pytest
from click.testing import CliRunner

from ground.__main__ import ground_command
from node.__main__ import node_command
from roundtrip.command import Day, Number
from testbed.commands.coverage import coverage_command
from testbed.commands.passes import passes_command


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e400", "11", "-1", "x", ""])
def test_a_number_is_one_of_its_range(text: str) -> None:
    with pytest.raises(click.BadParameter):
        Number(0, 10).convert(text, None, None)


def test_the_ends_of_a_range_belong_to_it() -> None:
    assert [Number(0, 10).convert(text, None, None) for text in ("0", "1e1", "-0")] == [0, 10, 0]


@pytest.mark.parametrize("text", ["1780272000", "nan", "0001-01-01", "2100-01-01", "yesterday", ""])
def test_a_date_is_none_of_these(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is not a date"):
        Day().convert(text, None, None)


def test_a_date_is_utc_without_a_zone() -> None:
    wanted = datetime(2026, 6, 1, 12, tzinfo=UTC)
    assert Day().convert("2026-06-01T12:00", None, None) == wanted
    assert Day().convert("2026-06-01T14:00+02:00", None, None) == wanted


@pytest.mark.parametrize(
    "command",
    [passes_command, coverage_command, ground_command, node_command],
    ids=lambda c: c.name,
)
def test_no_option_of_a_number_takes_what_is_none(command: click.Command) -> None:
    numbers = [
        option
        for option in command.params
        if isinstance(option.type, click.FloatRange | click.types.FloatParamType)
    ]
    assert numbers
    for option in numbers:
        assert isinstance(option.type, Number)
        assert option.type.max is not None


def test_usage_says_which_option_it_is() -> None:
    for arguments in (["--hours", "nan"], ["--start", "1780272000"], ["--budget", "inf"]):
        result = CliRunner().invoke(coverage_command, arguments)
        assert result.exit_code == 2
        assert arguments[0] in result.output
