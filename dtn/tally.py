"""What each layer took of the bytes on the air. Pure.

The bytes of a first sending are shared out among the layers by how the block is made up, so that
the layers always add up to what left, or came, also where a block did so only in part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dtn.bpsec.bcb_aes import IV_BYTES, TAG_BYTES, derived_iv, iv_and_tag
from dtn.bpsec.block import BCB, BIB
from dtn.bpv7.blocks import encode_canonical
from dtn.bpv7.bundle import Bundle


@dataclass(frozen=True, slots=True)
class Makeup:
    """Bytes of one block, by layer."""

    payload: int
    security: int
    block: int
    """In all; what is neither is headers."""


NOTHING = Makeup(0, 0, 1)


@dataclass(slots=True)
class Tally:
    """Bytes of one direction, by layer."""

    payload: int = 0
    bundle: int = 0
    """Headers of bundles."""
    security: int = 0
    segments: int = 0
    """Headers of LTP data segments."""
    control: int = 0
    """LTP segments without data: reports, acknowledgments, cancellations."""
    repeats: int = 0
    """Data segments whose data was sent, or had come, before."""
    unfinished: int = 0
    """Data of blocks that have not come whole, or could not be read."""

    @property
    def total(self) -> int:
        """Of all frames."""
        mine = (self.payload, self.bundle, self.security)
        return sum(mine) + self.segments + self.control + self.repeats + self.unfinished

    def add_frame(self, size: int, new_bytes: int | None) -> None:
        """A frame has come, with so many bytes of data that were not here yet; None without any."""
        if new_bytes is None:
            self.control += size
        elif not new_bytes:
            self.repeats += size
        else:
            self.segments += size - new_bytes
            self.unfinished += new_bytes

    def add_whole(self, makeup: Makeup) -> None:
        """A block has come whole."""
        self.unfinished -= makeup.block
        self.payload += makeup.payload
        self.security += makeup.security
        self.bundle += makeup.block - makeup.payload - makeup.security

    def add_first(self, makeup: Makeup, before: int, after: int, frame: int) -> None:
        """A frame with the bytes from `before` to `after` of a block, for the first time."""
        payload = _share(makeup.payload, makeup.block, before, after)
        security = _share(makeup.security, makeup.block, before, after)
        self.payload += payload
        self.security += security
        self.bundle += after - before - payload - security
        self.segments += frame - (after - before)


def makeup_of(bundles: Sequence[Bundle], block_bytes: int, *, compressed: bool) -> Makeup:
    """The layers of bundles as they go, or came, in a block of so many bytes."""
    security = 0
    for bundle in bundles:
        guards = [block for block in bundle.blocks if block.type_code in (BIB, BCB)]
        if compressed and guards:
            sealed = iv_and_tag(guards[0])
            explicit = sealed is not None and sealed[0] != derived_iv(bundle.primary)
            security += TAG_BYTES + IV_BYTES * explicit
        else:
            security += sum(len(encode_canonical(block)) for block in guards)
    return Makeup(sum(len(bundle.payload) for bundle in bundles), security, block_bytes)


def _share(part: int, whole: int, before: int, after: int) -> int:
    return part * after // whole - part * before // whole
