"""An upload in virtual time: its content is made up, and the node keeps no more of it than hashes.

Reading it on the ground takes no time, keeping it on board what the profile says, and a self-test
LOAD_NS.
"""

from __future__ import annotations

import hashlib
from typing import Any

from ground.bulk.source import MadeUp
from node.bulk.shelf import Memory, Shelf
from node.bulk.vault import Vault
from roundtrip.bulk.manifest import Manifest, sign
from roundtrip.bulk.wire import Have
from roundtrip.contacts import FOREVER_NS, Windows
from roundtrip.modem import Side
from roundtrip.rng import substream
from roundtrip.transport import ENDPOINTS
from roundtrip.units import NS_PER_S, ns_to_s, s_to_ns
from roundtrip.upload_config import UploadConfig

LOAD_NS = 20 * NS_PER_S
"""A choice: half a gigabyte from a card at 90 MB/s, and a few answers."""
DAY_NS = 86_400 * NS_PER_S
KEY = b"a key of virtual time, and no secret"


class VirtualUpload:
    """The disks of both ends.

    Args:
        config: what goes up.
        seed: of the run.
        shelf: what the node keeps it on; None: memory.
    """

    def __init__(self, config: UploadConfig, seed: int, shelf: Shelf | None = None) -> None:
        self.config = config
        self.source = MadeUp(config.size_bytes, lambda at: substream(seed, f"upload/{at}"))
        lists = tuple(hashlib.sha256(one).digest() for one in self.source.lists)
        source = self.source
        manifest = Manifest(
            ENDPOINTS[Side.NODE], config.name, "model", source.size, source.sha256, lists,
            len(source.leaves),
        )  # fmt: skip
        self.signed = sign(manifest, KEY)
        self.shelf = Memory() if shelf is None else shelf
        self.vault = self._vault()
        self.begun = False
        self.again = 0
        """Pieces that went up although the node had them on disk."""
        self.told: list[tuple[int, Have]] = []
        """What the node has said, and when the ground had it, ns."""

    def until_ns(self, uplink: Windows) -> int:
        """How long a run may have to wait for it: to the end of the plan, or of a day."""
        last_ns = uplink.spans[-1][1] if uplink.spans else 0
        return last_ns if last_ns < FOREVER_NS else s_to_ns(self.config.at_s) + DAY_NS

    def summary(self, state: str, sent_bytes: int, uplink: Windows) -> dict[str, Any]:
        """How it went.

        Args:
            state: of it, as the ground knows.
            sent_bytes: of its pieces.
            uplink: the contacts.
        """
        began_ns = s_to_ns(self.config.at_s)
        seen = {have.state: at_ns for at_ns, have in reversed(self.told)}
        whole_ns, flies_ns = seen.get("whole"), seen.get("active")
        until_ns = self.told[-1][0] if whole_ns is None and self.told else whole_ns or began_ns
        return {
            "name": self.config.name,
            "bytes": self.config.size_bytes,
            "state": state,
            "sent_bytes": sent_bytes,
            "passes": sum(end > began_ns and start <= until_ns for start, end in uplink.spans),
            "began_s": ns_to_s(began_ns),
            "whole_s": None if whole_ns is None else ns_to_s(whole_ns),
            "flies_s": None if flies_ns is None else ns_to_s(flies_ns),
        }

    def piece(self, number: int) -> tuple[bytes, bool]:
        """A piece that goes up."""
        self.again += not self.vault.lacks(self.signed.id, number)
        return self.source.piece(number)

    def _vault(self) -> Vault:
        return Vault(self.shelf, ENDPOINTS[Side.NODE], [KEY])

    def restarted(self) -> list[Have]:
        """The node's process is another; what it says."""
        self.vault = self._vault()
        return self.vault.begin()
