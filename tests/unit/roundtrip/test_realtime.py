"""What `run_async` and `unless` do when something breaks; no sleeping."""

from __future__ import annotations

import asyncio

import click
import pytest

from roundtrip.command import run_command
from roundtrip.drive import clock
from roundtrip.drive.realtime import SAME_CLOCK_NS, background, origin_of, run_async, unless
from roundtrip.modem import Carrier


def test_an_error_in_a_callback_ends_the_program_after_its_clean_up() -> None:
    cleaned: list[str] = []

    async def main() -> None:
        asyncio.get_running_loop().call_soon(lambda: {}["key"])
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.append("up")

    with pytest.raises(KeyError):
        run_async(main())
    assert cleaned == ["up"]


def test_an_error_in_a_background_task_ends_the_program() -> None:
    async def broken() -> None:
        raise OSError(28, "No space left on device", "frames.jsonl")

    async def main() -> None:
        background(broken())
        await asyncio.Event().wait()

    with pytest.raises(OSError, match="No space left"):
        run_async(main())


def test_a_result_comes_through_and_so_does_an_error() -> None:
    async def seven() -> int:
        return 7

    async def fails() -> int:
        raise ValueError("no")

    assert run_async(seven()) == 7
    assert run_async(seven(), precise=True) == 7
    with pytest.raises(ValueError, match="no"):
        run_async(fails())


def test_unless_gives_up_when_stopped_and_cancels_the_work() -> None:
    ended: list[str] = []

    async def work() -> int:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cancelled")
        return 1

    async def main() -> int | None:
        stopped = asyncio.Event()
        asyncio.get_running_loop().call_soon(stopped.set)
        return await unless(stopped, work())

    assert run_async(main()) is None
    assert ended == ["cancelled"]


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(28, "No space left", "log"), "error: log: No space left\n"),
        (KeyError("k"), "error: internal, please report: KeyError: 'k' (test_realtime.py:"),
    ],
)
def test_an_unexpected_error_is_one_line(
    error: Exception, line: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    @click.command()
    def command() -> None:
        raise error

    monkeypatch.setattr("sys.argv", ["x"])
    with pytest.raises(SystemExit) as ended:
        run_command(command)
    assert ended.value.code == 1
    said = capsys.readouterr().err
    assert said.startswith(line)
    assert said.count("\n") == 1


def cue(origin_ns: int, *, host: str = "here", elapsed_ns: int = 1000) -> Carrier:
    return Carrier(1, True, True, 1, 1, 0, 1400, elapsed_ns, origin_ns, host)


def test_the_plans_zero_is_the_modems_own_only_where_it_has_the_same_clock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now_ns = 10 * SAME_CLOCK_NS
    monkeypatch.setattr(clock, "monotonic_ns", lambda: now_ns)
    monkeypatch.setattr(clock, "host_id", lambda: "here")
    by_arrival_ns = now_ns - 1000
    for late_ns in (0, 7, SAME_CLOCK_NS - 1):
        assert origin_of(cue(by_arrival_ns - late_ns)) == by_arrival_ns - late_ns
    assert origin_of(cue(5, host="there")) == by_arrival_ns
    for apart_ns in (-1, SAME_CLOCK_NS, -SAME_CLOCK_NS):
        assert origin_of(cue(by_arrival_ns - apart_ns)) == by_arrival_ns, "a container's own"
    monkeypatch.setattr(clock, "host_id", lambda: "")
    assert origin_of(cue(5, host="")) == by_arrival_ns
