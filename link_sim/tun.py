"""The live link for any program: IP packets between two network namespaces, through the same
channels as frames.

A packet is a frame: it is as long on the air, and what the modem's queue has no room for is lost.
There is no modem that anybody could ask; programs find out what IP programs find out.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from link_sim.frame_log import FrameLog
from link_sim.link import Deliver, Link
from link_sim.namespaces import ADDRESSES, Namespaces
from roundtrip.drive import clock
from roundtrip.drive.actor import Actor
from roundtrip.drive.realtime import RealtimeClock, background, stop_signals
from roundtrip.errors import EnvironmentFault
from roundtrip.framelog import FrameFate
from roundtrip.modem import Side
from roundtrip.say import say_json
from roundtrip.scenario import Scenario

BURST = 64
"""Packets read before timers and the other side have their turn."""
MOST_BYTES = 65_536
FLUSH_INTERVAL_S = 1.0
END_S = 5.0
"""How long a command has to end when it is told to."""
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class TunConfig:
    """How one process runs."""

    scenario: Scenario
    seed: int
    name: str
    """Of the namespaces, before `-ground` and `-node`."""
    frames_path: Path | None
    commands: Mapping[Side, list[str]]
    """What is run in them; empty: it goes on until it is stopped."""


class TunLink:
    """Two TUN devices around a `Link`; its plan's clock starts with it.

    Raises:
        EnvironmentFault: as `Namespaces` and `FrameLog`.
    """

    def __init__(self, config: TunConfig) -> None:
        link = config.scenario.link
        self._log = None if config.frames_path is None else FrameLog(config.frames_path)
        mtus = {Side.GROUND: link.uplink.mtu_bytes, Side.NODE: link.downlink.mtu_bytes}
        self.spaces = Namespaces(config.name, mtus)
        origin_ns = clock.monotonic_ns()
        machine = Link(config.scenario, config.seed, origin_ns=origin_ns, host=clock.host_id())
        self._actor = Actor(RealtimeClock(origin_ns), "link", machine, self._perform)
        loop = asyncio.get_running_loop()
        for side, tun in self.spaces.tuns.items():
            loop.add_reader(tun, partial(self._read, side, tun))
        self._actor.call(machine.start)

    def _read(self, side: Side, tun: int) -> None:
        actor = self._actor
        with suppress(BlockingIOError):
            for _ in range(BURST):
                actor.tell(actor.machine.send, side, os.read(tun, MOST_BYTES))
        actor.settle()

    def _perform(self, output: Any) -> None:
        match output:
            case Deliver(side, packet):
                # A device that is full, or whose packet has wrong bits, takes it as lost.
                with suppress(OSError):
                    os.write(self.spaces.tuns[side], packet)
            case FrameFate() if self._log is not None:
                self._log.write(output)

    async def flush(self) -> None:
        """Have the log on its way to the disk, again and again."""
        while self._log is not None:
            await asyncio.sleep(FLUSH_INTERVAL_S)
            self._log.flush()

    def close(self) -> None:
        """Stop, and remove what was made."""
        self._actor.stop()
        loop = asyncio.get_running_loop()
        for tun in self.spaces.tuns.values():
            loop.remove_reader(tun)
        self.spaces.close()
        if self._log is not None:
            self._log.close()


async def run_tun(config: TunConfig) -> int:
    """Carry packets until told to stop by a signal, or until the commands end.

    The ground's command is the one that is waited for, else the node's; the other is ended then.
    Without commands one line of JSON says what was made.

    Returns:
        The exit code of the command that was waited for; 0 without one.

    Raises:
        EnvironmentFault: as `TunLink`; or a command cannot be started.
    """
    stopped = asyncio.Event()
    link = TunLink(config)
    flushing = background(link.flush())
    commands: dict[Side, asyncio.subprocess.Process] = {}
    try:
        with stop_signals(stopped.set):
            if not config.commands:
                say_json(_made(link))
                await stopped.wait()
                return 0
            for side in (Side.NODE, Side.GROUND):  # who serves first
                if side in config.commands:
                    commands[side] = await _started(link, side, config.commands[side])
            awaited = commands.get(Side.GROUND) or commands[Side.NODE]
            ends = {asyncio.ensure_future(awaited.wait()), asyncio.ensure_future(stopped.wait())}
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            for task in ends:
                task.cancel()
            await _end(commands)
            return awaited.returncode if awaited.returncode is not None else 1
    finally:
        flushing.cancel()
        await _end(commands)
        link.close()


def _made(link: TunLink) -> dict[str, dict[str, str]]:
    return {
        side.value: {"namespace": link.spaces.names[side], "address": ADDRESSES[side]}
        for side in Side
    }


async def _started(link: TunLink, side: Side, words: list[str]) -> asyncio.subprocess.Process:
    names = {f"GROUNDLOOP_{one.value.upper()}": ADDRESSES[one] for one in Side}
    try:
        return await asyncio.create_subprocess_exec(
            *link.spaces.command(side, words),
            env={**os.environ, **names},
            preexec_fn=_ends_with_us,
            start_new_session=True,
        )
    except OSError as error:
        raise EnvironmentFault(
            f"run {words[0]}", error.strerror or str(error), "give a command that can be run"
        ) from None


def _ends_with_us() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


async def _end(commands: Mapping[Side, asyncio.subprocess.Process]) -> None:
    """End what still runs, and what it started."""
    for command in commands.values():
        if command.returncode is None:
            _signal(command.pid, signal.SIGTERM)
            with suppress(TimeoutError):
                async with asyncio.timeout(END_S):
                    await command.wait()
        _signal(command.pid, signal.SIGKILL)
        await command.wait()


def _signal(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(pid, number)


def commands_in(words: list[str]) -> dict[Side, list[str]]:
    """`ground: CMD … -- node: CMD …`, in either order, or one of them; any other `--` is a word of
    a command.

    Raises:
        ValueError: something else.
    """
    heads = {f"{side.value}:": side for side in Side}
    parts: list[list[str]] = []
    for at, word in enumerate(words):
        begins = word in heads and (not at or words[at - 1] == "--")
        if begins:
            parts.append([word])
        elif parts:
            parts[-1].append(word)
        elif word != "--":
            raise ValueError(word)
    found: dict[Side, list[str]] = {}
    for place, (head, *command) in enumerate(parts):
        if place + 1 < len(parts):
            command.pop()  # what is between it and the next
        if heads[head] in found or not command:
            raise ValueError(" ".join([head, *command]))
        found[heads[head]] = command
    return found
