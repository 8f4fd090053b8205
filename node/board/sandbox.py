"""Runs calls, each in a child process with limits on time, size and what it may touch."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Sequence

from node.board.errands import Job
from node.board.tool_child import CONFINED, EXIT_NO_ISOLATION
from node.board.tools import ERROR
from roundtrip.units import NS_PER_S

CLOSING_S = 1.0
"""For the output of one that was killed to be closed."""
COMMAND = (sys.executable, "-m", "node.board.tool_child")


async def run_all(
    jobs: Sequence[Job], limit_ns: int, max_bytes: int, command: Sequence[str] = COMMAND
) -> list[str]:
    """The results of some calls, in order; total.

    Args:
        jobs: the calls.
        limit_ns: for each; then it is killed.
        max_bytes: of a result; a longer one is an error.
        command: starts a child.
    """
    return [
        f"{ERROR}{job.error}" if job.error else await run(job, limit_ns, max_bytes, command)
        for job in jobs
    ]


async def run(job: Job, limit_ns: int, max_bytes: int, command: Sequence[str] = COMMAND) -> str:
    """The result of one call; total."""
    limit_s = limit_ns / NS_PER_S
    order = {"name": job.name, "timeout_s": limit_s, "view": dict(job.view)}
    order |= {"argv": list(job.argv)} if job.argv else {"arguments": dict(job.arguments)}
    told = f"{json.dumps(order)}\n" + (json.dumps(dict(job.arguments)) if job.argv else "")
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, **CONFINED},
        )
    except OSError as error:
        return f"{ERROR}{error.strerror}"
    try:
        async with asyncio.timeout(limit_s):
            data = await _output(process, told.encode(), max_bytes)
            code = None if len(data) > max_bytes else await process.wait()
    except TimeoutError:
        return f"{ERROR}took longer than {limit_s:g} s"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSING_S):
                await _drained(process)
                await process.wait()
    if len(data) > max_bytes:
        return f"{ERROR}its output is longer than {max_bytes} bytes"
    if code == EXIT_NO_ISOLATION:
        return f"{ERROR}this machine cannot keep a program from the network"
    if code:
        return f"{ERROR}it failed with exit code {code}"
    return data.decode(errors="replace").strip()


async def _drained(process: asyncio.subprocess.Process) -> None:
    """Until its output is closed."""
    assert process.stdout is not None
    while await process.stdout.read(1 << 16):
        pass


async def _output(process: asyncio.subprocess.Process, told: bytes, max_bytes: int) -> bytes:
    """What it prints, up to one byte more than it may."""
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(ConnectionError):
        process.stdin.write(told)
        await process.stdin.drain()
        process.stdin.close()
    data = bytearray()
    while len(data) <= max_bytes:
        piece = await process.stdout.read(max_bytes + 1 - len(data))
        if not piece:
            break
        data += piece
    return bytes(data)
