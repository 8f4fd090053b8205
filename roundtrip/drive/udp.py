"""LTP over UDP (RFC 7122): a segment a datagram, straight to the peer, without a relay.

Nobody tells when such a link opens or closes: it counts as open, and timers repair what is lost.
Datagrams are taken from anyone: who sent them is for BPSec to say, never for a source address.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from roundtrip.config import LinkConfig
from roundtrip.drive import clock
from roundtrip.errors import BadConfig, EnvironmentFault
from roundtrip.modem import Carrier, Hello, Side

PORT = 1113
"""For LTP, by IANA."""
SCHEME = "udp://"
MAX_DATAGRAM_BYTES = 65_535
BURST = 64
"""Datagrams read before anything else has its turn."""


@dataclass(frozen=True, slots=True)
class UdpLink:
    """What the ends have to know of a link that tells nothing of itself."""

    listen: str
    """Where the peer's datagrams arrive, "HOST:PORT"; an empty host is all addresses."""
    tx_rate_bps: int = 10_000_000
    rx_rate_bps: int = 10_000_000
    one_way_ns: int = 10_000_000
    mtu_bytes: int = 1_400


def udp_link(config: LinkConfig, side: Side, listen: str) -> UdpLink:
    """The link of a scenario, as one side sees it."""
    out, back = config.uplink, config.downlink
    if side is Side.NODE:
        out, back = back, out
    return UdpLink(listen, out.rate_bps, back.rate_bps, out.one_way_ns, out.mtu_bytes)


def host_and_port(text: str, *, key: str) -> tuple[str, int]:
    """ "HOST", "HOST:PORT" or "[IPv6]:PORT"; the port is PORT if there is none.

    Raises:
        BadConfig: something else.
    """
    try:
        parts = urlsplit(f"//{text}")
        port = parts.port
        plain = not (parts.path or parts.query or parts.fragment or parts.username)
    except ValueError:
        plain, port = False, None
    if not plain:
        raise BadConfig(key, "", "HOST:PORT, or [IPv6]:PORT", text)
    return parts.hostname or "", PORT if port is None else port


class UdpPort:
    """One end of such a link; see `ModemPort`.

    Raises:
        BadConfig: an address is none.
        EnvironmentFault: the peer's name is unknown, or our port is taken.
    """

    def __init__(
        self,
        endpoint: str,
        link: UdpLink,
        on_frame: Callable[[bytes], None],
        on_carrier: Callable[[Carrier], bool],
        hello: Callable[[], Hello],
    ) -> None:
        self._on_frame = on_frame
        peer = host_and_port(endpoint.removeprefix(SCHEME), key="--link")
        mine = host_and_port(link.listen, key="--listen")
        family, self._peer = _resolved(peer, endpoint)
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        try:
            with suppress(OSError):
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
            self._socket.bind(_local(mine, family))
        except OSError as error:
            self._socket.close()
            raise EnvironmentFault(
                f"bind {link.listen}", error.strerror or str(error), "give another --listen"
            ) from None
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket.fileno(), self._read)
        self._cue = self._loop.call_soon(lambda: on_carrier(_cue(link, hello())))

    async def wait_for_carrier(self, limit_s: float | None) -> None:
        """Returns at once: the link is open."""
        del limit_s
        await asyncio.sleep(0)

    def send(self, frame: bytes, *, bulk: bool = False) -> None:
        """Send one segment; where the network does not take it, it is lost. Nobody is told what is
        `bulk`.

        Raises:
            EnvironmentFault: it is longer than the path allows.
        """
        del bulk
        try:
            self._socket.sendto(frame, self._peer)
        except OSError as error:
            if error.errno == errno.EMSGSIZE:
                raise EnvironmentFault(
                    f"send {len(frame)} bytes", "longer than a datagram", "lower link.*.mtu_bytes"
                ) from None

    def _read(self) -> None:
        for _ in range(BURST):
            try:
                frame = self._socket.recv(MAX_DATAGRAM_BYTES)
            except OSError:
                return
            self._on_frame(frame)
            if self._socket.fileno() < 0:
                return

    def close(self) -> None:
        """Leave the link."""
        self._cue.cancel()
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()


def _cue(link: UdpLink, hello: Hello) -> Carrier:
    elapsed_ns = hello.elapsed_ns or 0
    return Carrier(
        run_id=hello.run_id or 0,
        tx_up=True,
        rx_up=True,
        tx_rate_bps=link.tx_rate_bps,
        rx_rate_bps=link.rx_rate_bps,
        one_way_ns=link.one_way_ns,
        mtu_bytes=link.mtu_bytes,
        elapsed_ns=elapsed_ns,
        origin_ns=clock.monotonic_ns() - elapsed_ns,
        host=clock.host_id(),
        dtn_epoch_ms=hello.dtn_epoch_ms,
    )


def _resolved(peer: tuple[str, int], endpoint: str) -> tuple[int, Any]:
    try:
        found = socket.getaddrinfo(*peer, type=socket.SOCK_DGRAM)[0]
    except OSError as error:
        raise EnvironmentFault(
            f"link {endpoint}", error.strerror or str(error), "give udp://HOST:PORT"
        ) from None
    return found[0], found[4]


def _local(mine: tuple[str, int], family: int) -> Any:
    """Our own address; without a host that of every interface."""
    return socket.getaddrinfo(
        mine[0] or None, mine[1], family, socket.SOCK_DGRAM, flags=socket.AI_PASSIVE
    )[0][4]
