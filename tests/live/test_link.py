"""`groundloop link`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

pytestmark = pytest.mark.live


def test_realtime_priority_is_taken_or_clearly_refused(start, ci_scenario) -> None:
    trial = "import os; os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))"
    permitted = subprocess.run([sys.executable, "-c", trial], stderr=subprocess.DEVNULL).returncode
    ends = ["--ground", "tcp://127.0.0.1:*", "--node", "tcp://127.0.0.1:*"]
    program = start("link_sim", str(ci_scenario), *ends, "--realtime")
    if permitted == 0:
        program.wait_for("ground")
        assert os.sched_getscheduler(program.process.pid) & ~os.SCHED_RESET_ON_FORK == os.SCHED_FIFO
        program.process.send_signal(signal.SIGTERM)
        assert program.wait() == 0
    else:
        assert program.wait() == 1
        assert "CAP_SYS_NICE" in program.output()
