"""Real time: asyncio's loop as the clock, ZeroMQ sockets as the link. The only place that waits for
the world.

The sockets are driven by their file descriptor, which is edge-triggered: every wake-up drains what
has arrived, and so does the turn of the loop that follows a send.
"""

from __future__ import annotations

import asyncio
import os
import selectors
import signal
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, TypeVar

import zmq

from roundtrip.drive import clock
from roundtrip.errors import BadMessage, EnvironmentFault
from roundtrip.modem import (
    BULK,
    BUSY,
    CARRIER,
    FRAME,
    HELLO,
    Carrier,
    Hello,
    decode_carrier,
    encode_hello,
)

T = TypeVar("T")

HELLO_INTERVAL_S = 0.2
SAME_CLOCK_NS = 60_000_000_000
"""A cue of this host that is older than this, or comes before it was sent, is by another
CLOCK_MONOTONIC: processes in different time namespaces, such as containers, have one each."""
BUSY_S = 1.0
"""How long a modem's word that it is busy holds."""
SEND_QUEUE_MESSAGES = 10_000
"""Frames that ZeroMQ may hold towards one peer; beyond it they are dropped, as a dead modem
would."""


RECV = int(zmq.NOBLOCK)
SEND_MORE = int(zmq.NOBLOCK | zmq.SNDMORE)
SEND_LAST = int(zmq.NOBLOCK)
EVENTS = int(zmq.EVENTS)
HAS_MESSAGE = int(zmq.POLLIN)
"""As plain numbers: arithmetic with ZeroMQ's own flags takes longer than to send a frame."""
BURST = 64
"""Messages read before timers and the other sockets have their turn."""


def run_async(main: Coroutine[Any, Any, T], *, precise: bool = False) -> T:
    """`asyncio.run`, except that an error in any callback ends `main` and is raised.

    Args:
        main: what to run.
        precise: timers are late by microseconds, not by up to a millisecond, which is what epoll
            counts in. For few files only: select takes time for each.
    """
    if not precise:
        return asyncio.run(_until_broken(main))
    with asyncio.Runner(loop_factory=_precise_loop) as runner:
        return runner.run(_until_broken(main))


def _precise_loop() -> asyncio.AbstractEventLoop:
    return asyncio.SelectorEventLoop(selectors.SelectSelector())


async def _until_broken(main: Coroutine[Any, Any, T]) -> T:
    loop = asyncio.get_running_loop()
    broken: asyncio.Future[BaseException] = loop.create_future()

    def on_error(_: object, context: dict[str, Any]) -> None:
        if not broken.done():
            broken.set_result(context.get("exception") or RuntimeError(context["message"]))

    loop.set_exception_handler(on_error)
    task = asyncio.ensure_future(main)
    either: set[asyncio.Future[Any]] = {task, broken}
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task})
    if broken.done():
        raise broken.result()
    return task.result()


def background(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """A task whose error is not kept until somebody asks: it ends `run_async`."""

    def ended(task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            task.result()

    task = asyncio.ensure_future(work)
    task.add_done_callback(ended)
    return task


async def unless(stopped: asyncio.Event, work: Coroutine[Any, Any, T]) -> T | None:
    """What `work` comes to; None, with `work` cancelled, when it is stopped before."""
    task = asyncio.ensure_future(work)
    stop = asyncio.ensure_future(stopped.wait())
    either: set[asyncio.Future[Any]] = {task, stop}
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        stop.cancel()
        if not task.done():
            task.cancel()
            await asyncio.wait({task})


class RealtimeClock:
    """The plan's clock over CLOCK_MONOTONIC, waking through the running asyncio loop.

    Args:
        origin_ns: CLOCK_MONOTONIC at the plan's zero.
    """

    def __init__(self, origin_ns: int) -> None:
        self.origin_ns = origin_ns
        self._loop = asyncio.get_running_loop()

    def now_ns(self) -> int:
        """ns since the plan's zero."""
        return clock.monotonic_ns() - self.origin_ns

    def call_at(self, at_ns: int, callback: Callable[[], None]) -> asyncio.TimerHandle:
        """Call back at `at_ns` of the plan's clock; how late, see `run_async`."""
        wait_s = max(0, at_ns - self.now_ns()) / 1e9
        return self._loop.call_at(self._loop.time() + wait_s, callback)

    def call_soon_threadsafe(self, callback: Callable[[], None]) -> None:
        """Call back from the loop's thread; safe to use from another."""
        self._loop.call_soon_threadsafe(callback)


class Socket:
    """A ZeroMQ socket on the running loop.

    Args:
        kind: zmq.DEALER or zmq.ROUTER.
        on_message: called with the parts of each message; the first part is the peer on a ROUTER.
        on_drained: called after a batch of messages.
    """

    def __init__(
        self,
        kind: int,
        on_message: Callable[[list[bytes]], None],
        on_drained: Callable[[], None] = lambda: None,
    ) -> None:
        self._socket: zmq.Socket[bytes] = zmq.Context.instance().socket(kind)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.SNDHWM, SEND_QUEUE_MESSAGES)
        self._socket.setsockopt(zmq.RCVHWM, SEND_QUEUE_MESSAGES)
        if kind == zmq.DEALER:
            self._socket.setsockopt(zmq.IMMEDIATE, 1)
        if kind == zmq.ROUTER:
            self._socket.setsockopt(zmq.ROUTER_HANDOVER, 1)
        self._on_message = on_message
        self._on_drained = on_drained
        self._looking = False
        self._closed = False
        self._loop = asyncio.get_running_loop()
        self._fd = self._option(zmq.FD)
        self._loop.add_reader(self._fd, self._drain)

    def _option(self, name: int) -> int:
        value = self._socket.getsockopt(name)
        assert isinstance(value, int)
        return value

    def bind(self, endpoint: str) -> str:
        """Listen at `endpoint` ("tcp://127.0.0.1:*" takes a free port).

        Returns:
            The endpoint that was really bound.

        Raises:
            EnvironmentFault: it is taken, or not ours to take.
        """
        try:
            self._socket.bind(endpoint)
        except zmq.ZMQError as error:
            raise EnvironmentFault(
                f"bind {endpoint}", str(error), "free the port or give another endpoint"
            ) from None
        return self._socket.getsockopt_string(zmq.LAST_ENDPOINT).rstrip("\0")

    def connect(self, endpoint: str) -> None:
        """Reach for `endpoint`, now and whenever the connection breaks.

        Raises:
            EnvironmentFault: not an endpoint.
        """
        try:
            self._socket.connect(endpoint)
        except zmq.ZMQError as error:
            raise EnvironmentFault(
                f"connect {endpoint}", str(error), "give an endpoint such as tcp://127.0.0.1:5560"
            ) from None

    def send(self, parts: list[bytes]) -> None:
        """Send one message; dropped where there is no peer or its queue is full."""
        send, last = self._socket.send, len(parts) - 1
        try:
            for index, part in enumerate(parts):
                send(part, SEND_LAST if index == last else SEND_MORE)
        except zmq.Again:  # only ever for the first part
            pass
        self._look_soon()

    def _look_soon(self) -> None:
        if not self._looking:
            self._looking = True
            self._loop.call_soon(self._drain)

    def _drain(self) -> None:
        self._looking = False
        receive = self._socket.recv
        for _ in range(BURST):
            if self._closed or not self._has_message():
                break
            part = receive(RECV, copy=False)
            parts = [part.bytes]
            while part.more:
                part = receive(RECV, copy=False)
                parts.append(part.bytes)
            self._on_message(parts)
        else:
            self._look_soon()
        self._on_drained()

    def _has_message(self) -> bool:
        """Cheaper than to try and fail; also what arms the descriptor anew."""
        return bool(self._option(EVENTS) & HAS_MESSAGE)

    def close(self) -> None:
        """Close at once; what has not been sent is dropped."""
        if not self._closed:
            self._closed = True
            self._loop.remove_reader(self._fd)
            self._socket.close()


class ModemPort:
    """The user's end of a modem: says hello all the time, and passes frames and cues.

    Args:
        endpoint: the relay's endpoint for this side.
        on_frame: a frame came off the link.
        on_carrier: a cue came from the modem; says whether it was for us.
        hello: what to say of oneself now.
        on_busy: somebody else has our place; called once.
    """

    def __init__(
        self,
        endpoint: str,
        on_frame: Callable[[bytes], None],
        on_carrier: Callable[[Carrier], bool],
        hello: Callable[[], Hello],
        on_busy: Callable[[], None],
    ) -> None:
        self.endpoint = endpoint
        self._on_frame = on_frame
        self._on_carrier = on_carrier
        self._make_hello = hello
        self._on_busy = on_busy
        self._busy_at_s: float | None = None
        self._socket = Socket(zmq.DEALER, self._receive)
        self._socket.connect(endpoint)
        self._heard = asyncio.Event()
        self._hello = background(self._say_hello())

    async def wait_for_carrier(self, limit_s: float | None) -> None:
        """Wait for the modem's first cue.

        Raises:
            EnvironmentFault: none came within `limit_s`.
        """
        try:
            async with asyncio.timeout(limit_s):
                await self._heard.wait()
        except TimeoutError:
            what = f"link {self.endpoint}"
            if self._busy_at_s is not None and self._now_s() - self._busy_at_s < BUSY_S:
                raise EnvironmentFault(
                    what, "another process uses this modem", "stop it, or start another link"
                ) from None
            raise EnvironmentFault(
                what,
                f"no modem answered within {limit_s:g} s",
                "start `groundloop link` there and a peer on its other side",
            ) from None

    def send(self, frame: bytes, *, bulk: bool = False) -> None:
        """Hand a frame to the modem."""
        self._socket.send([BULK if bulk else FRAME, frame])

    async def _say_hello(self) -> None:
        while True:
            self._socket.send([HELLO, encode_hello(self._make_hello())])
            await asyncio.sleep(HELLO_INTERVAL_S)

    def _receive(self, parts: list[bytes]) -> None:
        match parts:
            case [kind, frame] if kind == FRAME:
                self._on_frame(frame)
            case [kind, body] if kind == CARRIER:
                with suppress(BadMessage):
                    if self._on_carrier(decode_carrier(body)):
                        self._heard.set()
            case [kind, _] if kind == BUSY:
                if self._busy_at_s is None:
                    self._on_busy()
                self._busy_at_s = self._now_s()

    def _now_s(self) -> float:
        return asyncio.get_running_loop().time()

    def close(self) -> None:
        """Leave the modem."""
        self._hello.cancel()
        self._socket.close()


def origin_of(cue: Carrier) -> int:
    """CLOCK_MONOTONIC at the plan's zero, by a modem's cue.

    Exact where the modem runs on this host; elsewhere late by the time the cue took to arrive.
    """
    by_arrival_ns = clock.monotonic_ns() - cue.elapsed_ns
    on_the_way_ns = by_arrival_ns - cue.origin_ns
    if cue.host and cue.host == clock.host_id() and 0 <= on_the_way_ns < SAME_CLOCK_NS:
        return cue.origin_ns
    return by_arrival_ns


@contextmanager
def stop_signals(stop: Callable[[], None]) -> Iterator[None]:
    """While inside, SIGINT and SIGTERM call `stop` instead of raising."""
    loop = asyncio.get_running_loop()
    caught = (signal.SIGINT, signal.SIGTERM)
    for number in caught:
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in caught:
            loop.remove_signal_handler(number)


def on_lifeline_cut(fd: int, stop: Callable[[], None]) -> None:
    """Call `stop` when the other end of pipe `fd` closes: the parent is gone or wants us to go."""
    loop = asyncio.get_running_loop()

    def read() -> None:
        if not os.read(fd, 4096):
            loop.remove_reader(fd)
            stop()

    loop.add_reader(fd, read)


class Worker:
    """One thread for work that blocks, such as a disk; results come back on the loop, in order.

    Args:
        on_error: called on the loop when a piece of work raises.
    """

    def __init__(self, on_error: Callable[[BaseException], None]) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1)
        self._loop = asyncio.get_running_loop()
        self._on_error = on_error

    def submit(self, work: Callable[[], None], done: Callable[[], None]) -> None:
        """Run `work` on the thread, then `done` on the loop."""

        def finished(future: Future[None]) -> None:
            error = future.exception()
            call = done if error is None else partial(self._on_error, error)
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(call)

        self._pool.submit(work).add_done_callback(finished)

    def close(self) -> None:
        """Finish what was submitted."""
        self._pool.shutdown(wait=True)
