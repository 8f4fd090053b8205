"""The report of a campaign, read back from its SVG."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from roundtrip.scenario_file import load_scenario
from testbed.campaign.report import write_campaign_report
from testbed.campaign.runs import run_campaign, summarise_campaign
from testbed.campaign.sweep import points_of

SCENARIOS = Path(__file__).parents[4] / "testbed" / "scenarios"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    scenario = load_scenario(SCENARIOS / "demo.toml")
    settings = ("link.uplink.loss=0,0.2", "link.downlink.loss=0.1")
    points = points_of(scenario, settings)
    folder = tmp_path_factory.mktemp("campaign")
    lines = run_campaign(points, 3, folder, replay="", jobs=1, on_batch=lambda done, total: None)
    summary, histograms = summarise_campaign(points, lines)
    path = write_campaign_report(folder, summary, histograms)
    return path.read_text()


def test_each_point_has_a_curve_that_only_rises(page: str) -> None:
    curves = re.findall(r'<polyline stroke="[^"]*" points="([^"]*)"', page)
    assert len(curves) == 2
    for curve in curves:
        places = [tuple(map(float, pair.split(","))) for pair in curve.split()]
        assert places == sorted(places, key=lambda place: (place[0], -place[1]))
        assert all(0 <= y <= 220 for _, y in places)


def test_settings_are_named_as_shortly_as_tells_them_apart(page: str) -> None:
    assert "uplink.loss 0, downlink.loss 0.1" in page
    assert "uplink.loss 0.2, downlink.loss 0.1" in page


def test_shares_and_phases_have_a_bar_for_each_point(page: str) -> None:
    assert len(re.findall(r'<line class="interval"', page)) == 2
    assert len(re.findall(r'<rect class="uplink" x=', page)) == 2
    assert "100.0%" in page
    assert "http" not in page.replace("http://www.w3.org", ""), "offline"
