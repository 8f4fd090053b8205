"""Any program over the simulated link: ping and iperf3 find what the model says."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(
        sys.platform != "linux"
        or os.geteuid() != 0
        or not Path("/dev/net/tun").exists()
        or not all(map(shutil.which, ("ip", "ping", "iperf3"))),
        reason="needs Linux, root, /dev/net/tun, iproute2, ping and iperf3",
    ),
]
ALONE = pytest.mark.skipif(
    "PYTEST_XDIST_WORKER" in os.environ,
    reason="it disturbs what runs beside it: pytest tests/live/test_tun.py",
)
PEER = "10.42.0.2"
WAY = {"rate_bps": 10_000_000, "one_way_delay_ms": 20, "mtu_bytes": 1500, "queue_bytes": 100_000}


def write(path: Path, up: dict[str, Any], down: dict[str, Any], more: str = "") -> Path:
    def table(name: str, way: dict[str, Any]) -> str:
        lines = "".join(f"{key} = {json.dumps(value)}\n" for key, value in (WAY | way).items())
        return f"[link.{name}]\n{lines}"

    text = table("uplink", up) + table("downlink", down)
    path.write_text(f'{text}[workload]\nquestions = ["?"]\ncount = 1\n{more}')
    return path


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """Of namespaces that nobody else has."""
    return f"gl{os.getpid()}{abs(hash(request.node.name)) % 10_000}"


@pytest.fixture
def link(tmp_path: Path, name: str):
    """Run commands over a link."""

    def run(
        ground: str, node: str = "", up: Any = (), down: Any = (), more: str = "", **options: str
    ) -> str:
        commands = {"ground": ground} | ({"node": node} if node else {})
        scenario = write(tmp_path / "link.toml", dict(up), dict(down), more)
        words = [word for key, value in options.items() for word in (f"--{key}", value)]
        done = subprocess.run(
            [
                sys.executable, "-m", "testbed", "link", str(scenario), "--tun", "--realtime",
                "--name", name, *words,
                *(word for side, line in commands.items() for word in _of(side, line)),
            ],
            capture_output=True, text=True, timeout=200, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def _of(side: str, line: str) -> list[str]:
    return ["--", f"{side}:", "sh", "-c", line]


def namespaces() -> set[str]:
    listed = subprocess.run(["ip", "netns"], capture_output=True, text=True, check=True).stdout
    return {line.split()[0] for line in listed.splitlines() if line}


def round_trips(said: str) -> list[float]:
    return [float(ms) for ms in re.findall(r"time=([\d.]+) ms", said)]


def quantile(values: list[float], share: float) -> float:
    return sorted(values)[math.ceil(share * len(values)) - 1]


def test_ping_takes_what_the_model_says(link, tmp_path: Path) -> None:
    """Light both ways, and 84 bytes at the rate of each way."""
    frames = tmp_path / "frames.jsonl"
    said = link(f"ping -c 50 -i 0.05 {PEER}", down={"one_way_delay_ms": 31}, frames=str(frames))
    right = 20 + 31 + 2 * 84 * 8 / 10_000
    times = round_trips(said)
    assert len(times) == 50
    assert right <= quantile(times, 0.5) < right + 2, "1 ms each way"
    fates = [json.loads(line) for line in frames.read_text().splitlines()]
    assert [fate["size_bytes"] for fate in fates] == [84] * 100


def test_losses_are_as_likely_as_the_model_says(link) -> None:
    said = link(f"ping -q -c 600 -i 0.01 -W 1 {PEER} -s 8", up={"loss": 0.1})
    lost = 600 - int(re.search(r"(\d+) received", said)[1])
    assert abs(lost - 60) < 3.3 * math.sqrt(600 * 0.1 * 0.9), "99.9 % of all seeds"


def received(said: str) -> list[float]:
    """Mbit/s that iperf3's server has seen in each interval but the first and the last, which are
    no whole ones, and the sum: its lines have the jitter."""
    return [float(mbps) for mbps in re.findall(r"([\d.]+) Mbits/sec +[\d.]+ ms ", said)][1:-2]


@pytest.mark.parametrize("rate_bps", [1_000_000, 10_000_000, pytest.param(50_000_000, marks=ALONE)])
def test_as_much_gets_through_as_the_rate_says(link, rate_bps: int) -> None:
    """More than that is sent; what gets through are packets of 1,428 bytes with 1,400 each."""
    said = link(
        f"sleep 0.5; iperf3 -u -c {PEER} -b {1.2 * rate_bps:.0f} -t 5 -l 1400",
        "iperf3 -s -1 -f m --forceflush",
        up={"rate_bps": rate_bps, "queue_bytes": rate_bps // 80},
    )
    assert quantile(received(said), 0.5) == pytest.approx(rate_bps / 1e6 * 1400 / 1428, rel=0.03)


def test_outages_are_outages(link) -> None:
    more = '[[outage]]\nstart_s = 1\nend_s = 2\nkind = "cued"\n'
    said = link(f"ping -c 30 -i 0.1 -W 1 {PEER}", more=more)
    missing = set(range(1, 31)) - {int(n) for n in re.findall(r"icmp_seq=(\d+) ", said)}
    assert 8 <= len(missing) <= 12
    assert max(missing) - min(missing) == len(missing) - 1


def test_a_traced_link_is_measured_back(link, tmp_path: Path) -> None:
    """Of what the trace says, the median and the 90th percentile, within 5 %."""
    shipped = Path(__file__).parents[2] / "testbed" / "scenarios" / "made-up.csv"
    rows = [line.split(",") for line in shipped.read_text().splitlines()[2:]][:40]
    (tmp_path / "t.csv").write_text(
        "t_s,rate_bps,rtt_ms\n"
        + "".join(f"{t},{int(bps) // 10},{rtt}\n" for t, bps, rtt, _ in rows)
    )
    way = {"trace": "t.csv", "queue_bytes": 30_000}
    said = link(f"ping -c 190 -i 0.1 {PEER}", up=way, down=way)
    told = [float(rtt) for _, _, rtt, _ in rows]
    for share in (0.5, 0.9):
        assert quantile(round_trips(said), share) == pytest.approx(quantile(told, share), rel=0.05)
    said = link(
        f"sleep 0.5; iperf3 -u -c {PEER} -b 7M -t 20 -l 1400",
        "iperf3 -s -1 -f m --forceflush -i 0.5",
        up=way, down=way | {"trace": ""},
    )  # fmt: skip
    mbps = [float(bps) / 10 * 1400 / 1428 / 1e6 for _, bps, _, _ in rows]
    for share in (0.5, 0.9):
        assert quantile(received(said), share) == pytest.approx(quantile(mbps, share), rel=0.05)


STARLINK = Path(__file__).parents[3] / "shared" / "golden" / "starlink"


@ALONE
@pytest.mark.skipif(not STARLINK.is_dir(), reason="measured data of others is not here")
@pytest.mark.timeout(400)
def test_a_link_that_others_have_measured_is_measured_back(link, tmp_path: Path) -> None:
    """As above; two minutes."""
    lines = (STARLINK / "uplink_throughput.csv").read_text().splitlines()[1:]
    mbps = [float(line.split(",")[1]) for line in lines]
    rows = "".join(f"{at / 2},{rate * 1e6 * 1428 / 1400:.0f}\n" for at, rate in enumerate(mbps))
    (tmp_path / "rate.csv").write_text(f"t_s,rate_bps\n{rows}")
    pings = (STARLINK / "ping.csv").read_text()
    (tmp_path / "ping.csv").write_text(pings)
    ways = {"up": {"trace": "ping.csv"}, "down": {"trace": "ping.csv"}}
    said = link(f"ping -c 295 -i 0.1 {PEER}", **ways)
    told = [float(line.split(",")[1]) for line in pings.splitlines()[1:]]
    for share in (0.5, 0.9):
        assert quantile(round_trips(said), share) == pytest.approx(quantile(told, share), rel=0.05)
    said = link(
        f"sleep 0.5; iperf3 -u -c {PEER} -b 90M -t 118 -l 1400",
        "iperf3 -s -1 -f m --forceflush -i 0.5",
        up={"trace": "rate.csv", "queue_bytes": 300_000},
    )
    for share in (0.5, 0.9):
        assert quantile(received(said), share) == pytest.approx(quantile(mbps, share), rel=0.05)
    print(f"{quantile(received(said), 0.5)}, {quantile(received(said), 0.9)} Mbit/s")


def start(scenario: Path, name: str, *commands: str) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "testbed", "link", str(scenario), "--tun", "--name", name]
    return subprocess.Popen(
        [*words, *commands], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_what_it_made_is_gone_after_ctrl_c_and_after_a_kill_and_a_new_start(
    tmp_path: Path, name: str
) -> None:
    scenario = write(tmp_path / "link.toml", {}, {})
    mine = {f"{name}-ground", f"{name}-node"}
    with start(scenario, name) as program:
        made = json.loads(program.stdout.readline())
        assert made["node"] == {"namespace": f"{name}-node", "address": PEER}
        assert mine <= namespaces()
        with start(scenario, name) as second:
            assert second.wait(20) == 1
            assert f"another link has the name {name}" in second.stderr.read()
        program.send_signal(signal.SIGINT)
        assert program.wait(20) == 0
    assert not mine & namespaces()
    with start(scenario, name, "--", "ground:", "sh", "-c", "sleep 971 & sleep 972; :") as killed:
        _wait_for("sleep 972")
        killed.kill()
    with start(scenario, name) as again:
        again.stdout.readline()
        assert mine <= namespaces()
        assert not _running("sleep 97[12]")
        again.send_signal(signal.SIGTERM)
        assert again.wait(20) == 0
    assert not mine & namespaces()


def _wait_for(words: str) -> None:
    end = time.monotonic() + 20
    while not _running(words):
        assert time.monotonic() < end
        time.sleep(0.05)


def _running(words: str) -> bool:
    return bool(subprocess.run(["pgrep", "-f", words], capture_output=True, check=False).stdout)


def test_the_others_command_ends_with_the_grounds(tmp_path: Path, name: str) -> None:
    scenario = write(tmp_path / "link.toml", {}, {})
    began = time.monotonic()
    commands = (
        "--",
        "node:",
        "sleep",
        "961",
        *_of("ground", f"test $GROUNDLOOP_NODE = {PEER} && exit 7"),
    )
    with start(scenario, name, *commands) as program:
        assert program.wait(30) == 7, program.stderr.read()
    assert time.monotonic() - began < 15
    assert not _running("sleep 961")
    assert not {f"{name}-ground", f"{name}-node"} & namespaces()
