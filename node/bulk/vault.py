"""What the node does with an upload: takes its pieces, and lets it fly.

What flies, of each kind, is one line of `state`, written whole or not at all. A trial that was not
confirmed when the node was started is over: what flew before does again, and that always works. Not
pure only in that its shelf may be a disk; all calls come from one thread.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import accumulate

from node.bulk.shelf import PLACES, Shelf
from roundtrip.bulk.coding import Assembly, available
from roundtrip.bulk.manifest import (
    MAC_BYTES,
    Leaf,
    Manifest,
    Signed,
    digest_of,
    id_of,
    leaves_in,
    places_of,
    verified,
)
from roundtrip.bulk.wire import Bulk, Have, Offer, Piece, Shard, Told, ranges_of, unpacked
from roundtrip.errors import BadMessage, EnvironmentFault

Flying = Mapping[str, str]
"""The place of each kind that flies; a kind that is not there flies as the node was given it."""


@dataclass(frozen=True, slots=True)
class Trial:
    """Something is to be tried."""

    upload: bytes
    place: str
    manifest: Manifest


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a message."""

    reply: Have | None = None
    trial: Trial | None = None
    back: bool = False
    """What flew before the trial is to fly again."""


class Vault:
    """The uploads of one node.

    Args:
        shelf: where they are kept.
        node: the endpoint of this node.
        keys: of those that secure the link, the ones that sign.
        memory_bytes: what an engine may have; None: as much as it wants.
        why_not: why this node takes no uploads; empty where it does.
    """

    def __init__(
        self,
        shelf: Shelf,
        node: str,
        keys: Sequence[bytes],
        memory_bytes: int | None = None,
        why_not: str = "",
    ) -> None:
        self._shelf = shelf
        self._node = node
        self._keys = keys
        self._memory_bytes = memory_bytes
        self._why_not = why_not
        self._coming: Signed | None = None
        self._leaves: list[Leaf] | None = None
        """None until all lists are there."""
        self._starts: list[int] = []
        self._lacks: set[int] = set()
        """Pieces; lists only, as long as some of them are missing."""
        self._state = shelf.state()
        self._assembly = Assembly()
        self._asked = 0
        self._passed: Have | None = None
        """What is on trial has passed its self-test."""

    # -- what flies --------------------------------------------------------------------------------

    @property
    def flying(self) -> Flying:
        """What is to fly."""
        kept = self._state.get("flies")
        kept = kept if isinstance(kept, dict) else {}
        found = {
            kind: place
            for kind, place in kept.items()
            if place in places_of(kind) and self._shelf.slot_manifest(place) is not None
        }
        same = found.get("model") == kept.get("model")
        return found if same else _without(found, "adapter")

    @property
    def trial(self) -> Trial | None:
        """What is being tried."""
        place = self._state.get("trial")
        signed = self._in(place)
        return Trial(signed.id, place, signed.manifest) if place and signed is not None else None

    @property
    def tried(self) -> Flying:
        """What is to fly with what is being tried; another model flies without the adapter."""
        trial, flying = self.trial, self.flying
        if trial is None:
            return flying
        kind = trial.manifest.kind
        kept = _without(flying, "adapter") if kind == "model" else flying
        return {**kept, kind: trial.place}

    def manifest_of(self, place: str) -> Manifest | None:
        """Of what is in a place."""
        signed = self._in(place)
        return None if signed is None else signed.manifest

    def lacks(self, upload: bytes, number: int) -> bool:
        """Whether a piece of what is coming is not on disk."""
        if self._coming is None or self._coming.id != upload:
            return True
        lists = len(self._coming.manifest.lists)
        return number in self._lacks or (self._leaves is None and number >= lists)

    def begin(self) -> list[Have]:
        """The node was started: end a trial, and look at what there is of an upload; what the
        ground should know."""
        told: list[Have] = []
        trial = self.trial
        if self._state.get("flies", {}) != self.flying:
            self._keep(flies=self.flying)  # a place is empty
        if self._state.get("trial") is not None:
            self._keep(trial=None)
        if trial is not None:
            why = "the node was started anew before it was confirmed"
            told.append(Have(trial.upload, "rolled_back", detail=why))
        kept = self._shelf.manifest()
        if kept is None:
            return told
        try:
            self._coming = self._read(kept)
        except BadMessage:
            self._shelf.drop()
            return told
        self._look()
        return [*told, self._have()]

    def failed(self, why: str) -> Have:
        """The trial is over, and what flew before does again."""
        trial = self.trial
        self._keep(trial=None)
        return Have(b"\x00" * 8 if trial is None else trial.upload, "rolled_back", detail=why)

    def passed(self, detail: str) -> Have:
        """The self-test was passed: it flies until it is confirmed, or not."""
        trial = self.trial
        assert trial is not None
        self._passed = Have(trial.upload, "trial", detail=detail)
        return self._passed

    def _keep(self, **changes: Flying | str | None) -> None:
        state = self._state | changes
        self._shelf.keep_state(state)
        self._state = state

    def _in(self, place: object) -> Signed | None:
        kept = self._shelf.slot_manifest(str(place)) if place in PLACES else None
        try:
            return None if kept is None else self._read(kept)
        except BadMessage:
            return None

    def _read(self, kept: bytes) -> Signed:
        return verified(kept[MAC_BYTES:], kept[:MAC_BYTES], self._keys)

    # -- what comes --------------------------------------------------------------------------------

    def take(self, message: Bulk) -> Outcome:
        """A message of the ground."""
        try:
            outcome = self._take(message)
        except (OSError, EnvironmentFault) as error:  # the disk is full, or gone
            outcome = Outcome(self._dropped(message, str(error)))
        if outcome.reply is None:
            return outcome
        return replace(outcome, reply=replace(outcome.reply, asked=self._asked))

    def _dropped(self, message: Bulk, why: str) -> Have:
        """What comes cannot be kept: none of it is."""
        upload = id_of(message.data) if isinstance(message, Offer) else message.upload
        if self._coming is None or self._coming.id == upload:
            self._coming, self._leaves = None, None
            with suppress(OSError):
                self._shelf.drop()
        return Have(upload, "refused", detail=f"the node's disk: {why}")

    def _take(self, message: Bulk) -> Outcome:
        match message:
            case Offer(data=data, mac=mac, asked=asked):
                self._asked = asked
                return Outcome(self._offered(data, mac))
            case Piece():
                return Outcome(self._piece(message))
            case Shard():
                return Outcome(self._shard(message))
            case Told(upload=upload, order=order):
                return self._told(upload, order)
            case Have():
                return Outcome()

    def _offered(self, data: bytes, mac: bytes) -> Have:
        try:
            signed = verified(data, mac, self._keys)
        except BadMessage as error:
            return Have(id_of(data), "refused", detail=str(error))
        held = self._holding(signed.id)
        if held is not None:
            return held
        why = self._objection(signed.manifest)
        if why:
            return Have(signed.id, "refused", detail=why)
        self._shelf.open(mac + data)
        self._coming = signed
        self._look()
        return self._have()

    def _holding(self, upload: bytes) -> Have | None:
        """How an upload does that is here already."""
        if self._coming is not None and self._coming.id == upload:
            return self._have()
        trial = self.trial
        if trial is not None and trial.upload == upload:
            return self._passed or Have(upload, "trying")
        place = self._place_with(upload)
        if place is None:
            return None
        return Have(upload, "active" if place in self.flying.values() else "whole")

    def _place_with(self, upload: bytes) -> str | None:
        held = ((place, self._in(place)) for place in PLACES)
        return next((place for place, one in held if one is not None and one.id == upload), None)

    def _objection(self, manifest: Manifest) -> str:
        """Why something is not to come; empty where it is."""
        if manifest.node != self._node:
            return f"it is for {manifest.node}, and this is {self._node}"
        if self._why_not:
            return self._why_not
        if self._coming is not None:
            return f"{self._coming.manifest.name} is coming already"
        trial = self.trial
        if trial is not None and trial.manifest.kind == manifest.kind:
            return f"{trial.manifest.name} is being tried"
        if manifest.slot and self._place(manifest) in self._taken:
            return f"slot {manifest.slot} flies"
        flying = self.manifest_of(self.flying.get(manifest.kind, ""))
        if flying is not None and manifest.made_unix_s < flying.made_unix_s and not manifest.force:
            return f"it is older than {flying.name}, which flies"
        memory_bytes = self._memory_bytes
        if memory_bytes is not None and manifest.memory_bytes > memory_bytes:
            needs = f"it needs {manifest.memory_bytes / 1e6:,.0f} MB of memory"
            return f"{needs}, and the engine may have {memory_bytes / 1e6:,.0f} MB"
        room = self._shelf.free_bytes()
        if manifest.size > room:
            return f"{manifest.size} bytes, and there is room for {max(0, room)}"
        return ""

    @property
    def _taken(self) -> set[object]:
        """Places that cannot be written to."""
        return {*self.flying.values(), self._state.get("trial")}

    def _place(self, manifest: Manifest) -> str:
        places = places_of(manifest.kind)
        told = (place for place in places if place[-1] == manifest.slot)
        return next(told, "") or next(place for place in places if place not in self._taken)

    def _look(self) -> None:
        """What of it is there."""
        assert self._coming is not None
        manifest = self._coming.manifest
        lists = self._shelf.lists(len(manifest.lists))
        self._leaves = None
        self._lacks = {number for number, data in enumerate(lists) if data is None}
        if not self._lacks:
            leaves = [leaf for data in lists if data is not None for leaf in leaves_in(data)]
            self._leaves = leaves
            self._starts = [0, *accumulate(leaf.size for leaf in leaves)]
            lacks = set(range(len(leaves))) - self._shelf.there(leaves)
            lacks -= self._shelf.fill(leaves, lacks)
            self._lacks = {number + len(manifest.lists) for number in lacks}

    def _have(self) -> Have:
        """How what is coming does; if nothing lacks, it takes its slot."""
        assert self._coming is not None
        coming, manifest = self._coming, self._coming.manifest
        if self._leaves is None or self._lacks:
            known = len(manifest.lists) if self._leaves is None else manifest.numbers
            upto, lacks = ranges_of(sorted(self._lacks), known)
            return Have(coming.id, "taking", upto, lacks)
        why = ""
        if self._starts[-1] != manifest.size or self._shelf.sha256() != manifest.sha256:
            why = "its SHA-256 is not the manifest's"
            self._shelf.drop()
        else:
            self._shelf.finish(self._place(manifest))
        self._coming, self._leaves = None, None
        return Have(coming.id, "refused" if why else "whole", detail=why)

    def _piece(self, piece: Piece) -> Have | None:
        if self._coming is None or self._coming.id != piece.upload:
            return self._holding(piece.upload) or Have(piece.upload, "unknown")
        if piece.number not in self._lacks:
            return None
        try:
            block = unpacked(piece)
        except BadMessage as error:
            return self._bad(piece.number, str(error))
        lists = self._coming.manifest.lists
        if self._leaves is None:
            return self._list(piece.number, block, lists)
        at = piece.number - len(lists)
        if digest_of(block) != self._leaves[at].digest:
            return self._bad(piece.number, "it is not the block that the manifest names")
        self._shelf.put(self._starts[at], block)
        self._lacks.discard(piece.number)
        return None if self._lacks else self._have()

    def _shard(self, shard: Shard) -> Have | None:
        """A symbol of a piece: of use while the piece lacks, and where the code is known."""
        coming = self._coming
        if coming is None or coming.id != shard.upload or shard.number not in self._lacks:
            return None
        if not available():
            return None
        piece = self._assembly.take(shard)
        return None if piece is None else self._piece(piece)

    def _list(self, number: int, data: bytes, lists: Sequence[bytes]) -> Have | None:
        if hashlib.sha256(data).digest() != lists[number]:
            return self._bad(number, "it is not the list that the manifest names")
        self._shelf.put_list(number, data)
        self._lacks.discard(number)
        if self._lacks:
            return None
        try:
            self._look()
        except BadMessage as error:  # signed, and yet no list
            self._shelf.drop()
            refused = Have(self._coming.id if self._coming else b"", "refused", detail=str(error))
            self._coming = None
            return refused
        return self._have()

    def _bad(self, number: int, why: str) -> Have:
        found = self._have()
        return Have(found.upload, found.state, found.upto, found.lacks, f"piece {number}: {why}")

    # -- what is done with it ----------------------------------------------------------------------

    def _told(self, upload: bytes, order: str) -> Outcome:
        trial = self.trial
        if order == "cancel":
            return Outcome(self._cancel(upload))
        if order == "activate":
            return self._activate(upload)
        if order == "retire":
            return self._retire(upload)
        if trial is None or trial.upload != upload:
            return Outcome(self._holding(upload) or Have(upload, "refused", detail="not on trial"))
        if order == "confirm":
            self._keep(flies=self.tried, trial=None)
            return Outcome(Have(upload, "active"))
        return Outcome(self.failed("as it was told"), back=True)

    def _cancel(self, upload: bytes) -> Have:
        if self._coming is not None and self._coming.id == upload:
            self._shelf.drop()
            self._coming = None
            return Have(upload, "cancelled")
        held = self._holding(upload)
        if held is None:
            return Have(upload, "cancelled")
        why = {"trying": "it is being tried; roll it back", "active": "it flies; retire it"}
        return Have(upload, held.state, detail=why.get(held.state, "it is whole, in its slot"))

    def _retire(self, upload: bytes) -> Outcome:
        """Let fly what the node was given instead."""
        place, flying = self._place_with(upload), self.flying
        kind = next((kind for kind, one in flying.items() if one == place), "")
        if not kind or self._state.get("trial") is not None:
            held = self._holding(upload) or Have(upload, "unknown")
            return Outcome(replace(held, detail="there is a trial" if kind else "it does not fly"))
        kept = _without(flying, kind, "adapter") if kind == "model" else _without(flying, kind)
        self._keep(flies=kept)
        return Outcome(Have(upload, "whole", detail="does not fly any more"), back=True)

    def _activate(self, upload: bytes) -> Outcome:
        held = self._holding(upload)
        if held is None or held.state not in ("whole", "active"):
            return Outcome(held or Have(upload, "unknown"))
        if held.state == "active" or self._state.get("trial") is not None:
            return Outcome(held)
        self._keep(trial=self._place_with(upload))
        self._passed = None
        return Outcome(Have(upload, "trying"), self.trial)


def _without(flying: Flying, *kinds: str) -> dict[str, str]:
    return {kind: place for kind, place in flying.items() if kind not in kinds}
