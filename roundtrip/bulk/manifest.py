"""What an upload is: a file as blocks of content named by hash, in a tree that is signed once.

The manifest names the lists of leaves by hash, a list names its blocks by hash, so that every piece
is checked when it comes, and what the node has already need not be sent. Pure.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from typing import Any

import cbor2

from roundtrip.cbor import read_cbor
from roundtrip.errors import BadMessage

VERSION = 1
BLOCK_BYTES = 1 << 16
LIST_LEAVES = 2048
DIGEST_BYTES = 16
"""Of a block, in a list: the first of its SHA-256."""
ID_BYTES = 8
MAC_BYTES = 32
MAX_LISTS = 1024
MAX_BYTES = MAX_LISTS * LIST_LEAVES * BLOCK_BYTES
MAX_NAME_BYTES = 64
MAX_CANARIES = 8
SLOTS = ("a", "b")
KINDS = ("model", "adapter", "prompt", "document")
"""A GGUF; a LoRA adapter for the model that flies; the system prompt of questions that bring none;
the text that every system prompt ends with."""
_LEAF_BYTES = DIGEST_BYTES + 4
_CONTEXT = b"groundloop upload"


@dataclass(frozen=True, slots=True)
class Leaf:
    """A block."""

    digest: bytes
    size: int


@dataclass(frozen=True, slots=True)
class Canary:
    """A question that came with a model, and its one right answer."""

    text: str
    expected: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What goes up, and what becomes of it."""

    node: str
    """The endpoint that it is for."""
    name: str
    kind: str
    """One of `KINDS`."""
    size: int
    """Bytes of the file."""
    sha256: bytes
    lists: tuple[bytes, ...]
    """SHA-256 of each list of leaves."""
    leaves: int
    slot: str = ""
    """`a`, `b`, or empty for the one that does not fly; each kind has its own."""
    made_unix_s: int = 0
    """When it was signed; what flies is not replaced by something older."""
    force: bool = False
    """It is, even so."""
    least_tok_s: float = 0.0
    """The model must not write slower than this."""
    canaries: tuple[Canary, ...] = ()
    system: str = ""
    """The system prompt of the canaries."""
    memory_bytes: int = 0
    """What the model needs with the context that the node has, as far as the ground knows."""
    version: int = VERSION

    @property
    def numbers(self) -> int:
        """Pieces: the lists of leaves, then the blocks."""
        return len(self.lists) + self.leaves


@dataclass(frozen=True, slots=True)
class Signed:
    """A manifest as it travels."""

    manifest: Manifest
    data: bytes
    mac: bytes

    @property
    def id(self) -> bytes:
        """Names the upload."""
        return id_of(self.data)


def places_of(kind: str) -> tuple[str, ...]:
    """Where on board something of a kind may be: in two places, so that what flies stays while
    another comes."""
    return SLOTS if kind == "model" else tuple(f"{kind}-{slot}" for slot in SLOTS)


def id_of(data: bytes) -> bytes:
    """What names the upload of a manifest."""
    return hashlib.sha256(data).digest()[:ID_BYTES]


def digest_of(block: bytes) -> bytes:
    """The name of a block."""
    return hashlib.sha256(block).digest()[:DIGEST_BYTES]


def cuts_of(size: int, starts: Iterable[int] = ()) -> list[tuple[int, int]]:
    """Where a file is cut into blocks.

    Args:
        size: of the file, bytes.
        starts: where its parts begin, such as the tensors of a model: a part that is not smaller
            than half a block begins one, so that a change in one part leaves the blocks of the
            others as they were.

    Returns:
        Start and end of each block, bytes.
    """
    begins = [0, *sorted({at for at in starts if 0 < at < size}), size]
    cuts: list[tuple[int, int]] = []
    at = 0
    for begin, end in pairwise(begins):
        if end - begin < BLOCK_BYTES // 2:
            continue
        cuts += _even(at, begin)
        cuts += _even(begin, end)
        at = end
    return cuts + _even(at, size)


def _even(start: int, end: int) -> list[tuple[int, int]]:
    return [(at, min(at + BLOCK_BYTES, end)) for at in range(start, end, BLOCK_BYTES)]


def lists_of(leaves: Sequence[Leaf]) -> list[bytes]:
    """The lists of leaves, as they travel."""
    rows = [leaf.digest + leaf.size.to_bytes(4, "big") for leaf in leaves]
    return [b"".join(rows[at : at + LIST_LEAVES]) for at in range(0, len(rows), LIST_LEAVES)]


def leaves_in(data: bytes) -> list[Leaf]:
    """The leaves in a list.

    Raises:
        BadMessage: it is none.
    """
    if not data or len(data) % _LEAF_BYTES or len(data) > LIST_LEAVES * _LEAF_BYTES:
        raise BadMessage("upload", "list", f"rows of {_LEAF_BYTES} bytes", f"{len(data)} bytes")
    leaves = [
        Leaf(data[at : at + DIGEST_BYTES], int.from_bytes(data[at + DIGEST_BYTES : at + 20], "big"))
        for at in range(0, len(data), _LEAF_BYTES)
    ]
    if any(not 0 < leaf.size <= BLOCK_BYTES for leaf in leaves):
        raise BadMessage("upload", "list", f"blocks of 1 to {BLOCK_BYTES} bytes", "another")
    return leaves


def sign(manifest: Manifest, key: bytes) -> Signed:
    """The manifest as it travels.

    Args:
        manifest: to be signed.
        key: of those that secure the link, the one that signs.
    """
    body = asdict(manifest) | {"canaries": [[c.text, c.expected] for c in manifest.canaries]}
    data = cbor2.dumps(body, canonical=True)
    return Signed(manifest, data, _mac(data, key))


def _mac(data: bytes, key: bytes) -> bytes:
    return hmac.digest(key, _CONTEXT + data, "sha256")


def verified(data: bytes, mac: bytes, keys: Iterable[bytes]) -> Signed:
    """A manifest that one of the keys has signed.

    Raises:
        BadMessage: none of them has, or it is not one of this version.
    """
    if not any(hmac.compare_digest(_mac(data, key), mac) for key in keys):
        raise BadMessage("manifest", "signature", "one by a key of this node", "another")
    found = read_cbor(data, "manifest")
    if not isinstance(found, dict) or found.get("version") != VERSION:
        version = found.get("version") if isinstance(found, dict) else None
        raise BadMessage("manifest", "version", str(VERSION), repr(version)[:40])
    return Signed(_checked(found), data, mac)


def _checked(found: dict[str, Any]) -> Manifest:
    known = {field.name for field in fields(Manifest)}
    if set(found) != known:
        raise BadMessage("manifest", "keys", str(sorted(known)), str(sorted(map(str, found)))[:200])

    def check(key: str, expected: str, right: bool) -> None:
        if not right:
            raise BadMessage("manifest", key, expected, repr(found[key])[:60])

    check("system", "text", isinstance(found["system"], str))
    for key in ("node", "name", "kind", "slot"):
        check(key, "text", isinstance(found[key], str) and len(found[key]) <= MAX_NAME_BYTES)
    for key in ("size", "leaves", "made_unix_s", "memory_bytes"):
        check(key, "a number", type(found[key]) is int and found[key] >= 0)
    check("name", "a file's name", found["name"] == plain_name(found["name"]))
    check("kind", " or ".join(KINDS), found["kind"] in KINDS)
    check("slot", "a, b or nothing", found["slot"] in ("", *SLOTS))
    check("size", f"1 to {MAX_BYTES}", 0 < found["size"] <= MAX_BYTES)
    check("sha256", "32 bytes", isinstance(found["sha256"], bytes) and len(found["sha256"]) == 32)
    lists, leaves = found["lists"], found["leaves"]
    check("lists", "SHA-256s", isinstance(lists, list) and len(lists) <= MAX_LISTS)
    check("lists", "SHA-256s", all(isinstance(one, bytes) and len(one) == 32 for one in lists))
    check("leaves", "as many as the lists hold", -(-leaves // LIST_LEAVES) == len(lists))
    check("force", "true or false", type(found["force"]) is bool)
    speed = found["least_tok_s"]
    check("least_tok_s", "tokens/s", isinstance(speed, int | float) and 0 <= speed < 1e9)
    canaries = found["canaries"]
    check("canaries", "a list", isinstance(canaries, list) and len(canaries) <= MAX_CANARIES)
    pairs = [c for c in canaries if isinstance(c, list) and len(c) == 2]
    texts = all(isinstance(text, str) for pair in pairs for text in pair)
    check("canaries", "questions with answers", texts and len(pairs) == len(canaries))
    made = {"lists": tuple(lists), "canaries": tuple(Canary(*pair) for pair in pairs)}
    return Manifest(**(found | made))


def plain_name(name: str) -> str:
    """What is left of a name where it is to be one of a file in a folder."""
    kept = "".join(c for c in name if c.isalnum() or c in "-_.+ ")
    return kept.strip(". ")[:MAX_NAME_BYTES]
