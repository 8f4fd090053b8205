"""Two network namespaces with a TUN device each: what is sent in one comes here, and nothing else
leads out of it.

They have names, so that any program can be started in them (`ip netns exec`). The devices are gone
with this process whatever ends it; the names of one that was killed are removed by the next. Linux,
root and iproute2. Source: kernel documentation, networking/tuntap.rst; ip-netns(8).
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import struct
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from roundtrip.errors import EnvironmentFault
from roundtrip.modem import Side

LOCKS = Path("/run/groundloop")
DEVICE = "tun0"
"""What it is called in its namespace."""
ADDRESSES = {Side.GROUND: "10.42.0.1", Side.NODE: "10.42.0.2"}
LEAST_MTU_BYTES = 68
"""Of IPv4 (RFC 791)."""
_TUNSETIFF = 0x400454CA
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000
_WHAT = "link --tun"


class Namespaces:
    """Both of them, made at once.

    Args:
        name: the first part of their names.
        mtu_bytes: of each side's device: the longest packet that it sends.

    Raises:
        EnvironmentFault: this is not Linux, not root, has no TUN or iproute2, or another process
            has namespaces of this name.
    """

    def __init__(self, name: str, mtu_bytes: dict[Side, int]) -> None:
        self.names = {side: f"{name}-{side.value}" for side in Side}
        self.tuns: dict[Side, int] = {}
        """Files: a packet a read, a packet a write."""
        self._ip = ip_program()
        self._lock = self._locked(name)
        try:
            self._remove()  # those of one that was killed
            for side in Side:
                self.tuns[side] = self._made(side, mtu_bytes[side])
        except BaseException:
            self.close()
            raise

    def _locked(self, name: str) -> int:
        """A lock that ends with this process."""
        LOCKS.mkdir(parents=True, exist_ok=True)
        lock = os.open(LOCKS / f"{name}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            raise EnvironmentFault(
                _WHAT, f"another link has the name {name}", "end it, or give --name"
            ) from None
        return lock

    def _made(self, side: Side, mtu_bytes: int) -> int:
        name, mtu = self.names[side], str(max(LEAST_MTU_BYTES, mtu_bytes))
        self._run("netns", "add", name)
        tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        request = struct.pack("16sH22x", b"groundloop%d", _IFF_TUN | _IFF_NO_PI)
        device = fcntl.ioctl(tun, _TUNSETIFF, request)[:16].rstrip(b"\0").decode()
        self._run("link", "set", "dev", device, "netns", name, "name", DEVICE)
        inside = ("-n", name)
        self._run(*inside, "link", "set", "dev", "lo", "up")
        # Only what programs send is to take the link's time.
        self._run("netns", "exec", name, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1")
        self._run(*inside, "link", "set", "dev", DEVICE, "mtu", mtu, "up")
        peer = ADDRESSES[Side.NODE if side is Side.GROUND else Side.GROUND]
        self._run(*inside, "address", "add", ADDRESSES[side], "peer", peer, "dev", DEVICE)
        self._run(*inside, "route", "add", "default", "dev", DEVICE)
        return tun

    def _run(self, *words: str) -> str:
        done = subprocess.run([self._ip, *words], capture_output=True, text=True, check=False)
        if done.returncode:
            why = done.stderr.strip() or f"exit code {done.returncode}"
            raise EnvironmentFault(_WHAT, f"ip {' '.join(words)}: {why}", "see ip-netns(8)")
        return done.stdout

    def command(self, side: Side, words: list[str]) -> list[str]:
        """A command, to be run in a side's namespace."""
        return [self._ip, "netns", "exec", self.names[side], *words]

    def _remove(self) -> None:
        """Whatever has these names, and what still runs there: it was started by who made them."""
        there = {line.split()[0] for line in self._run("netns", "list").splitlines() if line}
        for name in there & set(self.names.values()):
            for pid in self._run("netns", "pids", name).split():
                with suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            self._run("netns", "delete", name)

    def close(self) -> None:
        """Remove all of it."""
        for tun in self.tuns.values():
            os.close(tun)
        self.tuns.clear()
        self._remove()
        os.close(self._lock)


def ip_program() -> str:
    """The program `ip`.

    Raises:
        EnvironmentFault: this machine cannot do what is wanted of it.
    """
    if sys.platform != "linux":
        raise EnvironmentFault(_WHAT, f"no TUN devices on {sys.platform}", "run it on Linux")
    if os.geteuid() != 0:
        raise EnvironmentFault(_WHAT, "not root", "run it as root: it makes network namespaces")
    if not Path("/dev/net/tun").exists():
        raise EnvironmentFault(_WHAT, "no /dev/net/tun", "load the kernel's tun module")
    program = shutil.which("ip")
    if program is None:
        raise EnvironmentFault(_WHAT, "no program `ip`", "install iproute2")
    return program
