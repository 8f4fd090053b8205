"""What `groundloop passes` says of a scenario."""

from __future__ import annotations

import itertools
import json

from click.testing import CliRunner

from testbed.commands.passes import passes_command


def output(*arguments: str) -> str:
    result = CliRunner().invoke(passes_command, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_the_rate_is_shown_where_it_follows_from_a_budget() -> None:
    lines = output("xband-day").splitlines()
    assert lines[0].endswith("down Mbit/s")
    assert "Svalbard" in lines[1]
    assert lines[1].rstrip().endswith("89–206")
    assert "Mbit/s" not in output("orbit-day")


def test_json_has_the_rate_of_each_step() -> None:
    found = json.loads(output("xband-day", "--json"))
    for one in found:
        (up,) = one["uplink_rates"]
        assert (up["rate_bps"], up["modcod"]) == (64_000, None)
        down = one["downlink_rates"]
        assert down[0]["start_s"] == round(one["aos_s"], 9)
        assert down[-1]["end_s"] == round(one["los_s"], 9)
        assert len(down) > 2
        assert max(step["rate_bps"] for step in down) > down[0]["rate_bps"]
        assert all(step["modcod"] for step in down)


def test_an_ion_plan_has_a_contact_for_each_rate() -> None:
    lines = [line.split() for line in output("xband-day", "--ion", "--days", "0.1").splitlines()]
    down = [line for line in lines if line[1] == "contact" and line[4:6] == ["2", "1"]]
    assert len(down) > len([line for line in lines if line[1] == "range"])
    spans = sorted((int(line[2]), int(line[3])) for line in down)
    assert all(start < end for start, end in spans)
    assert all(a[1] <= b[0] for a, b in itertools.pairwise(spans))
    assert len({line[6] for line in down}) > 5
