"""`python -m node.board.tool_child`: runs one call in a process of its own, which may use no
network, write no file, and only so much time and memory.

On stdin a line of JSON: what to do and the limits; for a program on board the arguments follow, and
are what it gets. The result is what comes on stdout.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import sys
from collections.abc import Mapping
from typing import Any

MEMORY_BYTES = 1 << 30
OPEN_FILES = 64
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
EXIT_NO_ISOLATION = 3
CONFINED = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}
"""All that a program on board finds in its environment."""


def isolated() -> bool:
    """Leave the network, for a namespace that has none, and have what is started from now on in one
    of its own, so that all of it ends together; whether that worked."""
    libc = ctypes.CDLL(None, use_errno=True)
    alone = CLONE_NEWNET | CLONE_NEWPID
    return libc.unshare(alone) == 0 or bool(libc.unshare(CLONE_NEWUSER | alone) == 0)


def limit(timeout_s: float) -> None:
    """From here on: no file grows, and time and memory end."""
    seconds = int(timeout_s) + 1
    for what, most in (
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, OPEN_FILES),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(what)[1]
        soft = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (soft, soft))


def main() -> int:
    """Run the call that stdin has; the exit code."""
    order: Mapping[str, Any] = json.loads(_line(0))
    is_alone = isolated() if sys.platform == "linux" else False
    limit(order["timeout_s"])
    if argv := order.get("argv"):
        if not is_alone:
            return EXIT_NO_ISOLATION
        program = os.posix_spawnp(argv[0], argv, CONFINED)
        return os.waitstatus_to_exitcode(os.waitpid(program, 0)[1]) & 0xFF
    from node.board.tools import run_tool

    sys.stdout.write(run_tool(order["name"], order["arguments"], order["view"]))
    return 0


def _line(handle: int) -> bytes:
    """A line, and nothing behind it: what follows is the program's."""
    line = bytearray()
    while not line.endswith(b"\n"):
        byte = os.read(handle, 1)
        if not byte:
            break
        line += byte
    return bytes(line)


if __name__ == "__main__":
    sys.exit(main())
