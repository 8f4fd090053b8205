"""A station that stands: asked from a terminal, stopped, and started again."""

from __future__ import annotations

import gc
import json
import re
import signal
import subprocess
import sys

import pytest

from roundtrip.scenario_file import load_scenario

pytestmark = pytest.mark.live


def groundloop(*words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "testbed", *words],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


def test_a_station_is_asked_and_goes_on_after_a_restart(start, near, port_of, tmp_path) -> None:
    words = ("testbed", "up", str(near), "--port", "0", "--out", str(tmp_path / "run"))
    program = start(*words)
    port = port_of(program)
    frame = "EPS.VBAT=7.1 V\nWhat is EPS.VBAT?"
    asked = groundloop("ask", "--port", port, stdin=frame)
    assert asked.returncode == 0, asked.stderr
    assert asked.stdout.strip()
    assert "on time: loop" in asked.stderr
    events = groundloop("ask", "Well?", "--port", port, "--json", "--deadline", "90s")
    kinds = [json.loads(line)["event"] for line in events.stdout.splitlines()]
    assert (kinds[0], kinds[-1]) == ("asked", "settled")
    status = groundloop("status", "--port", port)
    assert "link      up and down" in status.stdout
    assert "open      0" in status.stdout
    assert len(groundloop("answers", "--port", port, "--json").stdout.splitlines()) == 2
    twice = groundloop("up", str(near), "--port", "0", "--out", str(tmp_path / "run"))
    assert twice.returncode == 1
    assert "a run of another process" in twice.stderr
    found = groundloop("history", "eps.vb", "--port", port)
    assert frame.splitlines()[1] in found.stdout
    assert groundloop("history", "nothing like it", "--port", port).returncode == 1
    program.process.send_signal(signal.SIGINT)
    assert program.wait() == 0, program.output()
    (loops,) = (tmp_path / "run").glob("20??-??-??/loops.jsonl")
    assert {json.loads(line)["split"] for line in loops.read_text().splitlines()} == {"frame_log"}
    assert loops.with_name("report.html").exists()
    again = start(*words)
    port = port_of(again)
    assert len(groundloop("answers", "--port", port, "--json").stdout.splitlines()) == 2
    asked = groundloop("ask", "Well?", "--port", port, "--background")
    assert asked.stdout.strip().endswith("000002"), "ids are not used twice"
    again.process.send_signal(signal.SIGINT)
    assert again.wait() == 0, again.output()


def test_a_station_under_the_real_sky_goes_on_with_its_plan(start, port_of, tmp_path) -> None:
    words = ("testbed", "up", "leo-now", "--port", "0", "--out", str(tmp_path / "run"))
    starts = []
    for question in ("Well?", "And now?"):
        program = start(*words)
        port = port_of(program, until=" carrier")
        asked = groundloop("ask", question, "--port", port, "--background")
        assert asked.returncode == 0, asked.stderr
        assert re.search(r"pass      [AL]OS in \d", groundloop("status", "--port", port).stdout)
        program.process.send_signal(signal.SIGINT)
        assert program.wait() == 0, program.output()
        starts.append(load_scenario(tmp_path / "run" / "scenario.toml").orbit.start)
    assert starts[0] == starts[1]
    assert "going on: 1 question open" in program.output()


def test_without_a_station_it_says_how_to_start_one() -> None:
    found = groundloop("ask", "Well?", "--port", "9")
    assert found.returncode == 1
    assert "start one with `groundloop up`" in found.stderr
    assert len(found.stderr.splitlines()) == 1


def test_real_clients_work_over_the_link(start, near, port_of, tmp_path) -> None:
    openai, ollama = pytest.importorskip("openai"), pytest.importorskip("ollama")
    program = start("testbed", "up", str(near), "--port", "0", "--out", str(tmp_path / "run"))
    url = f"http://127.0.0.1:{port_of(program)}"
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", timeout=60)
    asked = [{"role": "user", "content": "What is EPS.VBAT?"}]
    program.wait_for("node: ")
    (model,) = client.models.list().data
    whole = client.chat.completions.create(model=model.id, messages=asked)
    text = whole.choices[0].message.content
    assert text
    assert whole.usage.completion_tokens > 0
    chunks = client.chat.completions.create(model=model.id, messages=asked, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == text
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="other", messages=asked)
    there = ollama.Client(host=url)
    assert there.list().models[0].model == model.id
    assert there.chat(model=model.id, messages=asked).message.content == text
    parts = there.generate(model=model.id, prompt=asked[0]["content"], stream=True)
    assert "".join(part.response for part in parts) == text
    client.close()
    there._client.close()
    gc.collect()  # a connection that was left open is told here, not in another test
    program.process.send_signal(signal.SIGINT)
    assert program.wait() == 0, program.output()
