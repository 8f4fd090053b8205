"""The dashboard in a real browser: asks, sees the answer, and survives a restart of the station."""

from __future__ import annotations

import os
import shutil
import signal
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from roundtrip.command import SHIPPED
from roundtrip.scenario_file import load_scenario
from roundtrip.stages import PHASES

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
    expect(page.locator("#intime")).to_have_text("1 of 1")
    phases = [phase.replace("_", " ") for phase in PHASES]
    assert page.locator("#legend").inner_text().split("\n") == phases
    expect(page.locator("#histogram rect")).to_have_count(1)
    kept(page, "dashboard", tmp_path)
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


def kept(page, name: str, tmp_path: Path) -> None:
    """A picture of the page, kept where GROUNDLOOP_SCREENSHOTS says."""
    folder = Path(os.environ.get("GROUNDLOOP_SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=folder / f"{name}.png")


def in_a_pass(path: Path) -> Path:
    """A scenario in whose orbit a pass is under way now."""
    shipped = SHIPPED / "leo-now.toml"
    text = shipped.read_text().replace("hours = 1440", "hours = 36")
    text = text.replace('"telemetry.jsonl"', f'"{shipped.with_name("telemetry.jsonl")}"')
    for raan_deg in range(0, 360, 45):  # which planes pass over the station is by time of day
        start = time.time() - 3 * 3600
        turned = text.replace("[[satellite]]", f"[[satellite]]\nraan_deg = {raan_deg}")
        for _ in range(8):
            begun = datetime.fromtimestamp(int(start), UTC).isoformat()
            path.write_text(turned.replace('start = "now"', f"start = {begun}"))
            since_s = time.time() - start
            contacts = load_scenario(path).contact
            mine = min(contacts, key=lambda one: abs(one.start_s + 20 - since_s))
            if mine.start_s + 10 < since_s < mine.start_s + 60:
                return path
            start -= mine.start_s + 20 - since_s
    raise AssertionError("no pass found")


CONTRAST = """() => {
  const linear = (v) => v / 255 <= .03928 ? v / 255 / 12.92 : ((v / 255 + .055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => .2126 * linear(r) + .7152 * linear(g) + .0722 * linear(b);
  const rgb = (text) => text.match(/[0-9.]+/g).map(Number);
  const behind = (e) => {
    for (; e; e = e.parentElement) {
      const c = rgb(getComputedStyle(e).backgroundColor);
      if (c.length < 4 || c[3] > 0) return c.slice(0, 3);
    }
    return [255, 255, 255];
  };
  const poor = [];
  for (const e of document.querySelectorAll("body *")) {
    const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || !e.getClientRects().length) continue;
    const style = getComputedStyle(e), drawn = e.namespaceURI.endsWith("svg");
    const ink = rgb(drawn ? style.fill : style.color).slice(0, 3);
    const [a, b] = [light(ink), light(behind(e))].sort((x, y) => y - x);
    if ((a + .05) / (b + .05) < 4.5) poor.push(e.tagName + " " + e.textContent.slice(0, 30));
  }
  return poor;
}"""
"""Texts with less than 4.5 to what is behind them (WCAG 2.1, contrast and relative luminance)."""


def test_a_pass_is_watched_light_and_dark_by_keyboard_and_on_a_phone(
    start, port_of, tmp_path: Path, page, expect
) -> None:
    scenario = in_a_pass(tmp_path / "pass.toml")
    program = start("testbed", "up", str(scenario), "--out", str(tmp_path / "run"), "--port", "0")
    port = port_of(program)
    page.goto(f"http://127.0.0.1:{port}/")
    expect(page.locator("#link")).to_contain_text("carrier up", timeout=30_000)
    expect(page.locator("#satellite")).to_be_visible()
    expect(page.locator("#nowline")).to_have_count(1)
    expect(page.locator("#passname")).to_have_text("LOS in")
    before = page.locator("#satellite").get_attribute("cx")
    page.keyboard.press("/")
    page.keyboard.type("Is EPS.VBAT low?")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#answers")).to_contain_text("Is EPS.VBAT low?", timeout=30_000)
    expect(page.locator("#heard")).to_contain_text("answer: ")
    expect(page.locator("#satellite")).not_to_have_attribute("cx", before)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert page.evaluate(CONTRAST) == []
        page.evaluate("document.querySelector('h1').style.color = 'var(--page)'")
        assert page.evaluate(CONTRAST) == ["H1 groundloop station"], "one that cannot be read"
        page.evaluate("document.querySelector('h1').style.color = ''")
        kept(page, f"dashboard-{scheme}", tmp_path)
    page.fill("#query", "vbat")
    page.keyboard.press("Enter")
    expect(page.locator("#found")).to_contain_text("Is EPS.VBAT low?")
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    kept(page, "dashboard-phone", tmp_path)
    page.select_option("#level", "error")
    assert page.locator("#events li:visible").count() == 0
    assert page.complaints == []
    program.process.send_signal(signal.SIGINT)
    assert program.wait() == 0, program.output()


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
