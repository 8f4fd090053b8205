"""What the node does with an upload: pieces, slots, trials, and whatever crashes between."""

from __future__ import annotations

import os
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from node.bulk.shelf import Folder, Memory
from node.bulk.unconfirmed import Unconfirmed
from node.bulk.vault import Vault
from roundtrip.bulk.coding import shards_of
from roundtrip.bulk.manifest import BLOCK_BYTES, Leaf, digest_of, sign
from roundtrip.bulk.wire import Have, Offer, Piece, Told
from tests.unit.node.bulk.conftest import Board

CONTENT = random.Random(1).randbytes(5 * BLOCK_BYTES + 77)
OTHER = random.Random(2).randbytes(2 * BLOCK_BYTES)


def test_it_says_what_it_lacks_and_takes_a_slot_when_nothing_does(board, cargo) -> None:
    it = cargo(CONTENT)
    reply = board.take(it.offer).reply
    assert (reply.state, reply.upto, reply.lacks, reply.asked) == ("taking", 1, ((0, 1),), 7)
    reply = board.take(it.piece(0)).reply
    assert (reply.upto, reply.lacks) == (7, ((1, 7),))
    for number in (3, 1, 6, 5, 2):
        assert board.take(it.piece(number)).reply is None
    assert board.take(it.piece(3)).reply is None, "it is there already"
    assert board.state(it.piece(4)) == "whole"
    assert board.shelf.file_of("a").read_bytes() == CONTENT
    assert board.vault.flying == {}
    assert board.state(it.offer) == "whole"


@pytest.mark.parametrize("taken", range(7))
def test_what_is_on_disk_is_known_after_a_crash(board, cargo, taken: int) -> None:
    it = cargo(CONTENT)
    board.take(it.offer)
    for number in range(taken):
        board.take(it.piece(number))
    board.start()
    (have,) = board.told
    lacking = {n for start, end in have.lacks for n in range(start, end)}
    assert lacking == (set(range(taken, 7)) if taken else {0})
    for number in range(taken, 7):
        board.take(it.piece(number))
    assert board.shelf.file_of("a").read_bytes() == CONTENT


def test_a_block_that_is_half_on_disk_is_lacking(board, cargo) -> None:
    it = cargo(CONTENT)
    board.take(it.offer)
    board.take(it.piece(0))
    board.take(it.piece(2))
    with (board.shelf.path / "coming" / "file").open("r+b") as file:
        file.seek(BLOCK_BYTES)
        file.write(b"torn")
    board.start()
    assert board.told[0].lacks == ((1, 7),)


def test_blocks_that_are_on_board_in_another_file_are_not_lacking(
    board, cargo, others: list[Path], tmp_path: Path
) -> None:
    known = tmp_path / "known.gguf"
    known.write_bytes(CONTENT[: 2 * BLOCK_BYTES])
    others.append(known)
    it = cargo(CONTENT)
    board.take(it.offer)
    assert board.take(it.piece(0)).reply.lacks == ((3, 7),)
    for number in range(3, 7):
        board.take(it.piece(number))
    assert board.shelf.file_of("a").read_bytes() == CONTENT
    again = cargo(CONTENT, name="again")
    board.take(again.offer)
    assert board.state(again.piece(0)) == "whole", "all of it is in slot a"
    assert board.shelf.file_of("a").read_bytes() == CONTENT


def test_a_piece_that_is_another_is_said_and_lacking_still(board, cargo) -> None:
    it, other = cargo(CONTENT), cargo(OTHER)
    board.take(it.offer)
    wrong = Piece(it.signed.id, 0, other.piece(0).body, other.piece(0).packed)
    reply = board.take(wrong).reply
    assert (reply.lacks, reply.detail) == (
        ((0, 1),), "piece 0: it is not the list that the manifest names",
    )  # fmt: skip
    board.take(it.piece(0))
    reply = board.take(Piece(it.signed.id, 1, b"junk", packed=True)).reply
    assert "piece 1: upload: piece 1" in reply.detail
    reply = board.take(Piece(it.signed.id, 1, OTHER[:5], packed=False)).reply
    assert (reply.lacks, reply.detail) == (
        ((1, 7),), "piece 1: it is not the block that the manifest names",
    )  # fmt: skip


def test_a_piece_of_an_upload_that_nobody_offered_asks_for_the_offer(board, cargo) -> None:
    assert board.state(cargo(CONTENT).piece(0)) == "unknown"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"node": "ipn:9.1"}, "it is for ipn:9.1, and this is ipn:2.1"),
        ({"sha256": bytes(32)}, "its SHA-256 is not the manifest's"),
        ({"size": len(CONTENT) + 1}, "its SHA-256 is not the manifest's"),
    ],
)
def test_what_is_not_for_this_node_or_not_what_it_says_is_refused(
    board, cargo, changes: dict[str, Any], why: str
) -> None:
    it = cargo(CONTENT, **changes)
    reply = board.take(it.offer).reply
    for number in range(7):
        if reply.state != "refused":
            reply = board.take(it.piece(number)).reply or reply
    assert (reply.state, reply.detail) == ("refused", why)
    assert board.shelf.slot_manifest("a") is None


def test_one_that_does_not_fit_the_memory_is_refused_before_it_comes(board, cargo) -> None:
    it = cargo(CONTENT, memory_bytes=500_000_001)
    vault = Vault(Memory(), "ipn:2.1", [b"k" * 32], 500_000_000)
    why = "it needs 500 MB of memory, and the engine may have 500 MB"
    assert vault.take(it.offer).reply.detail == why
    assert Vault(Memory(), "ipn:2.1", [b"k" * 32], 500_000_001).take(it.offer).reply.lacks
    assert board.take(it.offer).reply.lacks, "as much as it wants"


def test_one_that_another_key_signed_is_refused(board, cargo) -> None:
    signed = sign(cargo(CONTENT).signed.manifest, b"another")
    reply = board.take(Offer(signed.data, signed.mac)).reply
    assert (reply.upload, reply.state) == (signed.id, "refused")
    assert "signature" in reply.detail


def test_two_at_once_no_room_and_a_slot_that_flies_are_refused(board, cargo, monkeypatch) -> None:
    it, other = cargo(CONTENT), cargo(OTHER, name="other")
    board.take(it.offer)
    assert board.take(other.offer).reply.detail == "cargo is coming already"
    assert board.state(it.told("cancel")) == "cancelled"
    monkeypatch.setattr(Folder, "free_bytes", lambda _: 1000)
    detail = board.take(other.offer).reply.detail
    assert detail == f"{len(OTHER)} bytes, and there is room for 1000"
    monkeypatch.undo()
    flying(board, it)
    assert board.take(cargo(OTHER, slot="a").offer).reply.detail == "slot a flies"


def flying(board: Any, it: Any) -> None:
    board.load(it)
    outcome = board.take(it.told("activate"))
    assert outcome.trial is not None
    board.vault.passed("3 tok/s")
    assert board.state(it.told("confirm")) == "active"


def test_what_is_older_than_what_flies_is_refused_unless_forced(board, cargo) -> None:
    flying(board, cargo(CONTENT, made_unix_s=2000))
    old = cargo(OTHER, made_unix_s=1999)
    assert board.take(old.offer).reply.detail == "it is older than cargo, which flies"
    assert board.state(cargo(OTHER, made_unix_s=1999, force=True).offer) == "taking"


def test_it_flies_when_it_is_confirmed_and_the_next_one_takes_the_other_slot(board, cargo) -> None:
    it, other = cargo(CONTENT), cargo(OTHER, name="other")
    assert board.state(it.told("activate")) == "unknown"
    flying(board, it)
    assert (board.vault.flying, board.vault.trial) == ({"model": "a"}, None)
    assert board.vault.manifest_of("a").name == "cargo"
    board.start()
    assert board.vault.flying == {"model": "a"}
    flying(board, other)
    assert board.vault.flying == {"model": "b"}
    assert board.state(other.told("activate")) == "active"
    assert board.state(it.told("activate")) == "trying", "what flew before may fly again"


def test_a_trial_that_is_not_confirmed_when_the_node_starts_is_over(board, cargo) -> None:
    it = cargo(CONTENT)
    board.load(it)
    outcome = board.take(it.told("activate"))
    assert (outcome.reply.state, outcome.trial.place) == ("trying", "a")
    assert board.state(it.told("activate")) == "trying"
    assert board.state(it.offer) == "trying"
    board.vault.passed("3 tok/s")
    reply = board.take(it.offer).reply
    assert (reply.state, reply.detail) == ("trial", "3 tok/s")
    board.start()
    (have,) = board.told
    assert (have.state, have.upload) == ("rolled_back", it.signed.id)
    assert (board.vault.flying, board.vault.trial) == ({}, None)
    assert board.state(it.told("confirm")) == "whole"
    assert board.vault.flying == {}


def test_the_ground_may_take_a_trial_back(board, cargo) -> None:
    it = cargo(CONTENT)
    board.load(it)
    board.take(it.told("activate"))
    reply = board.take(it.told("cancel")).reply
    assert (reply.state, reply.detail) == ("trying", "it is being tried; roll it back")
    outcome = board.take(it.told("roll_back"))
    assert (outcome.reply.state, outcome.back) == ("rolled_back", True)
    assert board.vault.trial is None


def test_a_cancel_leaves_nothing_of_what_came_and_all_of_what_flies(board, cargo) -> None:
    it, other = cargo(CONTENT), cargo(OTHER)
    flying(board, it)
    board.take(other.offer)
    board.take(other.piece(0))
    assert board.state(other.told("cancel")) == "cancelled"
    assert not (board.shelf.path / "coming").exists()
    assert board.state(other.told("cancel")) == "cancelled"
    assert board.take(it.told("cancel")).reply.detail == "it flies; retire it"
    assert board.vault.flying == {"model": "a"}


def test_a_slot_that_has_lost_its_file_does_not_fly(board, cargo) -> None:
    it = cargo(CONTENT)
    flying(board, it)
    board.shelf.file_of("a").unlink()
    board.start()
    assert board.vault.flying == {}
    board.load(it)
    assert board.vault.flying == {}, "what comes into the slot anew has to be tried"


def test_each_kind_flies_beside_the_others(board, cargo) -> None:
    flying(board, cargo(CONTENT))
    flying(board, cargo(OTHER, kind="adapter"))
    flying(board, cargo(b"You are brief.", kind="prompt"))
    all_of_them = {"model": "a", "adapter": "adapter-a", "prompt": "prompt-a"}
    assert board.vault.flying == all_of_them
    board.start()
    assert board.vault.flying == all_of_them
    flying(board, cargo(b"You are brief and right.", kind="prompt"))
    assert board.vault.flying == all_of_them | {"prompt": "prompt-b"}
    assert board.shelf.file_of("prompt-b").read_bytes() == b"You are brief and right."


def test_an_adapter_goes_with_its_model(board, cargo) -> None:
    flying(board, cargo(OTHER, kind="adapter"))
    other = cargo(CONTENT)
    board.load(other)
    board.take(other.told("activate"))
    assert board.vault.tried == {"model": "a"}
    assert board.vault.flying == {"adapter": "adapter-a"}, "until the model is confirmed"
    board.take(other.told("roll_back"))
    assert board.vault.flying == {"adapter": "adapter-a"}
    flying(board, other)
    assert board.vault.flying == {"model": "a"}
    flying(board, cargo(OTHER, kind="adapter", made_unix_s=1))
    board.shelf.file_of("a").unlink()
    assert board.vault.flying == {}, "the adapter was for the model that is lost"


def test_what_flies_can_be_retired(board, cargo) -> None:
    it, adapter = cargo(CONTENT), cargo(OTHER, kind="adapter")
    outcome = board.take(it.told("retire"))
    assert (outcome.reply.state, outcome.reply.detail) == ("unknown", "it does not fly")
    flying(board, it)
    flying(board, adapter)
    outcome = board.take(adapter.told("retire"))
    assert (outcome.reply.state, outcome.back) == ("whole", True)
    assert board.vault.flying == {"model": "a"}
    flying(board, adapter)
    assert board.take(it.told("retire")).back
    assert board.vault.flying == {}, "the adapter was for it"
    board.start()
    assert board.vault.flying == {}
    board.take(adapter.told("activate"))
    reply = board.take(adapter.told("retire")).reply
    assert (reply.state, reply.detail) == ("trying", "it does not fly")


def test_nothing_is_retired_while_something_is_tried(board, cargo) -> None:
    it, prompt = cargo(CONTENT), cargo(b"You are brief.", kind="prompt")
    flying(board, it)
    board.load(prompt)
    board.take(prompt.told("activate"))
    outcome = board.take(it.told("retire"))
    assert (outcome.reply.state, outcome.reply.detail) == ("active", "there is a trial")
    assert (outcome.back, board.vault.flying) == (False, {"model": "a"})


def test_while_one_is_tried_none_of_its_kind_comes(board, cargo) -> None:
    flying(board, cargo(CONTENT))
    it = cargo(OTHER, name="other")
    board.load(it)
    board.take(it.told("activate"))
    third = cargo(b"third" * 100)
    assert board.take(third.offer).reply.detail == "other is being tried"
    assert board.state(cargo(b"You are brief.", kind="prompt").offer) == "taking"


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"flies": 5}', '{"flies": {"model": "c"}, "trial": "d"}']
)
def test_a_state_that_is_damaged_is_as_none(board, cargo, text: str) -> None:
    flying(board, cargo(CONTENT))
    (board.shelf.path / "state.json").write_text(text)
    board.start()
    assert (board.vault.flying, board.vault.trial) == ({}, None)


def test_a_manifest_on_disk_that_is_damaged_is_as_none(board, cargo) -> None:
    board.take(cargo(CONTENT).offer)
    path = board.shelf.path / "coming" / "manifest"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    board.start()
    assert board.told == []
    assert board.state(cargo(OTHER).offer) == "taking"


def test_a_crash_between_file_and_manifest_is_made_up_for(board, cargo, monkeypatch) -> None:
    it = cargo(CONTENT)
    board.take(it.offer)
    for number in range(6):
        board.take(it.piece(number))
    coming = board.shelf.path / "coming"
    replace, calls = Path.replace, [0]

    def crash(self: Path, target: Path) -> Path:
        if self.parent == coming:
            calls[0] += 1
            if calls[0] == 2:
                raise KeyboardInterrupt
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", crash)
    with pytest.raises(KeyboardInterrupt):
        board.take(it.piece(6))
    monkeypatch.undo()
    assert board.shelf.slot_manifest("a") is None
    board.start()
    assert board.state(it.offer) == "whole"
    assert board.shelf.file_of("a").read_bytes() == CONTENT


def test_memory_is_a_shelf_like_a_folder(board, cargo) -> None:
    vault = Vault(Memory(), "ipn:2.1", [b"k" * 32])
    it = cargo(CONTENT)
    for message in (it.offer, *(it.piece(number) for number in range(4))):
        found = vault.take(message).reply
        kept = board.take(message).reply
        assert (found and found.lacks) == (kept and kept.lacks)
    assert vault.take(it.told("cancel")).reply == Have(it.signed.id, "cancelled", asked=7)
    assert vault.take(Told(it.signed.id, "roll_back")).reply.state == "refused"


def test_two_contacts_may_end_without_a_word_and_the_second_is_one_too_many() -> None:
    watch = Unconfirmed()
    heard = [True, True, False, False, True, True, False]
    assert [watch.over(up) for up in heard] == [False] * 6 + [True]


@pytest.mark.parametrize("call", ["open", "put", "put_list", "finish"])
def test_a_disk_that_fills_up_leaves_nothing_of_it_and_the_node_flying(
    board, cargo, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    flying(board, cargo(OTHER))
    it = cargo(CONTENT)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Folder, call, full)
        replies = [board.take(it.offer).reply]
        replies += [board.take(it.piece(number)).reply for number in range(7)]
    told = next(reply for reply in replies if reply is not None and reply.state == "refused")
    assert told.upload == it.signed.id
    assert told.detail == "the node's disk: [Errno 28] No space left on device"
    assert not (board.shelf.path / "coming").exists()
    assert board.vault.flying == {"model": "a"}
    board.load(it)
    assert board.state(it.offer) == "whole"


class Crash(BaseException):
    """The process is killed."""


def test_killed_at_any_step_it_starts_with_a_model_that_is_whole_and_goes_on(
    tmp_path: Path, cargo, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = cargo(CONTENT), cargo(OTHER, name="second")
    whole = {"a": CONTENT, "b": OTHER, "": None}
    step, left = 0, [0]

    def dies(call: Any) -> Any:
        def counted(*args: Any, **options: Any) -> Any:
            left[0] -= 1
            if left[0] == 0:
                raise Crash
            return call(*args, **options)

        return counted

    def play(board: Any) -> None:
        for it in (first, second):
            if board.state(it.offer) == "taking":
                for number in range(it.signed.manifest.numbers):
                    board.take(it.piece(number))
            if board.take(it.told("activate")).trial is not None:
                board.vault.passed("")
            board.take(it.told("confirm"))

    while True:
        step += 1
        folder = tmp_path / f"slots{step}"
        with monkeypatch.context() as patch:
            for owner, name in ((os, "fsync"), (os, "fdatasync"), (Path, "replace")):
                patch.setattr(owner, name, dies(getattr(owner, name)))
            board = Board(folder, [])
            left[0] = step
            try:
                play(board)
            except Crash:
                pass
            else:
                break
        board = Board(folder, [])
        flies = board.vault.flying.get("model", "")
        assert board.vault.trial is None
        assert whole[flies] is None or board.shelf.file_of(flies).read_bytes() == whole[flies]
        play(board)
        assert board.vault.flying == {"model": "b"}
        assert board.shelf.file_of("b").read_bytes() == OTHER
    assert step > 40


def test_symbols_make_pieces_whole(board, cargo, monkeypatch) -> None:
    pytest.importorskip("raptorq")
    it = cargo(CONTENT)
    board.take(it.offer)
    board.take(it.piece(0))
    shards = shards_of(it.piece(1), 1000, 0.1)
    monkeypatch.setattr("node.bulk.vault.available", lambda: False)
    assert all(board.take(shard).reply is None for shard in shards)
    assert board.vault.lacks(it.signed.id, 1)
    monkeypatch.undo()
    for number in range(1, it.signed.manifest.numbers):
        piece = it.piece(number)
        wrong = replace(piece, upload=bytes(8))
        assert board.take(shards_of(wrong, 1000, 0.1)[0]).reply is None
        told = [board.take(shard).reply for shard in reversed(shards_of(piece, 1000, 0.1))]
    assert [have.state for have in told if have is not None] == ["whole"]
    assert board.state(it.offer) == "whole"
    assert board.shelf.file_of("a").read_bytes() == CONTENT


def test_no_file_stays_open(board, cargo) -> None:
    process = psutil.Process()
    flying(board, cargo(CONTENT))
    before = process.num_fds()
    flying(board, cargo(OTHER))
    assert process.num_fds() == before


def test_a_shelf_in_memory_forgets_what_came_before() -> None:
    shelf, leaf = Memory(), Leaf(digest_of(b"block"), 5)
    shelf.open(b"first")
    shelf.put_list(0, b"list")
    shelf.put(0, b"block")
    assert (shelf.lists(1), shelf.there([leaf])) == ([b"list"], {0})
    shelf.open(b"second")
    assert (shelf.manifest(), shelf.lists(1), shelf.there([leaf])) == (b"second", [None], set())
