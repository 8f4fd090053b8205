"""The live link: a process between ground and node, with a ROUTER socket per side.

The plan's clock starts when both sides have said hello. A side that comes back (same or new
process) gets the cue as it stands; a new ground that has no clock yet starts a new run. A relay
that was restarted takes the clock up again from a side that still has one.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import cbor2
import zmq

from link_sim.link import Cue, Deliver, Link
from roundtrip.config import Scenario
from roundtrip.drive import clock
from roundtrip.drive.actor import Actor
from roundtrip.drive.realtime import RealtimeClock, Socket, on_lifeline_cut, stop_signals
from roundtrip.errors import EnvironmentFault
from roundtrip.framelog import FrameFate, to_line
from roundtrip.modem import CARRIER, FRAME, HELLO, Side, encode_carrier

FLUSH_INTERVAL_S = 1.0


@dataclass(frozen=True, slots=True)
class RelayConfig:
    """How one relay process runs."""

    scenario: Scenario
    seed: int
    ground_endpoint: str
    node_endpoint: str
    frames_path: Path | None
    """Where the fate of every frame is written; None for nowhere."""


class Relay:
    """Two sockets around a `Link`."""

    def __init__(self, config: RelayConfig, log: TextIO | None) -> None:
        self._config = config
        self._log = log
        self._peers: dict[Side, bytes] = {}
        self._elapsed: dict[Side, int | None] = {}
        self._actor: Actor[Link] | None = None
        self._sockets = {
            side: Socket(zmq.ROUTER, self._receiver(side)) for side in (Side.GROUND, Side.NODE)
        }
        self.endpoints = {
            Side.GROUND: self._sockets[Side.GROUND].bind(config.ground_endpoint),
            Side.NODE: self._sockets[Side.NODE].bind(config.node_endpoint),
        }

    def _receiver(self, side: Side) -> Callable[[list[bytes]], None]:
        def receive(parts: list[bytes]) -> None:
            if len(parts) != 3:
                return
            peer, kind, body = parts
            if kind == FRAME and self._actor is not None and peer == self._peers.get(side):
                self._actor.call(self._actor.machine.send, side, body)
            elif kind == HELLO:
                self._hello(side, peer, body)

        return receive

    def _hello(self, side: Side, peer: bytes, body: bytes) -> None:
        try:
            elapsed_ns = cbor2.loads(body)
        except Exception:  # noqa: BLE001 - cbor2 documents no closed set of errors
            return
        if elapsed_ns is not None and type(elapsed_ns) is not int:
            return
        known = self._peers.get(side) == peer
        self._peers[side] = peer
        self._elapsed[side] = elapsed_ns
        if len(self._peers) < 2:
            return
        new_run = side is Side.GROUND and not known and elapsed_ns is None
        if self._actor is None or new_run:
            self._start(0 if new_run else max(e or 0 for e in self._elapsed.values()))
        elif not known or elapsed_ns is None:
            now_ns = self._actor.clock.now_ns()
            self._perform(self._actor.machine.cue(side, now_ns=now_ns))

    def _start(self, elapsed_ns: int) -> None:
        if self._actor is not None:
            self._actor.stop()
        origin_ns = clock.monotonic_ns() - elapsed_ns
        link = Link(
            self._config.scenario, self._config.seed, origin_ns=origin_ns, host=clock.host_id()
        )
        self._actor = Actor(RealtimeClock(origin_ns), "link", link, self._perform)
        self._actor.call(link.start)

    def _perform(self, output: Any) -> None:
        match output:
            case Deliver(side, frame):
                self._sockets[side].send([self._peers[side], FRAME, frame])
            case Cue(side, carrier):
                self._sockets[side].send([self._peers[side], CARRIER, encode_carrier(carrier)])
            case FrameFate() if self._log is not None:
                self._log.write(to_line(output) + "\n")

    def close(self) -> None:
        """Stop, and give the ports back."""
        if self._actor is not None:
            self._actor.stop()
        for socket in self._sockets.values():
            socket.close()


async def run_relay(config: RelayConfig, *, lifeline: bool) -> None:
    """Relay frames until told to stop by a signal or, with `lifeline`, by the end of stdin.

    Prints one line of JSON with the endpoints that it bound.

    Raises:
        EnvironmentFault: an endpoint is taken, or the log cannot be written.
    """
    stopped = asyncio.Event()
    log = _open_log(config.frames_path)
    relay: Relay | None = None
    try:
        relay = Relay(config, log)
        print(json.dumps({s.value: e for s, e in relay.endpoints.items()}), flush=True)
        if lifeline:
            on_lifeline_cut(sys.stdin.fileno(), stopped.set)
        with stop_signals(stopped.set):
            while not stopped.is_set():
                try:
                    await asyncio.wait_for(stopped.wait(), FLUSH_INTERVAL_S)
                except TimeoutError:
                    if log is not None:
                        log.flush()
    finally:
        if relay is not None:
            relay.close()
        if log is not None:
            log.close()


def _open_log(path: Path | None) -> TextIO | None:
    if path is None:
        return None
    try:
        return path.open("a", encoding="utf-8")
    except OSError as error:
        raise EnvironmentFault(
            f"write {path}", error.strerror or "failed", "give a folder that can be written"
        ) from None
