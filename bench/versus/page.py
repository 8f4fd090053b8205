"""docs/versus.md, from the results that are kept."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median
from typing import Any

from bench.versus.links import CASES, LinkCase
from roundtrip.link_trace import read_trace

RELAYED = ("groundloop", "groundloop, again")
NEVER_S = 1e9
HEAD = """# groundloop and what people would use instead

The same model file (the builtin), one thread, the same {count} questions (a telemetry frame and a
question about it, some 300 bytes; seed 5) at the same times, the same link (seed 1); 120 s each.
Half of the contenders of a link run at the same time, each over a link of its own, and ask in turn
within each second; then the other half. groundloop runs with both and is compared with those that
ran beside it. Machine: {machine}.
`make versus` makes this page anew (Linux, root, mosquitto, openssl, OpenSSH; {minutes} minutes).

| contender | what it is |
|---|---|
| groundloop | ground and node over the relay |
| groundloop, again | the same once more, beside the other half |
| groundloop, UDP | the same over UDP through `link --tun`; no modem tells it of outages |
| openai | the `openai` client, timeout 120 s, its own retries; `llama_cpp.server`, TCP |
| openai, streaming | the same with `stream` |
| HTTP, retried | httpx, time-outs of 5 to 30 s, asked again until the budget is over, TCP |
| HTTP/3, retried | curl_cffi to hypercorn (aioquic): one QUIC connection, asked again likewise |
| SSH | OpenSSH, a connection and a load of the model for each question, again where it failed |
| MQTT QoS 2 | mosquitto beside the ground, paho, sessions that persist; a worker asks the server |
| ZeroMQ, lazy pirate | REQ, closed and asked again after 5 s; a worker asks the server |

All but the first two go through `groundloop link --tun`. "Right" is the exact answer. Quantiles are
of all questions: one that is not answered in 120 s took longer than any. Bytes are those on the air
both ways, for each answer in time. "Done twice": answers that were begun on the node beyond one for
each that came. SSH runs a line of Python that does what llama.cpp's command line does, which the
package does not have. The limit is light both ways, the texts of a question and of its answer
(medians, {texts}) at the links' rates, and inference: the median of raw calls of llama.cpp, one
after the other on one thread, while nothing else runs, before each link. groundloop packs texts, so
that on a narrow link it may be below. The figures are kept in `bench/versus/results`. On `uhf` a
question by HTTP takes some 10 s of the uplink, and one comes every 5 s: only what says less gets
through.

"""


BEHIND = """Where another is ahead of groundloop (the relay) by more than 2 %, s. Where the link is
wide, the way takes nothing and the model all: there others' loops are a few ms shorter. The trace
of a loop on `traced`, 70 ms where nothing else runs: 2.5 ms are three writes to disk before a
question or an answer goes on, 2.5 LTP and sealing, 2 the sockets of the relay, and 1 those of the
engine's process. The 99th of 100 is the last but one: one loss decides it; on `reset` how soon the
killed node's engine is up again; and on `handover-burst` when within the lost second a question is
asked: groundloop's over the relay come as it begins, the others', whose links have a zero of their
own, later in it (groundloop's over UDP as well).

| link | | groundloop | the other |
|---|---|---|---|
"""


def _seconds(value: float | None) -> str:
    return "> 120" if value is None else f"{value:.3g}"


def table_of(case: LinkCase, results: list[dict[str, Any]]) -> str:
    """A link's."""
    lines = [
        f"## {case.name}: {case.what}\n",
        "| contender | in 120 s | right | p50, s | p90 | p99 | bytes an answer | done twice |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for one in results:
        per = one["bytes_per_answer"]
        share, right = (round(100 * one[key] / one["asked"]) for key in ("in_time", "right"))
        lines.append(
            f"| {one['contender']} | {share} % | {right} % "
            f"| {_seconds(one['p50_s'])} | {_seconds(one['p90_s'])} | {_seconds(one['p99_s'])} "
            f"| {'–' if per is None else f'{per:,.0f}'} "
            f"| {'–' if one['twice'] is None else one['twice']} |"
        )
    return "\n".join(lines) + "\n"


def limit_of(case: LinkCase, alone: dict[str, float]) -> tuple[float, float, float]:
    """Light, texts and inference, s: what no program can go below, without packing texts."""
    (up_s, up_bps), (down_s, down_bps) = _usual(case.up), _usual(case.down)
    texts_s = 8 * alone["question_bytes"] / up_bps + 8 * alone["answer_bytes"] / down_bps
    return up_s + down_s, texts_s, alone["inference_s"]


def _usual(way: dict[str, Any]) -> tuple[float, float]:
    """A direction's delay (s) and rate (bit/s); of a trace, the medians."""
    if "trace" not in way:
        return way["one_way_delay_ms"] / 1000, way["rate_bps"]
    trace = read_trace(way["trace"])
    return median(trace.delays_ns) / 1e9, median(trace.rates_bps)


def page_of(results: Path, pictures: Path) -> str:
    """The whole page; a picture for each link is written besides."""
    pictures.mkdir(exist_ok=True)
    kept = {}
    for case in CASES:
        file = results / f"{case.name}.json"
        if file.exists():
            kept[case.name] = json.loads(file.read_text())
    first = next(iter(kept.values()))
    head = HEAD.format(
        count=first["results"][0]["asked"],
        machine=first["machine"],
        minutes=round(sum(one["took_s"] for one in kept.values()) / 60),
        texts="{question_bytes:.0f} and {answer_bytes:.0f} bytes".format(**first["alone"]),
    )
    parts = [head, _summary(kept), _behind(kept)]
    for case in CASES:
        if case.name in kept:
            found = kept[case.name]["results"]
            _picture(case, found, pictures / f"versus-{case.name}.png")
            parts.append(table_of(case, found) + _limit_line(case, kept[case.name]))
            parts.append(f"![{case.name}](pictures/versus-{case.name}.png)\n\n")
    return "".join(parts)


def _pairs(results: list[dict[str, Any]]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Each other contender with the groundloop over the relay that ran beside it."""
    pairs, ours = [], results[0]
    for one in results:
        if one["contender"] in RELAYED:
            ours = one
        elif not one["contender"].startswith("groundloop"):
            pairs.append((ours, one))
    return pairs


def _summary(kept: dict[str, Any]) -> str:
    lines = ["| link | groundloop in 120 s | best other | groundloop p90, s | best other |"]
    lines.append("|---|---|---|---|---|")
    for name, one in kept.items():
        pairs = _pairs(one["results"])
        ours = min((ours for ours, _ in pairs), key=lambda r: r["in_time"])
        _, share = max(pairs, key=lambda pair: pair[1]["in_time"])
        beside, fast = min(pairs, key=lambda pair: pair[1]["p90_s"] or NEVER_S)
        lines.append(
            f"| {name} | {ours['in_time']} of {ours['asked']} "
            f"| {share['in_time']} ({share['contender']}) | {_seconds(beside['p90_s'])} "
            f"| {_seconds(fast['p90_s'])} ({fast['contender']}) |"
        )
    return "\n".join(lines) + "\n\n"


def _behind(kept: dict[str, Any]) -> str:
    """Where another has a better figure, by more than a fiftieth."""
    lines = []
    for name, one in kept.items():
        for key, called in (("p50_s", "p50"), ("p90_s", "p90"), ("p99_s", "p99")):
            for ours, other in _pairs(one["results"]):
                if (other[key] or NEVER_S) < 0.98 * (ours[key] or NEVER_S):
                    theirs = f"{_seconds(other[key])} ({other['contender']})"
                    lines.append(f"| {name} | {called} | {_seconds(ours[key])} | {theirs} |\n")
    if not lines:
        return ""
    return f"{BEHIND}{''.join(lines)}\n"


def _limit_line(case: LinkCase, one: dict[str, Any]) -> str:
    limits = limit_of(case, one["alone"])
    halves = [ours["p50_s"] for ours in one["results"] if ours["contender"] in RELAYED]
    shares = " and ".join(f"{p50_s / sum(limits):.2f}" for p50_s in halves if p50_s is not None)
    parts = ", ".join(map("{} {:.3g}".format, ("light", "texts", "inference"), limits))
    return f"\nThe limit is {sum(limits):.3g} s ({parts}); groundloop's p50 by it: {shares}.\n\n"


def _picture(case: LinkCase, found: list[dict[str, Any]], path: Path) -> None:
    """The share that is answered by a time."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 3.4), layout="constrained")
    axes = figure.subplots()
    for one in found:
        times = sorted(loop for loop in one["loops_s"] if loop is not None)
        shares = [100 * (place + 1) / one["asked"] for place in range(len(times))]
        width = 2.4 if one["contender"].startswith("groundloop") else 1.2
        axes.step([*times, 120], [*shares, shares[-1] if shares else 0], where="post",
                  label=one["contender"], linewidth=width)  # fmt: skip
    axes.set_xscale("log")
    axes.set_xlim(right=120)
    axes.set_ylim(0, 102)
    axes.set_xlabel("loop, s")
    axes.set_ylabel("answered, % of all")
    axes.set_title(f"{case.name}: {case.what}", fontsize=10)
    axes.grid(visible=True, alpha=0.3)
    axes.legend(fontsize=7, loc="best")
    figure.savefig(path, dpi=110)
