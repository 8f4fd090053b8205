"""The dashboard in a real browser: asks, sees the answer, and survives a restart of the station."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest

pytestmark = pytest.mark.live


@pytest.fixture
def expect():
    return pytest.importorskip("playwright.sync_api").expect


@pytest.fixture
def page():
    """A page in Debian's Chromium; what it complains of is in `page.complaints`."""
    sync_api = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium")
    if chromium is None:
        reason = "chromium is not installed (apt install chromium)"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1100, "height": 1200})
        page.complaints = []
        page.on("console", lambda said: said.type == "error" and page.complaints.append(said.text))
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        yield page
        browser.close()


def test_the_dashboard_asks_and_survives_a_restart(
    start, near: Path, port_of, tmp_path: Path, page, expect
) -> None:
    words = ("testbed", "up", str(near), "--out", str(tmp_path / "run"), "--port")
    program = start(*words, "0")
    port = port_of(program)
    page.goto(f"http://127.0.0.1:{port}/")
    expect(page.locator("#link")).to_contain_text("carrier up", timeout=30_000)
    page.fill("#question", "EPS.VBAT 7.1 V\nWhat is EPS.VBAT?")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("#answers li")
    assert "What is EPS.VBAT?" in page.inner_text("#answers li")
    assert "on time" in page.inner_text("#answers li")
    assert page.inner_text("#intime") == "1 of 1"
    assert page.locator("#histogram rect").count() == 1
    page.screenshot(path=tmp_path / "dashboard.png")
    assert page.complaints == []
    program.process.send_signal(signal.SIGINT)
    assert program.wait() == 0, program.output()
    expect(page.locator("#link")).to_contain_text("trying again", timeout=30_000)
    again = start(*words, port)
    port_of(again)
    expect(page.locator("#link")).to_contain_text("carrier up", timeout=30_000)
    page.fill("#question", "Still there?")
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.locator("#answers")).to_contain_text("Still there?", timeout=30_000)
    again.process.send_signal(signal.SIGINT)
    assert again.wait() == 0, again.output()


def test_a_page_of_another_origin_cannot_ask(
    start, near: Path, port_of, tmp_path: Path, page, expect
) -> None:
    program = start("testbed", "up", str(near), "--out", str(tmp_path / "run"), "--port", "0")
    port = port_of(program)
    page.goto("data:text/html,<p>elsewhere</p>")
    asked = page.evaluate(
        "url => fetch(url, {method: 'POST', body: JSON.stringify({text: 'x'})})"
        ".then(() => 'taken', () => 'refused')",
        f"http://127.0.0.1:{port}/api/questions",
    )
    assert asked == "refused"
    page.goto(f"http://127.0.0.1:{port}/")
    expect(page.locator("#link")).to_contain_text("carrier up", timeout=30_000)
    assert page.locator("#open li").count() == page.locator("#answers li").count() == 0
    program.process.send_signal(signal.SIGINT)
    assert program.wait() == 0, program.output()
