"""Whole runs in virtual time. A failure names scenario and seed; replay it with
`groundloop run SCENARIO --virtual --seed SEED`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from ground.results.summary import Run, summarise
from node.service_time import Profile, load_profile
from roundtrip.budget import Outcome
from roundtrip.scenario import Scenario
from roundtrip.stages import STAGES, UNATTRIBUTED, USUAL, Stage
from roundtrip.trace import LineTrace
from roundtrip.units import NS_PER_S
from testbed.world import World

NAMES = (
    "demo",
    "geo-relay",
    "handover-burst",
    "traced",
    "iridium",
    "leo-now",
    "leo-pass",
    "lunar",
    "mars",
    "optical-pass",
    "orbit-day",
    "outage-storm",
    "radiation",
    "starlink",
    "storm",
    "two-stations",
    "uhf",
    "upload",
    "xband-day",
    "xband-pass",
)


def assert_sound(run: Run, replay: str) -> None:
    """What must hold of any run whatever."""
    indices = [record.planned.index for record in run.records]
    assert indices == list(range(run.scenario.workload.count)), f"one outcome each; {replay}"
    for record in run.records:
        where = f"#{record.planned.index}; {replay}"
        stamps = [record.stamps[stage] for stage in STAGES if stage in record.stamps]
        assert stamps == sorted(stamps), where
        phases = record.phases_ns
        assert sum(phases.values()) == stamps[-1] - stamps[0], where
        if record.answered:
            assert record.loop_ns == sum(phases.values()), where
            assert set(record.stamps) == set(USUAL), where
            assert UNATTRIBUTED not in phases, where
            assert record.split in ("frame_log", "estimate"), where
            assert (record.split == "frame_log") is (record.uncertainty_ns == 0), where


@pytest.mark.parametrize("name", NAMES)
def test_every_shipped_scenario_meets_its_objective(
    name: str, shipped: dict[str, Scenario], simulate: Callable[..., Run]
) -> None:
    run = simulate(shipped[name], shipped[name].seed)
    assert_sound(run, f"groundloop run {name} --virtual")
    assert summarise(run)["objective_met"]


def test_the_list_of_scenarios_is_whole(shipped: dict[str, Scenario]) -> None:
    assert set(NAMES) == set(shipped)


@pytest.mark.parametrize("name", ["demo", "outage-storm"])
def test_the_same_seed_gives_the_same_trace_byte_for_byte(
    name: str, shipped: dict[str, Scenario], simulate: Callable[..., Run]
) -> None:
    traces = [LineTrace(), LineTrace(), LineTrace()]
    for trace, seed in zip(traces, (5, 5, 6), strict=True):
        simulate(shipped[name], seed, trace)
    assert len(traces[0].lines) > 100
    assert traces[0].text() == traces[1].text()
    assert traces[0].text() != traces[2].text()


@pytest.mark.parametrize(
    "seeds", [range(30), pytest.param(range(30, 200), marks=pytest.mark.chaos)]
)
def test_outage_storm_ends_every_question_once(
    shipped: dict[str, Scenario], simulate: Callable[..., Run], seeds: range
) -> None:
    outcomes: set[Outcome] = set()
    for seed in seeds:
        run = simulate(shipped["outage-storm"], seed)
        assert_sound(run, f"groundloop run outage-storm --virtual --seed {seed}")
        outcomes.update(record.outcome for record in run.records)
    assert Outcome.ON_TIME in outcomes


def test_a_storm_over_a_slow_node_knows_every_outcome(shipped: dict[str, Scenario]) -> None:
    storm = shipped["outage-storm"]
    harsh = storm.model_copy(
        update={
            "node": storm.node.model_copy(update={"queue": 4, "sequences": 1}),
            "budget": storm.budget.model_copy(update={"loop_s": 30.0, "expire_s": 60.0}),
            "workload": storm.workload.model_copy(update={"rate_per_min": 33.0, "count": 150}),
        }
    )
    slow = load_profile("builtin").model_copy(update={"decode_tok_s": 12.0})
    outcomes = {policy: _outcomes(harsh, slow, policy) for policy in ("deadline", "fifo")}
    for policy, missing in (("deadline", Outcome.LATE), ("fifo", Outcome.PARTIAL)):
        known = outcomes[policy]
        assert set(known) | {missing} == set(Outcome)
        assert min(number for outcome, number in known.items() if outcome is not missing) > 3
    in_time = {policy: known[Outcome.ON_TIME] for policy, known in outcomes.items()}
    assert in_time["deadline"] > 1.05 * in_time["fifo"], outcomes


def _outcomes(scenario: Scenario, slow: Profile, policy: str) -> Counter[Outcome]:
    outcomes: Counter[Outcome] = Counter()
    node = scenario.node.model_copy(update={"policy": policy})
    for seed in range(6):
        run = World(scenario.model_copy(update={"node": node}), seed, slow).run()
        assert_sound(run, f"harsh storm, {policy}, seed {seed}")
        late = [record for record in run.records if record.reason == "no_time"]
        assert all(record.why == f"no_time: {record.detail}" for record in late)
        outcomes.update(record.outcome for record in run.records)
    return outcomes


def test_a_thousand_questions_at_once_wait_and_are_all_answered(
    shipped: dict[str, Scenario], simulate: Callable[..., Run]
) -> None:
    geo = shipped["geo-relay"]
    many = geo.model_copy(
        update={
            "workload": geo.workload.model_copy(
                update={"count": 1000, "rate_per_min": 1e6, "max_outstanding": 1000}
            ),
            "node": geo.node.model_copy(update={"queue": 1000, "policy": "fifo"}),
            "budget": geo.budget.model_copy(update={"expire_s": 100_000.0}),
        }
    )
    run = simulate(many, 1)
    assert all(record.answered for record in run.records)


def test_after_the_last_outage_everything_drains(
    shipped: dict[str, Scenario], simulate: Callable[..., Run]
) -> None:
    """Faults, then a healed link: nothing may expire."""
    healed = shipped["outage-storm"].model_copy(
        update={"contact": shipped["outage-storm"].contact[:1]}
    )
    last = healed.contact[0].model_copy(update={"end_s": 100_000.0})
    healed = healed.model_copy(update={"contact": (last,)})
    for seed in range(8):
        run = simulate(healed, seed)
        assert all(record.answered for record in run.records), f"seed {seed}"


def test_what_waits_longer_than_it_may_expires(
    shipped: dict[str, Scenario], simulate: Callable[..., Run]
) -> None:
    demo = shipped["demo"]
    never = demo.contact[0].model_copy(update={"start_s": 5000.0, "end_s": 6000.0})
    run = simulate(demo.model_copy(update={"contact": (never,)}), 1)
    assert_sound(run, "no contact")
    assert {record.outcome for record in run.records} == {Outcome.EXPIRED}
    assert {record.reason for record in run.records} == {"expired"}


def test_a_node_that_is_too_slow_makes_answers_late_first_come_first_served(
    shipped: dict[str, Scenario], simulate: Callable[..., Run]
) -> None:
    slow = load_profile("builtin").model_copy(update={"decode_tok_s": 0.8})
    geo = shipped["geo-relay"]
    node = geo.node.model_copy(update={"policy": "fifo", "sequences": 1})
    run = World(geo.model_copy(update={"node": node}), 1, slow).run()
    assert_sound(run, "slow node")
    late = [record for record in run.records if record.outcome is Outcome.LATE]
    assert late
    assert all(record.loop_ns > 120_000_000_000 for record in late)
    assert max(record.phases_ns["onboard_queue"] for record in late) > 60_000_000_000


def test_more_questions_than_the_node_takes_are_refused(
    shipped: dict[str, Scenario], simulate: Callable[..., Run]
) -> None:
    geo = shipped["geo-relay"]
    small = geo.model_copy(
        update={"node": geo.node.model_copy(update={"queue": 1, "sequences": 1})}
    )
    slow = load_profile("builtin").model_copy(update={"decode_tok_s": 4.0})
    run = World(small, 1, slow).run()
    assert_sound(run, "queue of one")
    refused = [record for record in run.records if record.outcome is Outcome.REFUSED]
    assert refused
    assert {record.reason for record in refused} == {"queue_full"}


def test_the_estimate_without_the_frame_log_is_near_the_exact_split(
    shipped: dict[str, Scenario],
    simulate: Callable[..., Run],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On a link without loss the ground alone finds the same phases, within its own bounds."""
    demo = shipped["leo-pass"]
    quiet = {"loss": 0.0}
    link = demo.link.model_copy(
        update={
            "uplink": demo.link.uplink.model_copy(update=quiet),
            "downlink": demo.link.downlink.model_copy(update=quiet),
        }
    )
    exact = simulate(demo.model_copy(update={"link": link}), 3).records
    monkeypatch.setattr("testbed.world.split_by_log", lambda records, _: list(records))
    estimated = simulate(demo.model_copy(update={"link": link}), 3).records
    for a, b in zip(exact, estimated, strict=True):
        assert b.split == "estimate"
        assert a.loop_ns == b.loop_ns
        gap_ns = abs(a.stamps[Stage.DELIVERED] - b.stamps[Stage.DELIVERED])
        assert gap_ns <= b.uncertainty_ns + 2_000_000


def test_time_without_carrier_is_not_time_in_contact(
    shipped: dict[str, Scenario], simulate: Callable[..., Run]
) -> None:
    """The demo's outage from 24 to 36 s: told by the modems, not in the plan."""
    for record in simulate(shipped["demo"], 1).records:
        assert record.in_contact_ns is not None
        assert record.loop_ns is not None
        answered = record.stamps[Stage.ANSWERED]
        start, end = max(record.planned.intended_ns, 24 * NS_PER_S), min(answered, 36 * NS_PER_S)
        outage_ns = max(0, end - start)
        assert abs(record.loop_ns - record.in_contact_ns - outage_ns) < 20_000_000


def test_corrupted_repeated_and_overtaking_frames_do_no_harm(
    shipped: dict[str, Scenario], simulate: Callable[..., Run]
) -> None:
    demo = shipped["geo-relay"]
    bad = {"bit_error_rate": 2e-4, "duplication": 0.1, "jitter_ms": 40.0, "loss": 0.02}
    link = demo.link.model_copy(
        update={
            "uplink": demo.link.uplink.model_copy(update=bad),
            "downlink": demo.link.downlink.model_copy(update=bad),
        }
    )
    rejected: Counter[str] = Counter()
    for seed in range(20):
        run = simulate(demo.model_copy(update={"link": link}), seed)
        assert all(record.answered for record in run.records), f"seed {seed}"
        rejected.update(run.rejected)
    wrong = {"bad bundle", "bad compressed bundle", "bad segment"}
    damaged = sum(n for why, n in rejected.items() if why in wrong or why.startswith("security"))
    assert damaged > 10, "they really were wrong"


def test_one_question_at_a_time_waits_for_no_lost_report(
    shipped: dict[str, Scenario], simulate: Callable[..., Run]
) -> None:
    geo = shipped["geo-relay"]
    link = geo.link.model_copy(
        update={"downlink": geo.link.downlink.model_copy(update={"loss": 0.3})}
    )
    workload = geo.workload.model_copy(update={"max_outstanding": 1, "count": 100})
    one = geo.model_copy(update={"link": link, "workload": workload})
    for seed in (1, 2):
        assert all(record.answered for record in simulate(one, seed).records)


def test_the_node_says_how_it_does_every_so_often_and_before_loss_of_signal(
    shipped: dict[str, Scenario], simulate: Callable[..., Run]
) -> None:
    """The only contact of leo-pass ends at 462 s."""
    one = shipped["leo-pass"]
    workload = one.workload.model_copy(update={"start_s": 455.0, "count": 1})
    for period_s, expected in ((0.0, False), (60.0, True), (1e6, True)):
        node = one.node.model_copy(update={"beacon_s": period_s})
        run = simulate(one.model_copy(update={"node": node, "workload": workload}), 1)
        assert run.health is not None
        assert (run.health.vitals is not None) is expected
