"""Real clients over a live link with outages in the middle: nothing is lost or sent twice."""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

pytestmark = pytest.mark.live

FRAME = "EPS.VBAT 7.10 V\nEPS.SOC 071 %\nWhat is EPS.SOC?"


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """A link that nobody is told is gone for six seconds, twice."""
    way = "rate_bps = 64_000\none_way_delay_ms = 20\n"
    outages = "".join(
        f'[[outage]]\nstart_s = {start}\nend_s = {start + 6}\nkind = "silent"\n'
        for start in (6, 20)
    )
    path = tmp_path / "broken.toml"
    path.write_text(
        f"[link.uplink]\n{way}[link.downlink]\n{way}{outages}"
        '[workload]\nquestions = ["?"]\ncount = 1\nmax_tokens = 60\ntemperature = 0\n'
        '[node]\nmodel = "builtin"\nthreads = 1\ncontext = 1024\n'
    )
    return path


def until_s(port: str, at_s: float) -> None:
    """Wait for a moment of the plan."""
    import urllib.request

    while True:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/status") as said:
            left_s = at_s - json.load(said)["clock_s"]
        if left_s <= 0:
            return
        time.sleep(min(left_s, 0.5))


def test_clients_time_out_in_an_outage_and_each_question_is_asked_once(
    start, broken: Path, port_of, tmp_path: Path
) -> None:
    openai = pytest.importorskip("openai")
    program = start("testbed", "up", str(broken), "--port", "0", "--out", str(tmp_path / "run"))
    port = port_of(program)
    url = f"http://127.0.0.1:{port}"
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", timeout=2.5, max_retries=8)

    def chat(number: int) -> str:
        asked = [{"role": "user", "content": f"{number}\n{FRAME}"}]
        if number % 2:
            found = client.chat.completions.create(model="groundloop", messages=asked)
            return found.choices[0].message.content or ""
        patient = client.with_options(timeout=30)  # a comment comes every 10 s
        chunks = patient.chat.completions.create(model="groundloop", messages=asked, stream=True)
        return "".join(one.choices[0].delta.content or "" for one in chunks)

    def respond(number: int) -> str:
        found = client.responses.create(
            model="groundloop", input=f"{number}\n{FRAME}", background=True
        )
        while found.status in ("queued", "in_progress"):
            time.sleep(0.3)
            found = client.responses.retrieve(found.id)
        return found.output_text

    until_s(port, 6.2)
    with ThreadPoolExecutor(6) as pool:
        chats = pool.map(chat, range(4))
        responses = pool.map(respond, range(4, 6))
        said = [*chats, *responses]
    assert all("71" in text for text in said), said
    history = client.with_options(base_url=url).get("/api/questions?count=99", cast_to=object)
    assert sorted(one["text"] for one in history) == [f"{n}\n{FRAME}" for n in range(6)]
    client.close()
    gc.collect()
    program.process.send_signal(signal.SIGINT)
    assert program.wait() == 0, program.output()


def test_llm_asks_over_the_link(start, near: Path, port_of, tmp_path: Path) -> None:
    """The `llm` command, told of the station as of any server with OpenAI's API."""
    pytest.importorskip("llm")
    program = start("testbed", "up", str(near), "--port", "0", "--out", str(tmp_path / "run"))
    port = port_of(program)
    program.wait_for("node: groundloop")
    folder = tmp_path / "llm"
    folder.mkdir()
    (folder / "extra-openai-models.yaml").write_text(
        "- model_id: orbit\n  model_name: groundloop\n"
        f"  api_base: http://127.0.0.1:{port}/v1\n  api_key_name: orbit\n"
    )
    for words in ([], ["--no-stream"]):
        done = subprocess.run(
            [sys.executable, "-m", "llm", "-m", "orbit", "--key", "none", *words, FRAME],
            env=os.environ | {"LLM_USER_PATH": str(folder)},
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "71" in done.stdout
    program.process.send_signal(signal.SIGINT)
    assert program.wait() == 0, program.output()
