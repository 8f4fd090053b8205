"""Data, tools and images on board of a live node."""

from __future__ import annotations

import base64
import io
import json
import time
from pathlib import Path

import pytest

from tests.live.scenarios import LINK
from tests.live.test_http_engine import Stub
from tests.live.test_standing import groundloop

pytestmark = pytest.mark.live

SCENARIO = (
    LINK
    + """[[contact]]
start_s = 0
end_s = 300
station = "Kiruna"
max_elevation_deg = 44
[workload]
system = "You watch the telemetry of a satellite. Answer from the frame, exactly and briefly."
temperature = 0
rate_per_min = 120
max_tokens = 160
{workload}
[node]
context = 1024
{node}
"""
)


@pytest.fixture
def run(start, tmp_path: Path):
    def go(workload: str, node: str) -> tuple[list[dict], dict, str]:
        path = tmp_path / "scenario.toml"
        path.write_text(SCENARIO.format(workload=workload, node=node))
        program = start("testbed", "run", str(path), "--out", str(tmp_path / "run"))
        program.wait()
        folder = tmp_path / "run"
        loops = [json.loads(line) for line in (folder / "loops.jsonl").read_text().splitlines()]
        return loops, json.loads((folder / "summary.json").read_text()), program.output()

    return go


def feed(path: Path, age_s: float, volts: float = 23.1) -> None:
    row = {"time": time.time() - age_s, "light": "SUN", "EPS.VBAT": volts, "WHEEL [rpm]": 1200}
    cut = '{"time": 9, "EPS.VB'
    path.write_text(f"{json.dumps(row)}\n{cut}")


def test_a_file_that_something_else_writes_is_asked_about(run, tmp_path: Path) -> None:
    feed(tmp_path / "feed.jsonl", age_s=1.0)
    questions = '[{text = "Is EPS.VBAT ok?", rule = "check EPS.VBAT"}]'
    loops, summary, said = run(
        f'questions = {questions}\ncount = 2\nsee = ["telemetry"]',
        '[node.telemetry]\nsource = "feed.jsonl"\nchannels = ["EPS.VBAT"]',
    )
    assert summary["right"] == 2, said
    assert loops[0]["answer"] == "EPS.VBAT is 23.1 V, limits 24.0 to 33.6: too low."
    (seen,) = loops[0]["seen"]
    assert seen["what"] == "telemetry"
    assert 1000 <= seen["age_ms"] < 60_000
    assert summary["on_board"]["answers"] == 2


@pytest.mark.parametrize(
    ("age_s", "detail"),
    [(400.0, "telemetry: no frame for 4"), (-900.0, "in the future"), (None, "No such file")],
)
def test_what_cannot_be_seen_is_refused_and_the_node_goes_on(
    run, tmp_path: Path, age_s: float | None, detail: str
) -> None:
    if age_s is not None:
        feed(tmp_path / "feed.jsonl", age_s)
    questions = '["Is EPS.VBAT ok?", {text = "Sing about France.", see = []}]'
    loops, _, said = run(
        f'questions = {questions}\ncount = 4\nsee = ["telemetry"]',
        '[node.telemetry]\nsource = "feed.jsonl"',
    )
    assert [loop["outcome"] for loop in loops] == ["refused", "on_time"] * 2, said
    assert loops[0]["reason"] == "not_seen"
    assert detail in loops[0]["detail"]


def test_this_machine_can_be_asked_about(run) -> None:
    loops, _, said = run(
        'questions = ["How is the memory?"]\ncount = 1\nsee = ["telemetry"]',
        '[node.telemetry]\nsource = "machine"',
    )
    assert loops[0]["outcome"] == "on_time", said
    assert loops[0]["seen"][0]["bytes"] > 10


def test_a_model_calls_tools_on_the_way_to_one_answer(run, tmp_path: Path) -> None:
    questions = (
        '[{text = "What is the tank pressure? And when is the next pass?",'
        ' rule = "value PROP.PRES + pass"}]'
    )
    loops, summary, said = run(
        f'questions = {questions}\ncount = 3\ntools = ["telemetry.read", "passes.next"]',
        "[node.telemetry]\n[node.tools]",
    )
    assert summary["right"] == 3, said
    assert [one["what"] for one in loops[0]["seen"]] == ["telemetry.read", "passes.next"]
    assert "Pass over Kiruna until LOS in" in loops[0]["answer"]
    assert (tmp_path / "run" / "shown.jsonl").read_text().count("Kiruna, LOS in") >= 1


def test_an_image_is_answered_about_and_does_not_come_down(run, tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    (tmp_path / "camera").mkdir()
    image.effect_noise((1600, 1200), 40).save(tmp_path / "camera" / "frame-17.png")
    stub = Stub()
    try:
        loops, summary, said = run(
            'questions = ["Clouds?"]\ncount = 2\nsee = ["camera/frame-17.png"]',
            f'engine = "{stub.url}"\n[node.camera]\nfolder = "camera"\nmax_tokens = 100',
        )
    finally:
        stub.close()
    assert [loop["outcome"] for loop in loops] == ["on_time"] * 2, said
    shown, question = stub.asked[-1]["messages"][-1]["content"]
    assert question == {"type": "text", "text": "Clouds?"}
    head, _, data = shown["image_url"]["url"].partition(",")
    assert head == "data:image/jpeg;base64"
    small = image.open(io.BytesIO(base64.b64decode(data)))
    assert small.width * small.height <= 100 * 784
    size = (tmp_path / "camera" / "frame-17.png").stat().st_size
    assert summary["on_board"]["seen"] == {"camera/frame-17.png": {"times": 2, "bytes": 2 * size}}


def test_a_station_that_stands_is_asked_what_it_sees(start, port_of, tmp_path: Path) -> None:
    path = tmp_path / "scenario.toml"
    workload = 'questions = ["?"]\ncount = 1'
    path.write_text(
        SCENARIO.format(workload=workload, node="[node.telemetry]\n[node.tools]\n[node.thermal]")
    )
    program = start("testbed", "up", str(path), "--port", "0", "--out", str(tmp_path / "run"))
    port = port_of(program)
    asked = groundloop("ask", "Is EPS.VBAT ok?", "--see", "telemetry", "--port", port)
    assert asked.returncode == 0, asked.stderr
    assert asked.stdout.startswith("EPS.VBAT is ")
    assert "seen: telemetry of " in asked.stderr
    asked = groundloop("ask", "When is the next pass?", "--tool", "passes.next", "--port", port)
    assert asked.stdout.startswith("Pass over Kiruna until LOS in "), asked.stderr
    assert "seen: passes.next of " in asked.stderr
    asked = groundloop("ask", "Clouds?", "--see", "camera/a.jpg", "--port", port)
    assert asked.returncode == 1
    assert "not_seen: camera/a.jpg: there is no camera on board" in asked.stderr
