"""Real answers in virtual time."""

from __future__ import annotations

from pathlib import Path

import pytest

from ground.results.load import load_run
from ground.results.summary import summarise, write_results
from models.resolve import resolve
from node.engine.batching import Batcher, answer_all
from node.engine.llama import Engine, EngineSettings
from node.engine.prefixes import Prefixes
from node.engine.requests import Request
from node.service_time import TYPICAL_TOKENS, at_size, load_profile
from roundtrip.budget import Outcome
from roundtrip.drive.clock import monotonic_ns
from roundtrip.errors import BadConfig
from roundtrip.radiation import RadiationConfig
from roundtrip.scenario import Scenario
from roundtrip.scenario_file import to_toml
from roundtrip.units import NS_PER_S
from testbed.campaign.runs import Batch, run_batch
from testbed.real_engine import real_engine
from testbed.world import World


@pytest.fixture(scope="module")
def demo(shipped) -> Scenario:
    return shipped["demo"]


def test_questions_get_the_models_own_answers(demo: Scenario, tmp_path: Path) -> None:
    real = real_engine(demo)
    world = World(demo, 1, real.profile, engine=real.new)
    run = world.run()
    summary = summarise(run)
    assert (summary["graded"], summary["right"]) == (18, 18)
    assert summary["node"]["model"] == "groundloop telemetry triage"
    settings = EngineSettings(1024, 1, use_extra_bufts=False, flash=False)
    alone = Batcher(
        Engine(str(resolve("builtin")), settings),
        prefixes=Prefixes(None, ""), clock_ns=monotonic_ns, drafts=False,
    )  # fmt: skip
    workload = demo.workload
    shown = [record for record in run.records if record.planned.tools is None]
    assert len(shown) == 14
    for record in run.records:
        called = record.planned.tools is not None and record.phases_ns.get("tools", 0) > 0
        assert called or (record in shown and "tools" not in record.phases_ns)
    asked = [
        Request(
            record.planned.index,
            f"{world._shown[record.seen[0].digest]}\n\n{record.planned.text}",
            workload.system, workload.max_tokens, workload.sampling, thinking=False,
        )
        for record in shown
    ]  # fmt: skip
    texts = answer_all(alone, asked)
    (tmp_path / "scenario.toml").write_text(to_toml(demo))
    write_results(run, tmp_path)
    assert load_run(tmp_path)[0].real_engine
    assert "the model answered" in (tmp_path / "report.html").read_text()
    assert [record.answer for record in shown] == [
        texts[record.planned.index].text for record in shown
    ]


def test_another_machines_speed_is_that_of_its_profile(demo: Scenario) -> None:
    """Of a typical question; how long a step takes here is measured anew each time."""
    real = real_engine(demo, "rpi5-8gb")
    there, speed = load_profile("rpi5-8gb"), real.new().speed()
    prefill_tok_s = at_size(there.prefill_tok_s, TYPICAL_TOKENS)
    decode_tok_s = at_size(there.decode_tok_s, TYPICAL_TOKENS)
    assert speed.prefill_ns == pytest.approx(NS_PER_S / prefill_tok_s, rel=0.01)
    assert speed.step_ns[1] == pytest.approx(NS_PER_S / decode_tok_s, rel=0.01)
    assert real.profile.store_ms == there.store_ms
    assert real.profile.model == "groundloop telemetry triage"


def test_answers_are_cut_and_refused_as_time_runs_out(demo: Scenario) -> None:
    """A second for each, on a machine where one takes about that."""
    node = demo.node.model_copy(update={"part_s": 0.1})
    budget = demo.budget.model_copy(update={"loop_s": 0.5, "expire_s": 30})
    hurried = demo.model_copy(update={"node": node, "budget": budget})
    real = real_engine(hurried, "cubesat-1gb")
    run = World(hurried, 1, real.profile, engine=real.new).run()
    outcomes = {record.outcome for record in run.records}
    assert len(run.records) == 18
    assert outcomes & {Outcome.PARTIAL, Outcome.REFUSED, Outcome.LATE}
    assert all(sum(one.phases_ns.values()) == one.loop_ns for one in run.records if one.loop_ns)


@pytest.mark.parametrize(
    ("key", "value"), [("engine", "http://127.0.0.1:9"), ("radiation", RadiationConfig())]
)
def test_what_does_not_go_with_real_answers_is_refused(
    demo: Scenario, key: str, value: object
) -> None:
    node = demo.node.model_copy(update={key: value})
    with pytest.raises(BadConfig, match=rf"node\.{key}"):
        real_engine(demo.model_copy(update={"node": node}))


def test_a_profile_that_is_not_there_is_an_error(demo: Scenario) -> None:
    with pytest.raises(BadConfig, match=r"node\.profile"):
        real_engine(demo, "abacus")


def test_a_campaign_counts_right_answers(demo: Scenario) -> None:
    batch = Batch(0, 0, 2)
    line = run_batch(demo, load_profile("builtin"), batch, "", real=True)
    assert (line["good"], line["answered"]) == ([18, 18], 36)
    wrong = demo.workload.model_copy(
        update={
            "questions": tuple(
                one.model_copy(update={"expected": "No."}) for one in demo.workload.questions
            )
        }
    )
    changed = demo.model_copy(update={"workload": wrong})
    line = run_batch(changed, load_profile("builtin"), batch, "", real=True)
    assert (line["good"], line["answered"]) == ([0, 0], 36)
