"""How one node process runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dtn.bpsec.security import Security
from node.board.spacecraft import Doing
from node.board.view import Board, Keep
from node.body.energy import Battery
from roundtrip.contacts import ContactPlan
from roundtrip.drive.udp import SCHEME, UdpLink
from roundtrip.node_config import NodeConfig


@dataclass(frozen=True, slots=True)
class NodeRunConfig:
    """How one node process runs."""

    node: NodeConfig
    endpoint: str
    """The modem's, or the ground's own over UDP."""
    udp: UdpLink
    """Used where the endpoint says so."""
    store_path: Path
    link_limit_s: float | None
    """How long to wait for the modem's first cue; None: for ever."""
    security: Security | None
    """Secures and opens bundles; None for plain ones."""
    plan: ContactPlan | None
    """What is known of the contacts; None: nothing."""
    battery: Callable[[], Battery | None]
    """A full one for each run."""
    signing: tuple[bytes, ...]
    """The keys that manifests are signed with."""
    board: Callable[[Callable[[], Doing], Keep], Board]
    """What there is to be shown, given what the node does, and who is told of what was shown."""
    los_ns: tuple[int, ...] = ()
    """When contacts end on the plan's clock, where the plan is known."""
    trusted_clock: bool = True
    """This machine knows the time; it matters where no modem tells it."""

    @property
    def by_udp(self) -> bool:
        """There is no modem: neither the run nor the plan's clock is told."""
        return self.endpoint.startswith(SCHEME)
