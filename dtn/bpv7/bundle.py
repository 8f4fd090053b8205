"""BPv7 bundles: one primary block, extension blocks, one payload block.

What is sent is always the one canonical form: an indefinite-length array of definite-length
blocks, shortest integers, a checksum on every block. What is received must be well formed to the
last byte; a definite-length outer array, which RFC 9171 §4.1 lets a node discard, is read too.
Blocks of unknown types are carried unopened; none may be dropped without its flags asking for it.
Standard: RFC 9171 §4.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from dtn.bpv7 import cbor
from dtn.bpv7.blocks import (
    BUNDLE_AGE,
    DELETE_BUNDLE_IF_UNPROCESSED,
    DISCARD_BLOCK_IF_UNPROCESSED,
    HOP_COUNT,
    IS_ADMIN_RECORD,
    PAYLOAD,
    PAYLOAD_NUMBER,
    PREVIOUS_NODE,
    REPORT_IF_UNPROCESSED,
    CanonicalBlock,
    PrimaryBlock,
    age_block,
    age_of,
    encode_canonical,
    encode_primary,
    hop_count_block,
    hops_of,
    node_of,
    read_canonical,
    read_primary,
)
from dtn.errors import BundleError

MAX_BLOCKS = 64
"""Most canonical blocks a received bundle may have."""

KNOWN_TYPES = (PAYLOAD, PREVIOUS_NODE, BUNDLE_AGE, HOP_COUNT)
"""Block types this agent can process."""

AGE_NUMBER = 3
HOP_COUNT_NUMBER = 2

_ONCE = (PREVIOUS_NODE, BUNDLE_AGE, HOP_COUNT)
"""Extension blocks a bundle may have at most one of (RFC 9171 §4.4)."""


@dataclass(frozen=True, slots=True, order=True)
class BundleId:
    """What makes a bundle the same bundle wherever it turns up (RFC 9171 §4.3.1)."""

    source: str
    creation_ms: int
    sequence: int
    fragment_offset: int | None = None
    """None for a whole bundle."""

    def __str__(self) -> str:
        whole = f"{self.source}/{self.creation_ms}/{self.sequence}"
        return whole if self.fragment_offset is None else f"{whole}+{self.fragment_offset}"


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle, decoded: the primary block and the canonical blocks in their order on the wire."""

    primary: PrimaryBlock
    blocks: tuple[CanonicalBlock, ...]
    """The payload block is the last one."""

    @property
    def id(self) -> BundleId:
        """The identity of this bundle."""
        primary = self.primary
        return BundleId(
            primary.source, primary.creation_ms, primary.sequence, primary.fragment_offset
        )

    @property
    def payload(self) -> bytes:
        """What the application sent."""
        return self.blocks[-1].data

    @property
    def source(self) -> str:
        """The endpoint that sent it."""
        return self.primary.source

    @property
    def destination(self) -> str:
        """The endpoint it is for."""
        return self.primary.destination

    @property
    def lifetime_ms(self) -> int:
        """How long after its creation the bundle is of use."""
        return self.primary.lifetime_ms

    @property
    def is_admin_record(self) -> bool:
        """Whether the payload is for the bundle layer itself."""
        return bool(self.primary.flags & IS_ADMIN_RECORD)

    def block(self, type_code: int) -> CanonicalBlock | None:
        """The first block of a type."""
        return next((block for block in self.blocks if block.type_code == type_code), None)

    @property
    def age_ms(self) -> int | None:
        """What the bundle age block says; None without one."""
        block = self.block(BUNDLE_AGE)
        return None if block is None else age_of(block)

    @property
    def hops(self) -> tuple[int, int] | None:
        """Hop limit and hop count; None without such a block."""
        block = self.block(HOP_COUNT)
        return None if block is None else hops_of(block)

    @property
    def previous_node(self) -> str | None:
        """Who forwarded the bundle; None when it does not say."""
        block = self.block(PREVIOUS_NODE)
        return None if block is None else node_of(block)


def make_bundle(
    primary: PrimaryBlock, payload: bytes, *, hop_limit: int | None = None, age_ms: int = 0
) -> Bundle:
    """A bundle as this agent sends them: hop count (unless None), age, payload."""
    blocks: list[CanonicalBlock] = []
    if hop_limit is not None:
        blocks.append(hop_count_block(hop_limit, 0, HOP_COUNT_NUMBER))
    blocks.append(age_block(age_ms, AGE_NUMBER))
    blocks.append(CanonicalBlock(PAYLOAD, PAYLOAD_NUMBER, payload))
    return Bundle(primary, tuple(blocks))


def encode(bundle: Bundle) -> bytes:
    """Encode a bundle.

    Raises:
        ValueError: the payload block is not last, a block number repeats, or a field does not fit.
    """
    _check_order([(block.type_code, block.number) for block in bundle.blocks])
    return b"".join(
        [
            b"\x9f",
            encode_primary(bundle.primary),
            *[encode_canonical(block) for block in bundle.blocks],
            b"\xff",
        ]
    )


def decode(data: bytes) -> Bundle:
    """Decode exactly one bundle.

    Raises:
        BundleError: the bytes are anything else.
    """
    bundle, end = decode_from(data, 0)
    if end != len(data):
        raise BundleError(end, "end of data", f"{len(data) - end} more bytes")
    return bundle


def decode_all(data: bytes) -> list[Bundle]:
    """Decode a block of one or more bundles end to end, as some implementations send them.

    Raises:
        BundleError: any byte belongs to no well-formed bundle.
    """
    bundles: list[Bundle] = []
    at = 0
    while at < len(data) or not bundles:
        bundle, at = decode_from(data, at)
        bundles.append(bundle)
    return bundles


def decode_from(data: bytes, at: int) -> tuple[Bundle, int]:
    """Decode the bundle that starts at an offset; return it and the offset behind it."""
    if at >= len(data):
        raise BundleError(at, "bundle", "end of data")
    count, after = cbor.open_array(data, at)
    primary, after = read_primary(data, after)
    blocks: list[CanonicalBlock] = []
    numbers: dict[int, int] = {}
    while True:
        block_at = after
        block, after = read_canonical(data, after)
        if block.number in numbers or block.number == 0:
            raise BundleError(block_at, "a block number of its own", str(block.number))
        if block.type_code in _ONCE and any(b.type_code == block.type_code for b in blocks):
            raise BundleError(block_at, "one such block", f"second of type {block.type_code}")
        if len(blocks) == MAX_BLOCKS:
            raise BundleError(block_at, f"at most {MAX_BLOCKS} blocks", "one more")
        if (block.type_code == PAYLOAD) != (block.number == PAYLOAD_NUMBER):
            found = f"type {block.type_code} number {block.number}"
            raise BundleError(block_at, "number 1 on the payload block alone", found)
        if block.flags & REPORT_IF_UNPROCESSED and not primary.may_report:
            raise BundleError(block_at, "no status report request", f"flags 0x{block.flags:x}")
        numbers[block.number] = block_at
        blocks.append(block)
        if block.type_code == PAYLOAD:
            break
    if count == cbor.INDEFINITE:
        after = cbor.close_array(data, after)
    elif count != len(blocks) + 1:
        raise BundleError(at, f"array of {len(blocks) + 1}", f"array of {count}")
    _check_fragment(primary, len(blocks[-1].data), at)
    return Bundle(primary, tuple(blocks)), after


def without_unknown(bundle: Bundle, known: tuple[int, ...] = KNOWN_TYPES) -> Bundle | None:
    """Do what the flags of blocks we cannot process ask for (RFC 9171 §5.6 step 4).

    Returns:
        The bundle, less the blocks to be discarded, or None when the bundle must be deleted.
    """
    unknown = [block for block in bundle.blocks if block.type_code not in known]
    if not unknown:
        return bundle
    if any(block.flags & DELETE_BUNDLE_IF_UNPROCESSED for block in unknown):
        return None
    kept = tuple(
        block
        for block in bundle.blocks
        if block.type_code in known or not block.flags & DISCARD_BLOCK_IF_UNPROCESSED
    )
    return bundle if len(kept) == len(bundle.blocks) else replace(bundle, blocks=kept)


def _check_order(blocks: list[tuple[int, int]]) -> None:
    """Refuse to send what a receiver must refuse: (type, number) of every block."""
    if not blocks or blocks[-1] != (PAYLOAD, PAYLOAD_NUMBER):
        raise ValueError("the last block must be the payload block, number 1")
    numbers = [number for _, number in blocks]
    if len(set(numbers)) != len(numbers) or 0 in numbers:
        raise ValueError(f"block numbers are not unique: {numbers}")
    if sum(type_code == PAYLOAD for type_code, _ in blocks) != 1:
        raise ValueError("more than one payload block")


def _check_fragment(primary: PrimaryBlock, payload_bytes: int, at: int) -> None:
    if primary.fragment_offset is None or primary.total_bytes is None:
        return
    end = primary.fragment_offset + payload_bytes
    if end > primary.total_bytes:
        raise BundleError(at, f"fragment within {primary.total_bytes} bytes", f"end at {end}")
