"""The live link: a process between ground and node, with a ROUTER socket per side.

Which run it is, and who takes part, is for `rendezvous.py` to say; frames from anyone else are not
taken.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zmq

from link_sim.frame_log import FrameLog
from link_sim.link import Cue, Deliver, Link
from link_sim.rendezvous import Answer, Rendezvous, Start
from roundtrip.drive import clock
from roundtrip.drive.actor import Actor
from roundtrip.drive.realtime import RealtimeClock, Socket, on_lifeline_cut, stop_signals
from roundtrip.errors import BadMessage
from roundtrip.framelog import FrameFate
from roundtrip.modem import BULK, BUSY, CARRIER, FRAME, HELLO, Side, decode_hello, encode_carrier
from roundtrip.say import say_json
from roundtrip.scenario import Scenario

FLUSH_INTERVAL_S = 1.0


@dataclass(frozen=True, slots=True)
class RelayConfig:
    """How one relay process runs."""

    scenario: Scenario
    seed: int
    ground_endpoint: str
    node_endpoint: str
    frames_path: Path | None
    """Where the fate of every frame is written; None for nowhere. A second run gets a file beside
    it. A folder: a file an hour in it."""


class Relay:
    """Two sockets around a `Link`.

    Raises:
        EnvironmentFault: an endpoint is taken, or the log cannot be written.
    """

    def __init__(self, config: RelayConfig) -> None:
        self._config = config
        self._log = None if config.frames_path is None else FrameLog(config.frames_path)
        self._rendezvous = Rendezvous()
        self._actor: Actor[Link] | None = None
        self._sockets = {
            side: Socket(zmq.ROUTER, self._receiver(side), self._settle)
            for side in (Side.GROUND, Side.NODE)
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
            actor = self._actor
            if kind in (FRAME, BULK) and actor is not None and peer == self._rendezvous.peer(side):
                actor.tell(actor.machine.send, side, body, bulk=kind == BULK)
            elif kind == HELLO:
                self._hello(side, peer, body)

        return receive

    def _settle(self) -> None:
        if self._actor is not None:
            self._actor.settle()

    def _hello(self, side: Side, peer: bytes, body: bytes) -> None:
        try:
            hello = decode_hello(body)
        except BadMessage:
            return
        match self._rendezvous.hello(side, peer, hello, now_ns=clock.monotonic_ns()):
            case Start() as start:
                self._start(start)
            case Answer.BUSY:
                self._sockets[side].send([peer, BUSY, b""])
            case Answer.CUE if self._actor is not None:
                self._perform(self._actor.machine.cue(side, now_ns=self._actor.clock.now_ns()))

    def _start(self, start: Start) -> None:
        if self._actor is not None:
            self._actor.stop()
            if self._log is not None:
                self._log.next_run()
        origin_ns = clock.monotonic_ns() - start.elapsed_ns
        link = Link(
            self._config.scenario,
            self._config.seed,
            run_id=start.run_id,
            origin_ns=origin_ns,
            host=clock.host_id(),
            dtn_epoch_ms=start.dtn_epoch_ms,
        )
        self._actor = Actor(RealtimeClock(origin_ns), "link", link, self._perform)
        self._actor.call(link.start)

    def flush(self) -> None:
        """Have the log on its way to the disk."""
        if self._log is not None:
            self._log.flush()

    def _perform(self, output: Any) -> None:
        match output:
            case Deliver(side, frame):
                self._send(side, FRAME, frame)
            case Cue(side, carrier):
                self._send(side, CARRIER, encode_carrier(carrier))
            case FrameFate() if self._log is not None:
                self._log.write(output)

    def _send(self, side: Side, kind: bytes, body: bytes) -> None:
        peer = self._rendezvous.peer(side)
        assert peer is not None
        self._sockets[side].send([peer, kind, body])

    def close(self) -> None:
        """Stop, and give the ports back."""
        if self._actor is not None:
            self._actor.stop()
        for socket in self._sockets.values():
            socket.close()
        if self._log is not None:
            self._log.close()


async def run_relay(config: RelayConfig, *, lifeline: bool) -> None:
    """Relay frames until told to stop by a signal or, with `lifeline`, by the end of stdin.

    Prints one line of JSON with the endpoints that it bound.

    Raises:
        EnvironmentFault: an endpoint is taken, or the log cannot be written.
    """
    stopped = asyncio.Event()
    relay = Relay(config)
    try:
        say_json({s.value: e for s, e in relay.endpoints.items()})
        if lifeline:
            on_lifeline_cut(sys.stdin.fileno(), stopped.set)
        with stop_signals(stopped.set):
            while not stopped.is_set():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(FLUSH_INTERVAL_S):
                        await stopped.wait()
                relay.flush()
    finally:
        relay.close()
