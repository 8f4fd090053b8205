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
from typing import Any, TextIO

import zmq

from link_sim.link import Cue, Deliver, Link
from link_sim.rendezvous import Answer, Rendezvous, Start
from roundtrip.drive import clock
from roundtrip.drive.actor import Actor
from roundtrip.drive.realtime import RealtimeClock, Socket, on_lifeline_cut, stop_signals
from roundtrip.errors import BadMessage, EnvironmentFault
from roundtrip.framelog import FrameFate, hour_log, to_line
from roundtrip.modem import BUSY, CARRIER, FRAME, HELLO, Side, decode_hello, encode_carrier
from roundtrip.say import say_json
from roundtrip.scenario import Scenario
from roundtrip.units import NS_PER_S

FLUSH_INTERVAL_S = 1.0
HOUR_NS = 3600 * NS_PER_S


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
        self._runs = 1
        self._hour = -1
        path = config.frames_path
        self._hourly = path is not None and path.is_dir()
        self._log = None if self._hourly else _open_log(path)
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
            if kind == FRAME and self._actor is not None and peer == self._rendezvous.peer(side):
                self._actor.tell(self._actor.machine.send, side, body)
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
            self._next_log()
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

    def _next_log(self) -> None:
        path = self._config.frames_path
        if path is not None and self._log is not None and not self._hourly:
            self._runs += 1
            self._log.close()
            self._log = _open_log(path.with_stem(f"{path.stem}-{self._runs}"))

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
            case FrameFate() if self._config.frames_path is not None:
                self._log_of(self._config.frames_path, output).write(to_line(output) + "\n")

    def _log_of(self, path: Path, fate: FrameFate) -> TextIO:
        """Where the fate of a frame belongs."""
        hour = fate.handed_ns // HOUR_NS
        if self._hourly and hour > self._hour:
            if self._log is not None:
                self._log.close()
            self._hour, self._log = hour, _open_log(hour_log(path, hour))
        assert self._log is not None
        return self._log

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


def _open_log(path: Path | None) -> TextIO | None:
    if path is None:
        return None
    try:
        log = path.open("a+", encoding="utf-8")
        if log.tell():  # the last line may have been cut off
            log.write("\n")
        return log
    except OSError as error:
        raise EnvironmentFault(
            f"write {path}", error.strerror or "failed", "give a folder that can be written"
        ) from None
