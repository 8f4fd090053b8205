"""A station that is watched: from an event to the screen, many watchers, and a long history.

A real station on this machine, and Debian's Chromium through Playwright.
"""

from __future__ import annotations

import json
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from bench.row import Row
from ground.history import History

SCENARIO = "geo-relay"
ASKED = 40
WATCHERS = 50
WATCHED_S = 30.0
ASKED_EVERY_S = 2.0
IN_HISTORY = 10_000
SEEN = """() => {
  window.seen = {};
  new MutationObserver(() => requestAnimationFrame(() => {
    const first = document.querySelector("#answers li .text");
    if (first && !(first.textContent in window.seen)) window.seen[first.textContent] = Date.now();
  })).observe(document.querySelector("#answers"), { childList: true });
}"""


def rows() -> list[Row]:
    """Times in ms, CPU in percent of a core."""
    if shutil.which("chromium") is None:
        return [Row("dashboard (needs Debian's chromium and playwright)", 0, "ms", 0, False)]
    with tempfile.TemporaryDirectory() as name:
        return [*_screen(Path(name) / "one"), *_watched(Path(name) / "two")]


def _screen(folder: Path) -> list[Row]:
    folder.mkdir()
    history = History(folder / "history.sqlite")
    for number in range(IN_HISTORY):
        history.add(_outcome(number), str(folder), 1_780_272_000 + number)
    history.close()
    with station(folder) as (url, _), _page() as page:
        page.goto(url)
        page.wait_for_selector("#answers li:nth-child(20)")
        paint_ms, filled_ms = page.evaluate(
            "[performance.getEntriesByName('first-contentful-paint')[0].startTime,"
            " performance.now()]"
        )
        page.evaluate(SEEN)
        told = _settled_at(url)
        for number in range(ASKED):
            _ask(url, f"question {number}?")
            page.wait_for_timeout(400)
        page.wait_for_timeout(1000)
        seen: dict[str, float] = page.evaluate("window.seen")
    late_ms = sorted(seen[text] - told[text] for text in seen if text in told)
    what = f"{len(late_ms)} of {ASKED} events"
    return [
        Row("event to the screen, p50", statistics.median(late_ms), "ms", 100, False, what),
        Row("the same, the slowest", late_ms[-1], "ms", 100, False),
        Row(f"first paint, {IN_HISTORY:,} in history", paint_ms, "ms", 1000, False),
        Row("the same, until the latest answers are there", filled_ms, "ms", 1000, False),
    ]


def _watched(folder: Path) -> list[Row]:
    folder.mkdir()
    with station(folder) as (url, process):
        alone = _cpu_share(url, process)
        for _ in range(WATCHERS):
            _settled_at(url)
        time.sleep(1)
        watched = _cpu_share(url, process)
    note = f"{60 / ASKED_EVERY_S:g} questions a minute; {alone * 100:.1f} % without any"
    return [Row(f"{WATCHERS} watchers", watched * 100, "% of a core", 10, False, note)]


def _cpu_share(url: str, station: psutil.Process) -> float:
    """Of the station's process while questions come."""
    begin, before = time.monotonic(), sum(station.cpu_times()[:2])
    while time.monotonic() - begin < WATCHED_S:
        _ask(url, "EPS.VBAT=7.1 V\nIs EPS.VBAT low?")
        time.sleep(ASKED_EVERY_S)
    used = sum(station.cpu_times()[:2]) - before
    return float(used / (time.monotonic() - begin))


@contextmanager
def station(folder: Path, scenario: str = SCENARIO) -> Iterator[tuple[str, psutil.Process]]:
    """A station that stands, its address and its process."""
    words = [sys.executable, "-m", "testbed", "up", scenario, "--port", "0"]
    output = folder / "output"
    with output.open("w") as out:
        process = subprocess.Popen([*words, "--out", str(folder)], stdout=out, stderr=out)
    try:
        while "carrier up" not in (said := output.read_text()):
            if process.poll() is not None:
                raise RuntimeError(f"no station: {said}")
            time.sleep(0.1)
        found = re.search(r"http://\S+:\d+", said)
        assert found is not None
        yield found[0], psutil.Process(process.pid)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)


@contextmanager
def _page() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        yield browser.new_page()
        browser.close()


def _settled_at(url: str) -> dict[str, float]:
    """Listen, and note when questions are settled, ms since 1970, by their text."""
    told: dict[str, float] = {}
    stream = urllib.request.urlopen(f"{url}/api/events")

    def listen() -> None:
        for line in stream:
            if line.startswith(b"data: "):
                event = json.loads(line[6:])
                if event["event"] == "settled":
                    told[event["text"]] = time.time() * 1000

    threading.Thread(target=listen, daemon=True).start()
    return told


def _ask(url: str, text: str) -> None:
    data = json.dumps({"text": text}).encode()
    with urllib.request.urlopen(urllib.request.Request(f"{url}/api/questions", data)):
        pass


def _outcome(number: int) -> dict[str, Any]:
    phases = {"ground_queue": 0.1, "uplink": 0.3, "prefill": 0.1, "decode": 0.2, "downlink": 0.3}
    return {
        "id": f"{number:014x}",
        "index": number,
        "text": f"EPS.VBAT={number % 10} V\nIs EPS.VBAT low, number {number}?",
        "outcome": "on_time",
        "reason": "",
        "answer": "EPS.VBAT is within limits.",
        "loop_s": 1.0,
        "phases_s": phases,
        "stages_s": {},
        "settled_s": float(number),
        "split": "frame_log",
        "priority": 1,
        "expected_at_s": None,
        "prompt_tokens": 9,
        "output_tokens": 9,
        "finish_reason": "stop",
    }
