"""Values are put where a dotted key says."""

from __future__ import annotations

import pytest

from roundtrip.command import SHIPPED
from roundtrip.errors import BadConfig
from roundtrip.scenario import Scenario
from roundtrip.scenario_file import load_scenario
from testbed.campaign.sweep import points_of


@pytest.fixture
def scenario() -> Scenario:
    return load_scenario(SHIPPED / "demo.toml")


def test_an_element_of_a_list_can_be_swept(scenario: Scenario) -> None:
    both = points_of(scenario, ('workload.questions.1="First?","Other?"',))
    before = scenario.workload.questions
    for point, text in zip(both, ("First?", "Other?"), strict=True):
        questions = point.scenario.workload.questions
        assert questions[1].text == text
        assert (questions[0], questions[2:]) == (before[0], before[2:])


def test_a_key_in_an_element_of_a_list_can_be_swept(scenario: Scenario) -> None:
    (point,) = points_of(scenario, ("outage.0.kind=silent",))
    assert point.scenario.outage[0].kind == "silent"


@pytest.mark.parametrize("key", ["workload.questions.9999", "workload.questions.x", "contact.-1"])
def test_an_element_that_is_not_there_is_refused(scenario: Scenario, key: str) -> None:
    with pytest.raises(BadConfig, match="an unknown one"):
        points_of(scenario, (f'{key}="?"',))


def test_without_a_sweep_there_is_the_scenario_itself(scenario: Scenario) -> None:
    (point,) = points_of(scenario, ())
    assert point.scenario is scenario
    assert point.name == "all"
