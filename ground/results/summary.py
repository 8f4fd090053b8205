"""A run's folder: `loops.jsonl`, `summary.json`, `latency.hlog`, `loop.hgrm`, `report.html`.

The same for live and virtual runs, and for a run that was interrupted.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ground.results.histogram import histograms, quantiles_ms, to_hgrm, to_hlog
from ground.results.record import LoopRecord, to_json
from ground.results.sentence import sentence_of
from roundtrip.budget import Outcome
from roundtrip.framelog import FrameFate
from roundtrip.message import Health
from roundtrip.onboard import MACHINE, SEE_TELEMETRY, SIMULATOR
from roundtrip.scenario import Scenario
from roundtrip.stages import PHASES, UNATTRIBUTED
from roundtrip.text.packing import packed_bytes
from roundtrip.units import ns_to_s

SCHEMA_VERSION = 1
SCORED = "scored"
"""The mode of what is not a run of ours, but somebody's log: only the loops are known."""


@dataclass(frozen=True, slots=True)
class Run:
    """Everything a finished run leaves behind."""

    scenario: Scenario
    seed: int
    mode: str
    """`live`, `virtual`, or `SCORED`."""
    records: Sequence[LoopRecord]
    health: Health | None
    """What the node said of itself; None if it never came through."""
    fates: Sequence[FrameFate] | None
    """The link's log; None where it is kept on another machine."""
    started_unix_s: int
    """0 in virtual time."""
    length_s: float
    """On the plan's clock."""
    interrupted: bool
    rejected: dict[str, int]
    """What the ground turned away, by reason."""
    charge: Sequence[tuple[int, int]] = ()
    """Of the node's battery over time: ns on the plan's clock, thousandths of its capacity."""
    air: Mapping[str, Mapping[str, int]] | None = None
    """What the bytes on the air were for, see `ground.air`; None where nobody counted."""
    node_ahead_ms: int | None = None
    """How far the node's clock is ahead of the ground's, negative behind; None where nothing shows
    that they differ."""
    upsets: Mapping[str, int] | None = None
    """In virtual time: what upsets did to the weights, see `node.upset_engine.Hit`."""
    real_engine: bool = False
    """In virtual time: the model really answered."""
    upload: Mapping[str, Any] | None = None
    """In virtual time: what went up besides, see `testbed.uploads`."""


def summarise(run: Run) -> dict[str, Any]:
    """What `summary.json` holds."""
    records = run.records
    budget = run.scenario.budget
    outcomes = Counter(record.outcome for record in records)
    answered = [record for record in records if record.answered]
    graded = [record for record in answered if record.correct is not None]
    in_time = (Outcome.ON_TIME, Outcome.PARTIAL)
    good = sum(r.outcome in in_time and r.correct is not False for r in records)
    goodput = good / len(records) if records else 0.0
    expire_ns = budget.budget().expire_ns
    loops = [r.loop_ns if r.answered and r.loop_ns is not None else expire_ns for r in records]
    uncorrected = [r.uncorrected_ns if r.answered else expire_ns for r in records]
    in_contact = [r.in_contact_ns for r in answered if r.in_contact_ns is not None]
    return {
        "schema_version": SCHEMA_VERSION,
        "scenario": run.scenario.name,
        "mode": run.mode,
        "seed": run.seed,
        "commit": source_commit(),
        "sentence": sentence_of(records),
        "interrupted": run.interrupted,
        "length_s": run.length_s,
        "questions": len(records),
        "outcomes": {outcome.value: outcomes[outcome] for outcome in Outcome},
        "refused": dict(_reasons(records, Outcome.REFUSED)),
        "expired": dict(_reasons(records, Outcome.EXPIRED)),
        "graded": len(graded),
        "right": sum(bool(record.correct) for record in graded),
        "goodput": goodput,
        "loop_ms": quantiles_ms(loops),
        "uncorrected_ms": quantiles_ms(uncorrected),
        "in_contact_ms": quantiles_ms(in_contact),
        "phases_ms": _phases(answered),
        "expectation": _expectation(answered),
        "budget_s": budget.loop_s,
        "objective": budget.objective,
        "objective_met": goodput >= budget.objective,
        "energy": _energy(run, answered),
        "on_board": _on_board(run, answered),
        "upsets": run.upsets,
        "real_engine": run.real_engine,
        "upload": run.upload,
        "node": _node(run, answered),
        "link": _link(run.fates),
        "air": run.air,
        "rejected": run.rejected,
    }


def _reasons(records: Sequence[LoopRecord], outcome: Outcome) -> list[tuple[str, int]]:
    return sorted(Counter(r.reason for r in records if r.outcome is outcome).items())


def _expectation(answered: Sequence[LoopRecord]) -> dict[str, Any]:
    """How far off the times were at which answers were expected, as shares of their loops."""
    errors = sorted(e for r in answered if (e := r.expectation_error) is not None)
    return {
        "answers": len(errors),
        "median_error": errors[len(errors) // 2] if errors else None,
        "p90_error": errors[len(errors) * 9 // 10] if errors else None,
    }


def _phases(answered: Sequence[LoopRecord]) -> dict[str, dict[str, float | None]]:
    phases = [record.phases_ns for record in answered]
    names = [*PHASES, UNATTRIBUTED]
    return {
        name: quantiles_ms([p[name] for p in phases if name in p])
        for name in names
        if any(name in p for p in phases)
    }


def _node(run: Run, answered: Sequence[LoopRecord]) -> dict[str, Any]:
    prefill_s = decode_s = 0.0
    prompt_tokens = steps = 0
    for record in answered:
        times = record.node_times
        if times is None:
            continue
        prompt_tokens += record.prompt_tokens
        prefill_s += times.prefill_ns / 1e9
        if times.called_ns is not None:
            continue  # its tokens are those of its calls too
        steps += max(0, record.output_tokens - (record.finish_reason != "stop"))
        decode_s += (times.finished_ns - times.first_token_ns) / 1e9
    health = run.health
    rss = max((record.node_rss_peak_bytes for record in answered), default=0)
    return {
        "model": health.model if health else None,
        "quant": health.quantization if health else None,
        "context": health.context if health else None,
        "threads": health.threads if health else None,
        "clock_ahead_s": None if run.node_ahead_ms is None else run.node_ahead_ms / 1000,
        "engine_restarts": health.engine_restarts if health else None,
        "prefill_tok_s": prompt_tokens / prefill_s if prefill_s > 0 else None,
        "decode_tok_s": steps / decode_s if decode_s > 0 else None,
        "rss_peak_mb": rss / 1e6 if rss else None,
        "exposed": sum(record.exposed for record in answered) or None,
        "vitals": asdict(health.vitals) if health and health.vitals else None,
    }


def _energy(run: Run, answered: Sequence[LoopRecord]) -> dict[str, Any] | None:
    """None where nobody counted it."""
    spent_j = sum(record.spent_mj for record in answered) / 1000
    if not run.charge and not spent_j:
        return None
    return {
        "answers_j": spent_j,
        "per_answer_j": spent_j / len(answered) if answered else None,
        "lowest_charge": min((permille for _, permille in run.charge), default=0) / 1000,
        "charge": [[at_ns / 1e9, permille / 1000] for at_ns, permille in run.charge],
    }


def _on_board(run: Run, answered: Sequence[LoopRecord]) -> dict[str, Any] | None:
    """What was seen and called on board, in bytes as they would have been on the link, beside what
    came down instead; None where nothing was."""
    about = [record for record in answered if record.seen]
    if not about:
        return None
    things: dict[str, dict[str, int]] = {}
    for record in about:
        for one in record.seen:
            thing = things.setdefault(one.what, {"times": 0, "bytes": 0})
            thing["times"] += 1
            thing["bytes"] += one.size
    return {
        "answers": len(about),
        "answer_bytes": sum(packed_bytes(record.answer or "") for record in about),
        "seen": dict(sorted(things.items())),
        "seen_bytes": sum(thing["bytes"] for thing in things.values()),
        "all_frames_bytes": _all_frames(run, things),
    }


def _all_frames(run: Run, things: Mapping[str, Mapping[str, int]]) -> int | None:
    """What the feed's frames of the whole run would have been; None where that is not known."""
    config, frames = run.scenario.node.telemetry, things.get(SEE_TELEMETRY)
    if config is None or frames is None or config.source not in (SIMULATOR, MACHINE):
        return None
    return round(run.length_s / config.every_s * frames["bytes"] / frames["times"])


def _link(fates: Sequence[FrameFate] | None) -> dict[str, Any] | None:
    if fates is None:
        return None
    link: dict[str, Any] = {}
    for direction in ("uplink", "downlink"):
        mine = [fate for fate in fates if fate.direction == direction]
        dropped = Counter(fate.fate.value for fate in mine if fate.arrives_ns is None)
        link[direction] = {
            "frames": len(mine),
            "bytes": sum(fate.size_bytes for fate in mine),
            "dropped": dict(sorted(dropped.items())),
            **({"bulk": _bulk(mine)} if any(fate.bulk for fate in mine) else {}),
        }
    return link


def _bulk(fates: Sequence[FrameFate]) -> dict[str, Any]:
    """What uploads took of the air of one direction, and how long frames of others waited for a
    frame of an upload that was on the air."""
    bulk = [fate for fate in fates if fate.bulk]
    air_ns = [f.tx_end_ns - f.tx_start_ns for f in bulk if f.tx_start_ns and f.tx_end_ns]
    free_ns, waited_ns = 0, list[int]()
    for fate in fates:
        if fate.tx_start_ns is None or fate.tx_end_ns is None:
            continue
        if fate.bulk:
            free_ns = fate.tx_end_ns
        elif fate.handed_ns < free_ns:
            waited_ns.append(min(free_ns, fate.tx_start_ns) - fate.handed_ns)
    return {
        "frames": len(bulk),
        "bytes": sum(fate.size_bytes for fate in bulk),
        "air_s": ns_to_s(sum(air_ns)),
        "held_up": {
            "frames": len(waited_ns),
            "s": ns_to_s(sum(waited_ns)),
            "most_s": ns_to_s(max(waited_ns, default=0)),
        },
    }


def write_results(run: Run, folder: Path) -> dict[str, Any]:
    """Write everything into the run's folder; what `summary.json` holds. That is the last: a run
    that has it has ended, whatever happens in between."""
    from ground.results.report import write_report  # which needs this module

    summary = summarise(run)
    model = summary["node"]["model"] or run.scenario.node.model
    with (folder / "loops.jsonl").open("w", encoding="utf-8") as lines:
        for record in run.records:
            lines.write(json.dumps(to_json(record, model), ensure_ascii=False) + "\n")
    table = histograms(run.records, run.scenario.budget.budget())
    hlog = to_hlog(
        table,
        start_s=float(run.started_unix_s),
        length_s=run.length_s,
        comment=f"groundloop {run.scenario.name}, seed {run.seed}, {run.mode}; values in ns",
    )
    (folder / "latency.hlog").write_text(hlog, encoding="utf-8")
    if "loop" in table:
        (folder / "loop.hgrm").write_text(to_hgrm(table["loop"]), encoding="utf-8")
    write_report(run, summary, folder / "report.html")
    new = folder / "summary.new"
    new.write_text(json.dumps(summary, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    new.replace(folder / "summary.json")
    return summary


@cache
def source_commit() -> str:
    """The commit that the code was run from, "+" appended where it was changed; "unknown"
    elsewhere."""
    here = Path(__file__).resolve().parents[2]
    git = shutil.which("git")
    if git is None or not (here / ".git").exists():
        return "unknown"
    try:
        described = subprocess.run(
            [git, "-C", str(here), "describe", "--always", "--dirty=+", "--abbrev=12"],
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return described.stdout.strip() or "unknown"
