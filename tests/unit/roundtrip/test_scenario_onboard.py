"""What a scenario says of data, tools and images on board."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from roundtrip.errors import BadConfig
from roundtrip.onboard import CameraConfig, TelemetryConfig, ToolsConfig
from roundtrip.scenario_file import check_scenario, load_scenario, to_toml

SEES: dict[str, object] = {"camera": {"folder": "x"}, "engine": "http://127.0.0.1:1"}
WAY = {"rate_bps": 9600, "one_way_delay_ms": 5}


def scenario(workload: dict[str, object], **node: object) -> dict[str, object]:
    usual: dict[str, object] = {"questions": ["?"], "count": 1}
    return {"link": {"uplink": WAY, "downlink": WAY}, "workload": usual | workload, "node": node}


@pytest.mark.parametrize(
    ("workload", "node", "key"),
    [
        ({"see": ["telemetry"]}, {}, "workload.see"),
        ({"see": ["telemetry.history"]}, SEES, "workload.see"),
        ({}, {"camera": {"folder": "x"}}, "node"),
        ({"see": ["camera/a.jpg"]}, {"telemetry": {}}, "workload.see"),
        ({"see": ["weather"]}, {"telemetry": {}}, "workload.see.0"),
        ({"see": ["camera/"]}, SEES, "workload.see.0"),
        ({"see": ["camera/../a"]}, SEES, "workload.see.0"),
        ({"tools": ["time.now"]}, {}, "workload.tools"),
        ({"tools": ["time.now"]}, {"tools": {}}, "workload.tools"),
        ({"tools": ["Time"]}, {"tools": {}}, "workload.tools.0"),
        ({"questions": [{"text": "?", "see": ["telemetry"]}]}, {}, "workload.questions.0.see"),
        ({"questions": [{"text": "?", "tools": ["a"]}]}, {}, "workload.questions.0.tools"),
        ({"questions": [{"text": "?", "rule": "a", "expected": "b"}]}, {}, "workload.questions.0"),
        (
            {"tools": ["passes.next"], "response_schema": "{}"}, {"tools": {}}, "workload",
        ),
    ],
)  # fmt: skip
def test_what_is_not_on_board_is_named(
    workload: dict[str, object], node: dict[str, object], key: str
) -> None:
    with pytest.raises(BadConfig) as caught:
        check_scenario(scenario(workload, **node), "test")
    assert caught.value.key == key


def test_what_is_there_may_be_asked_for() -> None:
    tools = {"allow": ["files.read", "a.b"], "folder": "docs", "command": [
        {"name": "a.b", "description": "It.", "argv": ["/bin/true"]},
    ]}  # fmt: skip
    table = scenario(
        {"see": ["telemetry", "camera/a.jpg"], "tools": ["a.b"]},
        telemetry={}, tools=tools, **SEES,
    )  # fmt: skip
    found = check_scenario(table, "test")
    assert found.workload.see == ("telemetry", "camera/a.jpg")
    assert found.node.tools is not None
    assert found.node.tools.command[0].parameters == {"type": "object"}


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ({"allow": ["files.read"]}, "a folder, for files.read"),
        ({"allow": ["wheel"]}, "allow: of telemetry.read, .*, not wheel"),
        ({"command": [{"name": "time.now", "description": "x", "argv": ["x"]}]}, "of its own"),
        ({"command": [{"name": "a", "description": "x", "argv": ["x"]}] * 2}, "not a again"),
        ({"command": [{"name": "a", "description": "x", "argv": []}]}, "at least 1 item"),
        ({"timeout_s": 0}, "0.05"),
        ({"max_bytes": 10}, "64"),
    ],
)
def test_tools_are_checked(table: dict[str, object], expected: str) -> None:
    with pytest.raises(ValidationError, match=expected):
        ToolsConfig.model_validate(table)


@pytest.mark.parametrize("source", ["", "feed", "feed.txt", "http://x"])
def test_a_feed_is_one_of_ours_or_a_file(source: str) -> None:
    with pytest.raises(ValidationError, match="simulator, machine, or a file"):
        TelemetryConfig(source=source)
    assert TelemetryConfig(source="feed.jsonl").source == "feed.jsonl"
    with pytest.raises(ValidationError):
        CameraConfig(folder="")


def test_paths_are_the_scenarios(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    table = scenario(
        {}, telemetry={"source": "feed.csv"}, tools={"allow": ["files.read"], "folder": "docs"},
        camera={"folder": "pictures"}, engine="http://127.0.0.1:1",
    )  # fmt: skip
    path.write_text(to_toml(check_scenario(table, "test")))
    node = load_scenario(path).node
    assert node.telemetry is not None
    assert node.tools is not None
    assert node.camera is not None
    assert node.telemetry.source == str(tmp_path / "feed.csv")
    assert (node.tools.folder, node.camera.folder) == (
        str(tmp_path / "docs"), str(tmp_path / "pictures"),
    )  # fmt: skip
    again = tmp_path / "b.toml"
    again.write_text(to_toml(load_scenario(path)))
    assert load_scenario(again).node == node


def test_a_feed_of_ours_is_no_path(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text(to_toml(check_scenario(scenario({}, telemetry={}), "test")))
    telemetry = load_scenario(path).node.telemetry
    assert telemetry is not None
    assert telemetry.source == "simulator"
