from __future__ import annotations

from pathlib import Path

import pytest

from roundtrip.errors import EXIT_BAD_INPUT, BadConfig
from roundtrip.scenario_file import PRESETS, load_scenario
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
