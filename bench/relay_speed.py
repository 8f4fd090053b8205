"""The live relay under load: a relay process, and both users of it in this one, on loopback.

A frame should arrive when the model says: handed over, on the air for bits / rate as soon as the
transmitter is free, then one light time. The error is how much later it is here; it counts ZeroMQ
both ways, the relay, and what this process takes to notice. The relay writes its log of frames, as
in a run.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
import zmq

from bench.row import Row
from link_sim.__main__ import REALTIME_PRIORITY
from roundtrip.modem import CARRIER, FRAME, HELLO, Hello, Side, encode_hello
from roundtrip.units import NS_PER_MS, NS_PER_S, serialisation_ns

FRAME_BYTES = 1_400
RATE_BPS = 1_000_000_000
ONE_WAY_NS = 6 * NS_PER_MS
SCENARIO = f"""
[link.uplink]
rate_bps = {RATE_BPS}
one_way_delay_ms = {ONE_WAY_NS / NS_PER_MS}
mtu_bytes = {FRAME_BYTES}
queue_bytes = 20_000_000
[link.downlink]
rate_bps = {RATE_BPS}
one_way_delay_ms = {ONE_WAY_NS / NS_PER_MS}
mtu_bytes = {FRAME_BYTES}
queue_bytes = 20_000_000
[workload]
questions = ["?"]
count = 1
"""
STEADY_FPS = 2_000
STEADY_S = 10.0
RAMP_FPS = (4_000, 6_000, 8_000, 10_000, 12_000, 14_000, 17_000, 20_000)
RAMP_S = 6.0
PARTS = 4
"""A ramp's step is sustained when its last quarter is as prompt as its second."""
DRIFT_NS = 2 * NS_PER_MS
BEHIND_NS = 100 * NS_PER_MS
"""This process must hand frames over at most this late for a measurement to count; it makes up for
it with a burst."""
HELLO_NS = 200 * NS_PER_MS
LEFTOVER_NS = NS_PER_S


def rows() -> list[Row]:
    """Error at a steady rate, and the highest rate that holds, each step with two tries."""
    steady = [_error(realtime=False)]
    if _permitted():
        steady.append(_error(realtime=True))
    highest, why = 0, ""
    for fps in RAMP_FPS:
        why = measure(fps, RAMP_S).trouble and measure(fps, RAMP_S).trouble
        if why:
            break
        highest = fps
    return [
        *steady,
        Row(
            "relay: frames of 1,400 bytes each way without drift",
            highest,
            "frames/s",
            10_000,
            at_least=True,
            note=f"at {fps:,}: {why}" if why else "the most that was tried",
        ),
    ]


def _permitted() -> bool:
    """Whether this user may have real-time priority."""
    command = [sys.executable, "-c", "import os; os.sched_setscheduler(0, 1, os.sched_param(5))"]
    return subprocess.run(command, stderr=subprocess.DEVNULL).returncode == 0


@contextlib.contextmanager
def _prompt_observer() -> Iterator[None]:
    """Real-time priority for this process, too: what it notices late is not the relay's error."""
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(REALTIME_PRIORITY))
    try:
        yield
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def _error(*, realtime: bool) -> Row:
    with _prompt_observer() if realtime else contextlib.nullcontext():
        load = measure(STEADY_FPS, STEADY_S, realtime=realtime)
    assert not load.lost, f"{load.lost} frames lost"
    errors = np.abs(load.errors_ns) / NS_PER_MS
    how = "relay --realtime" if realtime else "relay"
    return Row(
        f"{how}: error of delivery, {STEADY_FPS:,} frames/s each way, p99",
        float(np.percentile(errors, 99)),
        "ms",
        1,
        at_least=False,
        note=f"p50 {np.percentile(errors, 50):.2f} ms, {len(errors):,} frames",
    )


@dataclass(slots=True)
class Load:
    """What came of a measurement."""

    errors_ns: np.ndarray
    """(frames,) by when they were handed over."""
    lost: int
    behind_ns: int
    """How late this process was, at worst."""

    @property
    def trouble(self) -> str:
        """Why the rate was not sustained; empty where it was."""
        if self.lost:
            return f"{self.lost:,} frames lost"
        if self.behind_ns > BEHIND_NS:
            return f"the sender itself was {self.behind_ns / NS_PER_MS:.0f} ms late"
        quarters = np.array_split(self.errors_ns, PARTS)
        drift_ns = float(np.median(quarters[-1]) - np.median(quarters[1]))
        return f"{drift_ns / NS_PER_MS:.1f} ms of drift" if drift_ns > DRIFT_NS else ""


@dataclass(slots=True)
class _End:
    """One user of the relay."""

    socket: zmq.Socket[bytes]
    handed_ns: list[int] = field(default_factory=list)
    heard: list[tuple[int, int]] = field(default_factory=list)
    """(index, when) of the other's frames."""
    cued: bool = False

    def drain(self) -> None:
        while True:
            try:
                kind, body = self.socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            if kind == FRAME:
                self.heard.append((int.from_bytes(body[:8], "big"), time.monotonic_ns()))
            elif kind == CARRIER:
                self.cued = True


def measure(fps: int, length_s: float, *, realtime: bool = False) -> Load:
    """Send so many frames a second each way through a relay process of its own."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "scenario.toml"
        path.write_text(SCENARIO)
        command = [sys.executable, "-m", "link_sim", str(path), "--lifeline"]
        command += ["--frames", str(path.with_name("frames.jsonl"))]
        command += [f"--{side.value}=tcp://127.0.0.1:*" for side in Side]
        command += ["--realtime"] if realtime else []
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as relay:
            assert relay.stdout is not None
            assert relay.stdin is not None
            endpoints = json.loads(relay.stdout.readline())
            try:
                return _load(endpoints, fps, length_s)
            finally:
                relay.stdin.close()


def _load(endpoints: dict[str, str], fps: int, length_s: float) -> Load:
    ends = {side: _End(_connected(endpoints[side.value])) for side in Side}
    begun_ns = time.monotonic_ns()
    while not all(end.cued for end in ends.values()):
        _say_hello(ends, begun_ns)
        time.sleep(0.05)
        for end in ends.values():
            end.drain()
    behind_ns = _send_all(ends, begun_ns, fps, length_s)
    for end in ends.values():
        end.socket.close(linger=0)
    pairs = ((ends[Side.GROUND], ends[Side.NODE]), (ends[Side.NODE], ends[Side.GROUND]))
    found = [_errors(sender.handed_ns, receiver.heard) for sender, receiver in pairs]
    count = sum(len(end.handed_ns) for end in ends.values())
    errors = np.array([error for pair in zip(*found, strict=False) for error in pair])
    return Load(errors, count - sum(len(part) for part in found), behind_ns)


def _connected(endpoint: str) -> zmq.Socket[bytes]:
    socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.DEALER)
    for option in (zmq.SNDHWM, zmq.RCVHWM):
        socket.setsockopt(option, 100_000)
    socket.connect(endpoint)
    return socket


def _say_hello(ends: dict[Side, _End], begun_ns: int) -> None:
    for end in ends.values():
        hello = Hello(1, time.monotonic_ns() - begun_ns if end.cued else None)
        end.socket.send_multipart([HELLO, encode_hello(hello)])


def _send_all(ends: dict[Side, _End], begun_ns: int, fps: int, length_s: float) -> int:
    """Hand over all frames on time, both sides in turn; returns how late it was at worst."""
    fds = [end.socket.getsockopt(zmq.FD) for end in ends.values()]
    rest = bytes(FRAME_BYTES - 8)
    step_ns, total = NS_PER_S // fps, round(fps * length_s)
    start_ns = time.monotonic_ns() + 50 * NS_PER_MS
    end_ns = start_ns + total * step_ns + ONE_WAY_NS + LEFTOVER_NS
    hello_ns, sent, behind_ns = start_ns, 0, 0
    while (now_ns := time.monotonic_ns()) < end_ns:
        if now_ns >= hello_ns:
            _say_hello(ends, begun_ns)
            hello_ns += HELLO_NS
        while sent < total and start_ns + sent * step_ns <= now_ns:
            behind_ns = max(behind_ns, now_ns - start_ns - sent * step_ns)
            frame = sent.to_bytes(8, "big") + rest
            for end in ends.values():
                end.handed_ns.append(time.monotonic_ns())
                end.socket.send_multipart([FRAME, frame], zmq.NOBLOCK)
            sent += 1
        for end in ends.values():
            end.drain()
        if sent == total and all(len(end.heard) == total for end in ends.values()):
            break
        due_ns = start_ns + sent * step_ns if sent < total else hello_ns
        wait_ns = min(due_ns, hello_ns) - time.monotonic_ns()
        if wait_ns > 0:
            select.select(fds, [], [], wait_ns / NS_PER_S)
    return behind_ns


def _errors(handed_ns: list[int], heard: list[tuple[int, int]]) -> list[int]:
    """How much later than the model each frame was there, in the order they were handed over."""
    length_ns = serialisation_ns(FRAME_BYTES, RATE_BPS)
    due: list[int] = []
    free_ns = 0
    for at_ns in handed_ns:
        free_ns = max(at_ns, free_ns) + length_ns
        due.append(free_ns + ONE_WAY_NS)
    assert all(first[0] < second[0] for first, second in pairwise(heard))
    return [at_ns - due[index] for index, at_ns in heard]
