"""A live run on one machine: link and node as child processes, the ground station in this one.

The children hang on a pipe to this process: when it ends, however it ends, so do they.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from rich.text import Text

from ground.books import Books
from ground.desk import Desk
from ground.results.folder import finish, run_folder
from ground.station import Asked, ask, run_of
from node.board.record import beside
from node.engine.accept import accept_model, found
from roundtrip.command import security_of
from roundtrip.drive.realtime import run_async, stop_signals, unless
from roundtrip.errors import ChildFailed, Stopped
from roundtrip.modem import Side
from roundtrip.scenario import Scenario
from roundtrip.screen import Screen
from roundtrip.words import shown
from testbed.grading import check_rules, grader

LOOPBACK = "tcp://127.0.0.1:*"
STOP_LIMIT_S = 10.0


class Child:
    """One child process, ended by closing its stdin."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, console: Screen) -> None:
        self.name = name
        self.process = process
        self._console = console
        self._last = ""
        self._stopping = False
        self._errors = asyncio.ensure_future(self._pass_on())

    async def _pass_on(self) -> None:
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            self._last = line.decode(errors="replace").rstrip()
            if not self._last.startswith("error: "):
                self._console.print(Text(shown(self._last), style="dim"), soft_wrap=True)

    async def failure(self) -> ChildFailed:
        """Wait until it ends by itself; what to say of it."""
        code = await self.process.wait()
        await self._errors
        what = f"killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        if self._last.startswith("error: "):
            what = self._last.removeprefix("error: ")
        return ChildFailed(self.name, what, code if code > 0 else 1)

    async def stop(self) -> None:
        """End it, and wait until it has ended."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            async with asyncio.timeout(STOP_LIMIT_S):
                await self.process.wait()
        except TimeoutError:
            self.process.kill()
            await self.process.wait()
        await self._errors


def live(scenario: Scenario, seed: int, model: str, out: Path | None, *, plain: bool) -> int:
    """Run a scenario live to its end, and leave its results in a folder; the exit code.

    Args:
        scenario, seed: what happens.
        model: a file or a name, instead of the scenario's.
        out: the folder; None for a new one.
        plain: neither sign nor encrypt.

    Raises:
        BadModel, BadConfig: as `accept_model`.
        EnvironmentFault: as `run_folder`; and what `run_live` raises.
    """
    node = found(scenario.node, model)
    accept_model(node)
    console = Screen()
    if model == "tiny":
        console.print("model `tiny` has random weights: its words mean nothing, its timing is real")
    scenario = scenario.model_copy(update={"node": node})
    folder = run_folder(out, scenario, seed)

    async def run_and_finish() -> int:
        stopped = asyncio.Event()
        with stop_signals(stopped.set):
            asked = await run_live(scenario, seed, folder, console, stopped, plain=plain)
            return finish(run_of(scenario, seed, asked, folder), folder, console)

    return run_async(run_and_finish())


async def run_live(
    scenario: Scenario,
    seed: int,
    folder: Path,
    console: Screen,
    stopped: asyncio.Event,
    *,
    plain: bool = False,
    desk: Desk | None = None,
    books: Books | None = None,
    workload: bool = True,
) -> Asked:
    """Run a scenario live, in a folder of `run_folder`; it holds the link's log afterwards.

    With a desk the station stands until it is stopped.

    Raises:
        ChildFailed: link or node ended before the run began.
        EnvironmentFault, Stopped: as `Station.run`.
    """
    check_rules(scenario)
    security = security_of(Side.GROUND, plain=plain)
    as_run = folder / "scenario.toml"
    children: list[Child] = []
    try:
        link_args = ["--ground", LOOPBACK, "--node", LOOPBACK]
        if scenario.link.frame_log:
            log = folder if books is not None else folder / "frames.jsonl"  # a file an hour
            link_args += ["--frames", str(log)]
        link = await _start("link", ["link_sim", str(as_run), *link_args], console, children)
        endpoints = await unless(stopped, _endpoints(link))
        if endpoints is None:
            raise Stopped("stopped before the link was up")
        node_args = ["--scenario", str(as_run), "--link", endpoints["node"]]
        store = folder / "node.sqlite"
        node_args += ["--store", str(store)]
        node_args += ["--plain"] if plain else []
        node = await _start("node", ["node", *node_args], console, children)
        asking = partial(
            ask,
            scenario,
            seed,
            endpoints["ground"],
            folder,
            console,
            stopped,
            security=security,
            link_limit_s=None,
            desk=desk,
            books=books,
            workload=workload,
            grade=grader(beside(store)),
        )
        return await _ask_while_alive(asking, console, [link, node])
    finally:
        for child in reversed(children):
            await child.stop()


async def _start(name: str, arguments: list[str], console: Screen, children: list[Child]) -> Child:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        *arguments,
        "--lifeline",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    child = Child(name, process, console)
    children.append(child)
    return child


async def _endpoints(link: Child) -> dict[str, str]:
    assert link.process.stdout is not None
    line = await link.process.stdout.readline()
    if not line:
        raise await link.failure()
    endpoints: dict[str, str] = json.loads(line)
    return endpoints


async def _ask_while_alive(
    asking: Callable[..., Awaitable[Asked]], console: Screen, children: list[Child]
) -> Asked:
    failed: list[ChildFailed] = []

    async def watch(child: Child, fail: Callable[[str], None]) -> None:
        failed.append(await child.failure())
        fail(f"{child.name} ended: {failed[-1]}")

    watchers: list[asyncio.Future[None]] = []

    def begin(fail: Callable[[str], None]) -> None:
        watchers.extend(asyncio.ensure_future(watch(child, fail)) for child in children)

    try:
        asked = await asking(on_ready=begin)
    except Stopped:
        if failed:
            raise failed[0] from None
        raise
    finally:
        for watcher in watchers:
            watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watcher
    if failed:
        console.print(Text(shown(failed[0]), style="red"), soft_wrap=True)
    return asked
