from __future__ import annotations

import os
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from node.body import health
from node.body.health import (
    HealthReader,
    flag_words,
    parse_major_faults,
    parse_power_w,
    parse_throttled,
    parse_throttled_ms,
    processor_c,
)

PMIC = """\
 3V7_WL_SW_A current(0)=0.10000000A
  VDD_CORE_A current(7)=2.00000000A
 3V7_WL_SW_V volt(8)=3.70000000V
  VDD_CORE_V volt(15)=0.80000000V
     EXT5V_V volt(24)=5.10000000V
      BATT_V volt(25)=0.00000000V
"""


def test_throttling_is_a_number_of_flags() -> None:
    assert parse_throttled("throttled=0x50005\n") == 0x50005
    assert flag_words(0x50005) == ["under-voltage", "throttled"]
    assert flag_words(0x50000) == []


@pytest.mark.parametrize(
    "text", ["", "throttled=", "throttled=5", "error=1", "throttled=0x" + "f" * 9]
)
def test_what_is_no_flags_is_none(text: str) -> None:
    assert parse_throttled(text) is None


def test_power_is_summed_over_rails_that_have_current_and_voltage() -> None:
    assert parse_power_w(PMIC) == pytest.approx(0.1 * 3.7 + 2 * 0.8)
    assert parse_power_w('error=1 error_msg="Command not registered"') is None
    assert parse_power_w("") is None


def test_major_faults_are_found_behind_any_name() -> None:
    stat = "7 (a) b (c)) S 1 7 7 0 -1 4194560 900 11 42 3 5 6 7 8"
    assert parse_major_faults(stat) == 42
    assert parse_major_faults("7 (a") is None
    assert parse_major_faults(Path("/proc/self/stat").read_text()) is not None


def test_throttled_time_is_read_from_both_cgroup_versions() -> None:
    v2 = "usage_usec 9\nnr_throttled 3\nthrottled_usec 15999\n"
    assert parse_throttled_ms(v2) == 15
    assert parse_throttled_ms("nr_periods 3\nnr_throttled 3\nthrottled_time 15999999\n") == 15
    assert parse_throttled_ms("usage_usec 9\n") is None


def test_the_likeliest_sensor_is_taken_and_of_its_values_the_hottest() -> None:
    def one(celsius: float | None) -> SimpleNamespace:
        return SimpleNamespace(current=celsius)

    sensors = {"nvme": [one(90)], "coretemp": [one(50), one(61), one(None)], "acpitz": [one(27)]}
    assert processor_c(sensors) == 61
    assert processor_c({"nvme": [one(90)]}) is None
    assert processor_c({"cpu_thermal": []}) is None


def test_a_raspberry_pi_says_more(tmp_path: Path) -> None:
    (tmp_path / "cpu.stat").write_text("throttled_usec 2000\n")
    said = {"get_throttled": "throttled=0x4\n", "pmic_read_adc": PMIC}
    reader = HealthReader(
        [tmp_path / "none", tmp_path / "cpu.stat"], run=lambda command: said[command[1]]
    )
    vitals = reader.read(None, 4)
    assert (vitals.firmware_flags, vitals.power_mw, vitals.throttled_ms) == (4, 1970, 2)
    assert vitals.threads == 4
    assert vitals.rss_bytes is not None
    assert vitals.major_faults is None


def test_a_firmware_that_fails_says_nothing() -> None:
    def fails(command: list[str]) -> str:
        raise subprocess.TimeoutExpired(command, 2)

    vitals = HealthReader(run=fails).read(os.getpid(), 1)
    assert vitals.firmware_flags is None
    assert vitals.power_mw is None
    assert vitals.major_faults is not None


def test_an_engine_that_is_gone_leaves_the_node(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "temperature_c", lambda: -12.3456)
    vitals = HealthReader(run=lambda command: "").read(2**22 + 1, 1)
    assert vitals.rss_bytes is not None
    assert vitals.temperature_mc == -12346
    assert vitals.throttled_ms is None


def test_what_a_command_prints_is_read_and_what_it_complains_of_is_not(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert health._run(["sh", "-c", "echo throttled=0x0; echo no >&2"]) == "throttled=0x0\n"
    assert capfd.readouterr() == ("", "")
    with pytest.raises(subprocess.CalledProcessError):
        health._run(["false"])


def test_where_there_is_no_firmware_nothing_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health.shutil, "which", lambda name: None)

    def never(command: list[str]) -> str:
        raise AssertionError(command)

    monkeypatch.setattr(health, "_run", never)
    vitals = HealthReader().read(os.getpid(), 1)
    assert (vitals.firmware_flags, vitals.power_mw) == (None, None)
