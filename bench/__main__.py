"""`make bench`: measure, print a table, write `bench/results.json`.

Run it on an idle machine. `python -m bench NAME ...` runs only the benchmarks named, and leaves the
rows of the others as they were.
"""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

from bench import (
    agreement,
    air,
    at_scale,
    attack,
    busy_engine,
    dashboard,
    dtn_speed,
    engine_speed,
    gateway,
    loop_overhead,
    loss_repair,
    other_server,
    policies,
    radiation,
    relay_speed,
    standing,
    start_up,
    text_size,
    tools_on_board,
    udp_link,
    uplink,
    virtual_time,
    whole_node,
)
from bench.row import Row
from ground.results.summary import source_commit

BENCHMARKS: dict[str, Callable[[], list[Row]]] = {
    "engine": engine_speed.rows,
    "node": whole_node.rows,
    "loop": loop_overhead.rows,
    "udp": udp_link.rows,
    "virtual": virtual_time.rows,
    "dtn": dtn_speed.rows,
    "policies": policies.rows,
    "repair": loss_repair.rows,
    "start": start_up.rows,
    "relay": relay_speed.rows,
    "busy": busy_engine.rows,
    "server": other_server.rows,
    "scale": at_scale.rows,
    "agreement": agreement.rows,
    "text": text_size.rows,
    "air": air.rows,
    "attack": attack.rows,
    "standing": standing.rows,
    "dashboard": dashboard.rows,
    "gateway": gateway.rows,
    "radiation": radiation.rows,
    "tools": tools_on_board.rows,
    "uplink": uplink.rows,
}
RESULTS = Path(__file__).parent / "results.json"


def main() -> int:
    """Run the benchmarks that the command line names, or all."""
    names = sys.argv[1:] or list(BENCHMARKS)
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        print(
            f"unknown benchmark {unknown[0]!r}; there are {', '.join(BENCHMARKS)}", file=sys.stderr
        )
        return 2
    console = Console()
    table = Table(box=None, pad_edge=False)
    for column in ("what", "value", "unit", "reach", "", "note"):
        table.add_column(column, justify="right" if column in ("value", "reach") else "left")
    results = []
    for name in names:
        console.print(f"[dim]{name} ...[/dim]")
        for row in BENCHMARKS[name]():
            bound = "≥" if row.at_least else "≤"
            met = "[green]met[/]" if row.met else "[red]missed[/]"
            table.add_row(
                row.name, f"{row.value:,.4g}", row.unit, f"{bound} {row.reach:,g}", met, row.note
            )
            ran = {"command": f"python -m bench {name}", "commit": source_commit()}
            results.append(asdict(row) | {"met": row.met} | ran)
    console.print(table)
    machine = {
        "processor": _processor(),
        "cores": psutil.cpu_count(logical=False),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "python": platform.python_version(),
        "system": platform.platform(),
    }
    ran = {row["command"] for row in results}
    kept = json.loads(RESULTS.read_text())["rows"] if RESULTS.exists() else []
    results = [row for row in kept if row["command"] not in ran] + results
    RESULTS.write_text(json.dumps({"machine": machine, "rows": results}, indent=2) + "\n")
    return 0


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


if __name__ == "__main__":
    sys.exit(main())
