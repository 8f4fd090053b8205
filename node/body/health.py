"""Measures how the node does: memory, page faults, throttling, temperature, power. It only reads,
and what a machine does not say is None.

On a Raspberry Pi the firmware says more, by `vcgencmd`: Raspberry Pi documentation, "vcgencmd".
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from node.body.cgroup import PROC
from roundtrip.message import Vitals

VCGENCMD_LIMIT_S = 2.0
SENSORS = ("cpu_thermal", "coretemp", "k10temp", "soc_thermal", "acpitz")
"""Names of processor temperatures as psutil has them, the likeliest first: a Raspberry Pi's,
Intel's, AMD's, other single boards', and a mainboard's."""
FLAGS = {
    0: "under-voltage",
    1: "frequency capped",
    2: "throttled",
    3: "soft temperature limit",
}
"""Bits of `get_throttled` for what is so now; 16 higher for what was so since the start."""

Run = Callable[[list[str]], str]


def parse_throttled(text: str) -> int | None:
    """The flags in "throttled=0x50005"; None for anything else."""
    match = re.fullmatch(r"throttled=(0x[0-9a-fA-F]{1,8})", text.strip())
    return int(match[1], 16) if match else None


def flag_words(flags: int) -> list[str]:
    """What the flags say is so now."""
    return [word for bit, word in FLAGS.items() if flags >> bit & 1]


def parse_power_w(text: str) -> float | None:
    """The power in the output of `pmic_read_adc` of a Raspberry Pi 5: current times voltage over
    all rails that have both. It leaves out what USB devices draw and what the regulators lose."""
    found = re.findall(
        r"^\s*(\w+)_([AV]) (?:current|volt)\(\d+\)=(\d+(?:\.\d+)?)[AV]\s*$", text, re.MULTILINE
    )
    rails: dict[str, dict[str, float]] = {}
    for rail, unit, value in found:
        rails.setdefault(rail, {})[unit] = float(value)
    whole = [rail["A"] * rail["V"] for rail in rails.values() if len(rail) == 2]
    return sum(whole) if whole else None


def parse_major_faults(stat: str) -> int | None:
    """Field 12 of /proc/PID/stat (proc_pid_stat(5)); the name in field 2 may hold anything."""
    fields = stat.rpartition(")")[2].split()
    return int(fields[9]) if len(fields) > 9 and fields[9].isdigit() else None


def parse_throttled_ms(cpu_stat: str) -> int | None:
    """Time that a quota made a group wait: `throttled_usec` (cgroup v2) or `throttled_time` in ns
    (v1) of its cpu.stat."""
    for name, per_ms in (("throttled_usec", 1000), ("throttled_time", 1_000_000)):
        match = re.search(rf"^{name} (\d+)$", cpu_stat, re.MULTILINE)
        if match:
            return int(match[1]) // per_ms
    return None


def processor_c(sensors: Mapping[str, Iterable[Any]]) -> float | None:
    """The processor's temperature among psutil's sensors: the hottest of the likeliest kind."""
    for name in SENSORS:
        values = [one.current for one in sensors.get(name, ()) if one.current is not None]
        if values:
            return float(max(values))
    return None


def temperature_c() -> float | None:
    """The processor's temperature now, where this machine says."""
    read = getattr(psutil, "sensors_temperatures", None)
    if read is None:
        return None
    try:
        return processor_c(read())
    except (OSError, ValueError):
        return None


class HealthReader:
    """Reads the vitals; blocks for some ms, with `vcgencmd` for some tens of ms.

    Args:
        cpu_stats: cpu.stat of the engine's group, where it has one.
        run: runs a command and returns what it says.
    """

    def __init__(self, cpu_stats: Iterable[Path] = (), run: Run | None = None) -> None:
        self._cpu_stats = tuple(cpu_stats)
        self._vcgencmd = shutil.which("vcgencmd") if run is None else "vcgencmd"
        self._run = run or _run

    def read(self, engine_pid: int | None, threads: int) -> Vitals:
        """The vitals now.

        Args:
            engine_pid: None while there is no engine.
            threads: what heat leaves the engine.
        """
        celsius = temperature_c()
        watts = self._firmware("pmic_read_adc", parse_power_w)
        return Vitals(
            rss_bytes=_rss_bytes(engine_pid),
            major_faults=_major_faults(engine_pid),
            throttled_ms=self._throttled_ms(),
            temperature_mc=None if celsius is None else round(celsius * 1000),
            firmware_flags=self._firmware("get_throttled", parse_throttled),
            power_mw=None if watts is None else round(watts * 1000),
            threads=threads,
        )

    def _firmware(self, command: str, parse: Callable[[str], Any]) -> Any:
        if self._vcgencmd is None:
            return None
        try:
            return parse(self._run([self._vcgencmd, command]))
        except (OSError, subprocess.SubprocessError):
            return None

    def _throttled_ms(self) -> int | None:
        for path in self._cpu_stats:
            with suppress(OSError):
                found = parse_throttled_ms(path.read_text(encoding="utf-8"))
                if found is not None:
                    return found
        return None


def _run(command: list[str]) -> str:
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=VCGENCMD_LIMIT_S,
        check=True,
    )
    return done.stdout


def _rss_bytes(engine_pid: int | None) -> int | None:
    total = 0
    for pid in (None, engine_pid):
        if pid is None and total:
            continue
        with suppress(psutil.Error):
            total += int(psutil.Process(pid).memory_info().rss)
    return total or None


def _major_faults(engine_pid: int | None) -> int | None:
    if engine_pid is None:
        return None
    try:
        return parse_major_faults((PROC / str(engine_pid) / "stat").read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return None
