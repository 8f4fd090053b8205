"""What an upload is made of, and what one signature covers."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, replace
from itertools import pairwise
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roundtrip.bulk.manifest import (
    BLOCK_BYTES,
    LIST_LEAVES,
    Canary,
    Leaf,
    Manifest,
    cuts_of,
    digest_of,
    leaves_in,
    lists_of,
    plain_name,
    sign,
    verified,
)
from roundtrip.errors import BadMessage

KEY = b"k" * 32
MANIFEST = Manifest(
    "ipn:2.1", "qwen", "model", 70_000, bytes(32), (bytes(32),), 2, "b", 1_700_000_000, True, 3.5,
    (Canary("Is it?", "It is."),), "Watch.", 5_000_000,
)  # fmt: skip


def test_a_signed_manifest_reads_back_with_any_of_the_keys() -> None:
    signed = sign(MANIFEST, KEY)
    assert verified(signed.data, signed.mac, [b"other", KEY]) == signed
    assert signed.id == hashlib.sha256(signed.data).digest()[:8]


def test_a_manifest_that_another_key_has_signed_is_none() -> None:
    signed = sign(MANIFEST, KEY)
    with pytest.raises(BadMessage, match="manifest: signature: expected one by a key of this node"):
        verified(signed.data, signed.mac, [b"other"])
    with pytest.raises(BadMessage, match="signature"):
        verified(signed.data + b"x", signed.mac, [KEY])


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"version": 2}, "manifest: version: expected 1, found 2"),
        ({"more": 1}, "manifest: keys"),
        ({"kind": "song"}, "manifest: kind: expected model or adapter or prompt or document"),
        ({"slot": "c"}, "manifest: slot: expected a, b or nothing"),
        ({"size": 0}, "manifest: size"),
        ({"size": -1}, "manifest: size: expected a number"),
        ({"sha256": b"short"}, "manifest: sha256: expected 32 bytes"),
        ({"lists": [b"short"]}, "manifest: lists"),
        ({"leaves": LIST_LEAVES + 1}, "manifest: leaves: expected as many as the lists hold"),
        ({"name": "../up"}, "manifest: name: expected a file's name"),
        ({"name": 5}, "manifest: name: expected text"),
        ({"force": 1}, "manifest: force"),
        ({"least_tok_s": -1}, "manifest: least_tok_s"),
        ({"canaries": [["only"]]}, "manifest: canaries"),
        ({"canaries": [["a", "b"]] * 9}, "manifest: canaries: expected a list"),
        ({"memory_bytes": 1.5}, "manifest: memory_bytes"),
        ({"system": None}, "manifest: system"),
    ],
)
def test_a_manifest_that_says_something_else_is_refused(
    changes: dict[str, Any], expected: str
) -> None:
    body = asdict(MANIFEST) | {"canaries": [["Is it?", "It is."]]} | changes
    forged = replace(sign(MANIFEST, KEY), data=cbor2.dumps(body))
    import hmac

    mac = hmac.digest(KEY, b"groundloop upload" + forged.data, "sha256")
    with pytest.raises(BadMessage, match=expected):
        verified(forged.data, mac, [KEY])


def test_no_text_that_is_signed_is_a_crash() -> None:
    import hmac

    for data in (b"", b"\xff", cbor2.dumps(5), cbor2.dumps({"version": 1})):
        mac = hmac.digest(KEY, b"groundloop upload" + data, "sha256")
        with pytest.raises(BadMessage):
            verified(data, mac, [KEY])


@given(st.integers(1, 5 * BLOCK_BYTES), st.lists(st.integers(0, 5 * BLOCK_BYTES), max_size=12))
def test_cuts_cover_the_file_in_order(size: int, starts: list[int]) -> None:
    cuts = cuts_of(size, starts)
    assert cuts[0][0] == 0
    assert cuts[-1][1] == size
    assert all(before[1] == after[0] for before, after in pairwise(cuts))
    assert all(0 < end - start <= BLOCK_BYTES for start, end in cuts)


def test_a_large_part_begins_a_block_and_small_ones_share_one() -> None:
    large = 3 * BLOCK_BYTES + 100
    cuts = cuts_of(1000 + 2 * large, [1000, 1000 + large])
    assert {1000, 1000 + large} <= {start for start, _ in cuts}
    assert cuts_of(5000, range(0, 5000, 100)) == [(0, 5000)]


def test_a_change_of_one_part_leaves_the_blocks_of_the_others() -> None:
    parts = [bytes([number]) * (2 * BLOCK_BYTES + 700) for number in range(10)]
    starts = [sum(map(len, parts[:at])) for at in range(10)]
    changed = [*parts[:4], b"x" * len(parts[4]), *parts[5:]]

    def names(content: bytes) -> set[bytes]:
        return {digest_of(content[a:b]) for a, b in cuts_of(len(content), starts)}

    before, after = names(b"".join(parts)), names(b"".join(changed))
    assert len(after - before) == 2
    longer = [b"header" * 3, *parts]
    moved = names_of(longer, [18 + at for at in starts])
    assert before <= moved, "a longer header moves them, and changes none"


def names_of(parts: list[bytes], starts: list[int]) -> set[bytes]:
    content = b"".join(parts)
    return {digest_of(content[a:b]) for a, b in cuts_of(len(content), starts)}


@given(st.lists(st.tuples(st.binary(min_size=16, max_size=16), st.integers(1, BLOCK_BYTES))))
def test_lists_read_back(rows: list[tuple[bytes, int]]) -> None:
    leaves = [Leaf(*row) for row in rows]
    assert [leaf for one in lists_of(leaves) for leaf in leaves_in(one)] == leaves


@pytest.mark.parametrize(
    "data", [b"", b"x" * 19, bytes(20), bytes(16) + (BLOCK_BYTES + 1).to_bytes(4, "big")]
)
def test_what_is_no_list_is_refused(data: bytes) -> None:
    with pytest.raises(BadMessage, match="upload: list"):
        leaves_in(data)


def test_many_leaves_take_several_lists() -> None:
    leaves = [Leaf(bytes(16), 5)] * (LIST_LEAVES + 1)
    assert [len(leaves_in(one)) for one in lists_of(leaves)] == [LIST_LEAVES, 1]


@pytest.mark.parametrize(
    ("name", "plain"),
    [("qwen3-0.6b_q4+k", "qwen3-0.6b_q4+k"), ("../../etc", "etc"), ("a/b\x00c", "abc"), ("..", "")],
)
def test_a_name_is_never_a_path(name: str, plain: str) -> None:
    assert plain_name(name) == plain
