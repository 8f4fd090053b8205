"""An upload in virtual time: its content is made up, and the node keeps no more of it than hashes.

Reading it on the ground takes no time, keeping it on board what the profile says, and a self-test
LOAD_NS.
"""

from __future__ import annotations

import hashlib

from ground.bulk.source import MadeUp
from node.bulk.shelf import Memory, Shelf
from node.bulk.vault import Vault
from roundtrip.bulk.manifest import Manifest, sign
from roundtrip.bulk.wire import Have
from roundtrip.modem import Side
from roundtrip.rng import substream
from roundtrip.transport import ENDPOINTS
from roundtrip.units import NS_PER_S
from roundtrip.upload_config import UploadConfig

LOAD_NS = 20 * NS_PER_S
"""A choice: half a gigabyte from a card at 90 MB/s, and a few answers."""
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
        self.told: list[tuple[int, Have]] = []
        """What the node has said, and when the ground had it, ns."""

    def _vault(self) -> Vault:
        return Vault(self.shelf, ENDPOINTS[Side.NODE], [KEY])

    def restarted(self) -> list[Have]:
        """The node's process is another; what it says."""
        self.vault = self._vault()
        return self.vault.begin()
