from __future__ import annotations

from pathlib import Path

import pytest

from roundtrip.drive import clock
from roundtrip.errors import EXIT_BAD_INPUT, BadConfig
from roundtrip.scenario_file import MAX_QUESTIONS_BYTES, PRESETS, load_scenario
from roundtrip.units import NS_PER_S

GOOD = """
[link.uplink]
rate_bps = 9600
one_way_delay_ms = 6
[link.downlink]
rate_bps = 1000000
one_way_delay_ms = 6
[workload]
questions = ["How are you?", { text = "2 + 2?", expected = "4" }]
count = 3
"""


def _write(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text)
    return path


def test_defaults_and_name(tmp_path: Path) -> None:
    scenario = load_scenario(_write(tmp_path, GOOD))
    assert scenario.name == "mine"
    assert scenario.budget.loop_s == 120
    assert scenario.plan().both.at(10**18) is not None
    assert [item.expected for item in scenario.workload.questions] == [None, "4"]


def test_planned_outages_leave_the_plan_and_others_stay(tmp_path: Path) -> None:
    text = GOOD + "[[contact]]\nstart_s = 0\nend_s = 100\n"
    text += "[[outage]]\nstart_s = 10\nend_s = 20\nkind = 'planned'\ndirection = 'uplink'\n"
    text += "[[outage]]\nstart_s = 30\nend_s = 40\nkind = 'silent'\n"
    plan = load_scenario(_write(tmp_path, text)).plan()
    assert plan.uplink.spans == ((0, 10 * NS_PER_S), (20 * NS_PER_S, 100 * NS_PER_S))
    assert plan.downlink.spans == ((0, 100 * NS_PER_S),)


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("count = 3", "count = 3\ncolour = 1", "workload.colour"),
        ("rate_bps = 9600", "rate_bps = -9600", "link.uplink.rate_bps"),
        ("rate_bps = 9600", "rate_bps = 'fast'", "link.uplink.rate_bps"),
        ("one_way_delay_ms = 6\n[link.d", "one_way_delay_ms = nan\n[link.d", "link.uplink"),
        ("rate_bps = 9600\n", "", "link.uplink.rate_bps"),
        ("rate_bps = 9600", "rate_bps = 9600\nloss = 1.5", "link.uplink.loss"),
        ("rate_bps = 9600", "rate_bps = 9600\nqueue_bytes = 100", "link"),
        ("count = 3", "count = 0", "workload.count"),
        ("count = 3", "", "workload.count"),
        ("count = 3", "count = 3\nquestions_file = 'q.txt'", "workload"),
        ("count = 3", "count = 3\n[budget]\nexpire_s = 10", "budget"),
        ("count = 3", "count = 3\n[budget]\nloop_s = 1e300", "budget.loop_s"),
        ("count = 3", "count = 3\ntop_k = 2000000", "workload.top_k"),
        ("count = 3", "count = 3\nrate_per_min = 1e-300", "workload.rate_per_min"),
        ("count = 3", "count = 3\nstart_s = 1e300", "workload.start_s"),
        ("count = 3", "count = 3\n[[contact]]\nstart_s = 0\nend_s = 1e300", "contact.0.end_s"),
        ("How are you?", "é" * 40_000, "workload.questions.0.text"),
        ('"How are you?"', '{ txt = "a" }', "workload.questions.0.text"),
        ('"How are you?"', '""', "workload.questions.0.text"),
        ("count = 3", f"count = 3\nsystem = '{'é' * 40_000}'", "workload.system"),
        ("[link.uplink]", f"seed = {2**63}\n[link.uplink]", "seed"),
        ("count = 3", "count = 3\n[[contact]]\nstart_s = 9\nend_s = 3", "contact.0"),
        ("count = 3", "count = 3\n[[outage]]\nstart_s = 1\nend_s = 3\nkind = 'x'", "outage.0.kind"),
    ],
)
def test_each_mistake_names_file_and_key(tmp_path: Path, old: str, new: str, key: str) -> None:
    assert old in GOOD
    path = _write(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(BadConfig) as caught:
        load_scenario(path)
    assert caught.value.source == str(path)
    assert caught.value.key.startswith(key)
    assert caught.value.exit_code == EXIT_BAD_INPUT


FADE = "fade = { mean_db = 1, sigma_db = 1, time_constant_s = 1e-9, margin_db = 1 }"
HANDOVER = "handover = { every_s = 1e-10, burst_ms = 1 }"
SPAN = "[[contact]]\nstart_s = 1\nend_s = 1.0001\nranges_km = [500, 600]"


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ("rate_bps = 9600", f"rate_bps = 9600\n{FADE}", r"link\.uplink\.fade\.time_constant_s"),
        ("rate_bps = 9600", f"rate_bps = 9600\n{HANDOVER}", r"handover\.every_s.* 0\.001"),
        (
            "rate_bps = 9600",
            "rate_bps = 9600\nbit_error_rate = 1e-310",
            r"link\.uplink\.bit_error_rate: expected 0, or 1e-15 or more, found 1e-310",
        ),
        ("rate_bps = 9600", "rate_bps = 9600\nloss = nan", r"uplink\.loss: .* finite number"),
        ("rate_bps = 9600", "rate_bps = 9600\nqueue_bytes = 1e300", r"uplink\.queue_bytes"),
        ("count = 3", f"count = 3\n{SPAN}", r"contact\.0: expected end_s must be 0\.001 s or more"),
        (
            "count = 3",
            "count = 3\n[node]\nbeacon_s = 1e-6",
            r"node\.beacon_s: expected 0, or 1 or m",
        ),
        (
            "count = 3",
            "count = 3\n[node]\npart_s = 0.01",
            r"node\.part_s: expected 0, or 0\.1 or m",
        ),
        ("count = 3", "count = 3\n[node]\ncpu_cores = 0.001", r"node\.cpu_cores: expected 0, or 0"),
        ("count = 3", "count = 3\n[node]\nmemory_mb = 1e18", r"node\.memory_mb"),
        ("count = 3", "count = 3\n[node]\nmodel = 'a\\u0000b.gguf'", None),
        (
            "count = 3",
            'count = 3\n[node]\nmodel = "a\\u0000b.gguf"',
            r"node\.model: expected one line",
        ),
        (
            "count = 3",
            'count = 3\n[node]\nprofile = "a\\nb.toml"',
            r"node\.profile: expected one l",
        ),
        (
            "count = 3",
            "count = 100000\nrate_per_min = 1e-3",
            r"workload: expected a last question w",
        ),
        (
            "[link.uplink]",
            'name = "day 1\\nnight 2"\n[link.uplink]',
            r": name: expected one line of p",
        ),
        ("[link.uplink]", f'name = "{"x" * 101}"\n[link.uplink]', r": name: "),
        (
            "[link.uplink]",
            f"seed = {'9' * 5000}\n[link.uplink]",
            r"expected TOML, found too long a n",
        ),
        (
            "[link.uplink]",
            f"{'a.' * 20000}a = 1\n[link.uplink]",
            r"line 2: expected at most 32 lev",
        ),
        (
            "[link.uplink]",
            f"a = {'[' * 20000}\n[link.uplink]",
            r"line 2: expected at most 32 levels",
        ),
        ("[link.uplink]", '"a\\nb" = 1\n[link.uplink]', r": a b: expected a known key"),
    ],
)
def test_no_value_is_near_nothing_or_without_end(
    tmp_path: Path, old: str, new: str, match: str | None
) -> None:
    path = _write(tmp_path, GOOD.replace(old, new, 1))
    if match is None:
        assert load_scenario(path).node.model.endswith("b.gguf")
        return
    with pytest.raises(BadConfig, match=match) as caught:
        load_scenario(path)
    assert str(caught.value).isprintable()


ORBIT = """
[orbit]
start = {}
hours = 24
[[satellite]]
name = "one"
altitude_km = {}
[[station]]
name = "Berlin"
lat_deg = 52.5
lon_deg = 13.4
"""


@pytest.mark.parametrize(
    ("start", "first"),
    [
        ("2026-06-01T02:00:00Z", "2026-06-01T02:00:00Z"),
        ("2026-06-01T02:00:00", "2026-06-01T02:00:00Z"),
        ("2026-06-01 02:00:00", "2026-06-01T02:00:00Z"),
        ("2026-06-01T02:00:00+02:00", "2026-06-01T02:00:00+02:00"),
        ("2026-06-01", "2026-06-01T00:00:00Z"),
        ('"2026-06-01"', "2026-06-01T00:00:00Z"),
        ('"20260601"', "2026-06-01T00:00:00Z"),
        ('"2026-06-01T02:00:00+02:00"', "2026-06-01T02:00:00+02:00"),
        ("1957-01-01", "1957-01-01T00:00:00Z"),
        ("20260601", None),
        ("1780272000", None),
        ("1780272000.5", None),
        ('"1780272000"', None),
        ('"yesterday"', None),
        ("true", None),
        ("07:32:00", None),
        ("[2026, 6, 1]", None),
        ("1956-12-31T23:59:59Z", None),
        ("2100-01-01", None),
        ("0001-01-01", None),
        ("9999-12-31T23:59:59-14:00", None),
        ("0001-01-01T00:00:00+14:00", None),
    ],
)
def test_a_date_is_a_date(tmp_path: Path, start: str, first: str | None) -> None:
    path = _write(tmp_path, GOOD + ORBIT.format(start, 550))
    if first is None:
        with pytest.raises(BadConfig, match=r"orbit\.start: expected a date "):
            load_scenario(path)
        return
    orbit = load_scenario(path).orbit
    assert orbit is not None
    assert orbit.model_dump(mode="json")["start"] == first


def test_now_is_when_the_file_is_read_or_what_it_is_said_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "unix_s", lambda: 1_780_272_000)
    path = _write(tmp_path, GOOD + ORBIT.format('"now"', 550))
    of_now, dated = load_scenario(path), load_scenario(path, now="2026-06-01T06:00:00Z")
    assert of_now.orbit.start.isoformat() == "2026-06-01T00:00:00+00:00"
    assert dated.orbit.start.isoformat() == "2026-06-01T06:00:00+00:00"
    assert of_now.contact[0].start_s != dated.contact[0].start_s, "the earth turns"
    path = _write(tmp_path, GOOD + ORBIT.format("2026-06-02", 550))
    assert load_scenario(path, now="2026-06-01").orbit.start.day == 2, "a date is a date"


def test_no_inclination_is_sun_synchronous_high_up(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match=r"satellite\.0: expected an altitude_km below 5974"):
        load_scenario(_write(tmp_path, GOOD + ORBIT.format("2026-06-01", 5974)))


def test_the_search_for_passes_has_an_end(tmp_path: Path) -> None:
    station = ORBIT[ORBIT.index("[[station]]") :]
    text = GOOD + ORBIT.format("2026-06-01", 5973).replace("hours = 24", "hours = 8784")
    path = _write(tmp_path, text + "".join(station.replace("Berlin", f"{n}") for n in range(11)))
    with pytest.raises(BadConfig, match=r"orbit\.hours: expected at most .* 12 stations"):
        load_scenario(path)


def test_a_byte_order_mark_is_not_read(tmp_path: Path) -> None:
    mark = "\ufeff"
    text = GOOD.replace('questions = ["How are you?", { text = "2 + 2?", expected = "4" }]', "")
    for name, content in (("q.txt", f"{mark}one\ntwo"), ("q.jsonl", f'{mark}{{"text": "one"}}')):
        (tmp_path / name).write_text(content)
        path = _write(
            tmp_path, mark + text.replace("count = 3", f"count = 3\nquestions_file = '{name}'")
        )
        assert load_scenario(path).workload.questions[0].text == "one"


def test_a_file_of_questions_that_cannot_be_read_is_named_with_its_key(tmp_path: Path) -> None:
    text = GOOD.replace('questions = ["How are you?", { text = "2 + 2?", expected = "4" }]', "")
    path = _write(tmp_path, text.replace("count = 3", "count = 3\nquestions_file = 'q.txt'"))
    with pytest.raises(
        BadConfig, match=r"questions_file: .*that can be read, found .*q\.txt: No such"
    ):
        load_scenario(path)
    (tmp_path / "q.txt").write_bytes(b"a" * (MAX_QUESTIONS_BYTES + 1))
    with pytest.raises(BadConfig, match="of at most 8388608 bytes"):
        load_scenario(path)


def test_a_scenario_is_named_after_its_file_whatever_that_is_called(tmp_path: Path) -> None:
    path = tmp_path / "a\nb\x1b.toml"
    path.write_text(GOOD)
    assert load_scenario(path).name == "a_b_"


def test_overlapping_contacts_are_refused(tmp_path: Path) -> None:
    text = GOOD + "[[contact]]\nstart_s = 0\nend_s = 60\n[[contact]]\nstart_s = 50\nend_s = 70\n"
    with pytest.raises(
        BadConfig, match=r"contact\.1\.start_s: expected 60 or more.*overlap, found 50"
    ):
        load_scenario(_write(tmp_path, text))


@pytest.mark.parametrize("content", ["[link", "\xff"])
def test_what_is_no_toml_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "x.toml"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(BadConfig):
        load_scenario(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="No such file"):
        load_scenario(tmp_path / "none.toml")


def test_questions_come_from_a_file_beside_the_scenario(tmp_path: Path) -> None:
    (tmp_path / "q.txt").write_text("one\n\n two \n")
    text = GOOD.replace('questions = ["How are you?", { text = "2 + 2?", expected = "4" }]', "")
    path = _write(tmp_path, text.replace("count = 3", "count = 3\nquestions_file = 'q.txt'"))
    assert [item.text for item in load_scenario(path).workload.questions] == ["one", "two"]


def test_a_model_file_is_relative_to_the_scenario(tmp_path: Path) -> None:
    path = _write(tmp_path, GOOD + "[node]\nmodel = 'm.gguf'\nprofile = 'p.toml'\n")
    node = load_scenario(path).node
    assert node.model == str((tmp_path / "m.gguf").resolve())
    assert node.profile == str((tmp_path / "p.toml").resolve())


def test_only_a_newline_ends_a_question(tmp_path: Path) -> None:
    (tmp_path / "q.txt").write_text("one\u2028still one\x85too\r\ntwo")
    text = GOOD.replace('questions = ["How are you?", { text = "2 + 2?", expected = "4" }]', "")
    path = _write(tmp_path, text.replace("count = 3", "count = 3\nquestions_file = 'q.txt'"))
    texts = [item.text for item in load_scenario(path).workload.questions]
    assert texts == ["one\u2028still one\x85too", "two"]


def test_questions_with_answers_come_from_a_jsonl_file(tmp_path: Path) -> None:
    text = GOOD.replace('questions = ["How are you?", { text = "2 + 2?", expected = "4" }]', "")
    path = _write(tmp_path, text.replace("count = 3", "count = 3\nquestions_file = 'q.jsonl'"))
    (tmp_path / "q.jsonl").write_text('{"text": "one\\ntwo", "expected": "é"}\n{"text": "b"}\n')
    items = load_scenario(path).workload.questions
    assert [(item.text, item.expected) for item in items] == [("one\ntwo", "é"), ("b", None)]
    (tmp_path / "q.jsonl").write_text('{"text": "one"}\n{"txet": "b"}\n')
    with pytest.raises(BadConfig, match=r"q\.jsonl: line 2: text"):
        load_scenario(path)


PRESET = """
[link]
preset = "starlink-like"
[link.uplink]
loss = 0.25
[link.uplink.handover]
burst_ms = 10
[workload]
questions = ["?"]
count = 1
"""


def test_a_preset_lies_under_what_the_scenario_says_itself(tmp_path: Path) -> None:
    link = load_scenario(_write(tmp_path, PRESET)).link
    assert (link.uplink.loss, link.uplink.rate_bps) == (0.25, 10_000_000)
    assert link.uplink.handover is not None
    assert (link.uplink.handover.burst_ms, link.uplink.handover.every_s) == (10, 15)
    assert link.downlink.rate_bps == 100_000_000


@pytest.mark.parametrize(
    "name", sorted(path.stem for path in PRESETS.glob("*.toml") if path.stem != "stations")
)
def test_every_preset_is_a_link(tmp_path: Path, name: str) -> None:
    text = f'[link]\npreset = "{name}"\n[workload]\nquestions = ["?"]\ncount = 1\n'
    text += "[[contact]]\nstart_s = 0\nend_s = 9\nranges_km = [900, 900]\n"
    scenario = load_scenario(_write(tmp_path, text))
    assert bool(scenario.out_of_reach) == (name == "mars-like")


def test_an_unknown_preset_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="lunar"):
        load_scenario(_write(tmp_path, PRESET.replace("starlink-like", "none")))
