"""Uploads of a standing station: the file, kept in its folder until the node has it, and how far
it is.

What is to go up is copied first, so that it cannot change on the way; what was begun goes on when
the station is started again, and one more may wait for its end. Files are read on a thread of their
own.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from ground.bulk.cargo import judged
from ground.bulk.forecast import Forecast, forecast
from ground.bulk.sender import Upload
from ground.bulk.source import Changed, FileSource, file_source
from ground.machine import GroundMachine
from models.atomic import atomic_target
from models.gguf.fit import fit
from models.gguf.inspect import ModelInfo
from roundtrip.bulk.manifest import (
    MAX_BYTES,
    MAX_CANARIES,
    Canary,
    Manifest,
    Signed,
    plain_name,
    sign,
    verified,
)
from roundtrip.bulk.wire import Have
from roundtrip.contacts import ContactPlan
from roundtrip.drive import clock
from roundtrip.drive.actor import Actor
from roundtrip.drive.realtime import Worker
from roundtrip.errors import BadInput, BadMessage, EnvironmentFault
from roundtrip.message import MAX_TEXT_BYTES, Health, Vitals
from roundtrip.modem import Carrier, Side
from roundtrip.transport import ENDPOINTS
from roundtrip.units import ns_to_s

_FILE, _NEW, _KEPT = "file", "new", "upload.json"
_NEXT, _NEXT_OPTIONS = "next", "next.json"
"""What waits for the end of the one that is under way."""
SPARE_BYTES = 64 << 20


def _plain(name: str) -> str:
    if not name or plain_name(name) != name:
        raise ValueError("letters, digits, spaces and -_.+")
    return name


class CanaryOption(BaseModel):
    """A question that the model must answer before it flies."""

    model_config = ConfigDict(extra="forbid")

    text: Annotated[str, Field(min_length=1, max_length=MAX_TEXT_BYTES)]
    expected: str


class Options(BaseModel):
    """What is to be done with an upload."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    name: Annotated[str, AfterValidator(_plain)] = "model"
    """What it is called."""
    kind: Literal["", "model", "adapter", "prompt", "document"] = ""
    """Empty: a model or an adapter, as a GGUF says of itself."""
    after: bool = False
    """It waits for the end of the one that is under way, if there is one."""
    slot: Literal["", "a", "b"] = ""
    """Where it goes; empty: where nothing flies."""
    activate: bool = True
    """It is tried as soon as it is whole."""
    force: bool = False
    """Also if it is older than what flies."""
    least_tok_s: Annotated[float, Field(ge=0, lt=1e9)] = 0.0
    """It must not write slower, tokens/s."""
    system: str = ""
    """The system prompt of the canaries."""
    canaries: Annotated[tuple[CanaryOption, ...], Field(max_length=MAX_CANARIES)] = ()


class Uplink:
    """The upload of one station.

    Args:
        folder: of the station.
        keys: that manifests are signed with, the one that sends first.
        plan: for how long it will take.
        note: told what an operator should know.
        tell: told how the upload does: its name, its state, and what else is to be said.
        health: what the node said of itself last.
    """

    def __init__(
        self,
        folder: Path,
        keys: Sequence[bytes],
        plan: ContactPlan,
        note: Callable[[str], None],
        tell: Callable[[str, str, str], None],
        health: Callable[[], Health | None],
    ) -> None:
        self._folder = folder / "uplink"
        self._keys = keys
        self._plan = plan
        self._note = note
        self._tell = tell
        self._health = health
        self._source: FileSource | None = None
        self._actor: Actor[GroundMachine] | None = None
        self._worker: Worker | None = None
        self._cue: Carrier | None = None
        self._passes = 0
        self._taking = False

    # -- the station -------------------------------------------------------------------------------

    def stands(self, actor: Actor[GroundMachine]) -> None:
        """The station has its machine: go on with what was begun."""
        self._actor = actor
        self._worker = Worker(lambda error: self._note(f"upload: {error}"))
        kept = self._kept()
        if kept is None or kept.get("ended"):
            self._begin_next()
            return
        found: list[FileSource] = []

        def go_on() -> None:
            self._source = found[0]
            self._passes = int(kept.get("passes", 0))
            data, mac = bytes.fromhex(kept["manifest"]), bytes.fromhex(kept["mac"])
            signed = verified(data, mac, self._keys)
            self._start(signed, activate=kept["activate"], paused=kept["paused"])

        self._worker.submit(lambda: found.append(file_source(self._folder / _FILE)), go_on)

    def carrier(self, cue: Carrier) -> None:
        """The modem's cue: each contact up is a pass."""
        if cue.tx_up and (self._cue is None or not self._cue.tx_up) and self._open is not None:
            self._passes += 1
        self._cue = cue

    def read_piece(self, upload: bytes, number: int) -> None:
        """Read a piece, then give the machine `piece_read` of its uploads."""
        source, actor, worker = self._source, self._actor, self._worker
        if source is None or actor is None or worker is None:
            return
        machine, read = actor.machine, list[tuple[bytes, bool]]()
        why = ""

        def work() -> None:
            nonlocal why
            try:
                read.append(source.piece(number))
            except Changed as changed:
                why = str(changed)

        def done() -> None:
            sender = machine.uploads
            if read:
                actor.call(machine.upload, sender.piece_read, upload, number, *read[0])
            else:
                self._note(f"upload stopped: {self._folder / _FILE}: {why}")
                actor.call(machine.upload, sender.unreadable, why)

        worker.submit(work, done)

    def told(self, have: Have) -> None:
        """The node says how it does."""
        upload = self._upload
        if upload is None or have.upload != upload.signed.id:
            return
        self._tell(upload.signed.manifest.name, have.state, have.detail)
        if upload.ended:
            self._keep(upload)
            self._begin_next()

    def close(self) -> None:
        """End with the station."""
        if self._upload is not None:
            self._keep(self._upload)
        if self._worker is not None:
            self._worker.close()

    # -- those who ask -----------------------------------------------------------------------------

    async def take(
        self, chunks: AsyncIterator[bytes], size: int | None, *, after: bool = False
    ) -> dict[str, Any]:
        """Keep a file that is to go up, at once or after the one that is under way.

        Raises:
            BadInput: another upload is under way, or waits, or it is too long, or is cut.
            EnvironmentFault: there is no room for it.
        """
        self._only_one(after=after)
        if self._taking:
            raise BadInput("upload", "file", "one at a time", "another that is being sent")
        self._taking = True
        try:
            return await self._take(chunks, size)
        finally:
            self._taking = False

    async def _take(self, chunks: AsyncIterator[bytes], size: int | None) -> dict[str, Any]:
        self._folder.mkdir(parents=True, exist_ok=True)
        room = shutil.disk_usage(self._folder).free - SPARE_BYTES
        if size is not None and size > min(room, MAX_BYTES):
            what = f"at most {MAX_BYTES} bytes" if size > MAX_BYTES else f"at most {room} bytes"
            raise BadInput("upload", "file", f"{what}, for which there is room", f"{size} bytes")
        taken, whole = 0, hashlib.sha256()
        try:
            with (self._folder / _NEW).open("wb") as file:
                async for chunk in chunks:
                    taken += len(chunk)
                    if taken > MAX_BYTES:
                        raise BadInput("upload", "file", f"at most {MAX_BYTES} bytes", "more")
                    whole.update(chunk)
                    file.write(chunk)
        except OSError as error:
            (self._folder / _NEW).unlink(missing_ok=True)
            why = error.strerror or str(error)
            raise EnvironmentFault("keep what is to go up", why, "free the disk") from None
        if size is not None and taken != size:
            raise BadInput("upload", "file", f"{size} bytes", f"{taken} bytes")
        return {"bytes": taken, "sha256": whole.hexdigest()}

    def begin(self, options: Options) -> dict[str, Any]:
        """Send what was taken last.

        Raises:
            BadInput: nothing was taken, it is nothing that a node can use, or another upload is
                under way.
        """
        self._only_one(after=options.after)
        if self._actor is None:
            raise EnvironmentFault("begin an upload", "the link is not up yet", "wait for it")
        new = self._folder / _NEW
        if not new.is_file():
            raise BadInput("upload", "file", "one that was sent before", "none")
        if self._open is None:
            self._begin(new, options)
            return self.status()
        judged(new, options.name, options.kind)
        new.replace(self._folder / _NEXT)
        with atomic_target(self._folder / _NEXT_OPTIONS) as target:
            target.write_text(options.model_dump_json())
        return self.status()

    def _begin_next(self) -> None:
        """Send what has waited, if something has."""
        options = self._next()
        if options is None:
            return
        try:
            self._begin(self._folder / _NEXT, options)
        except BadInput as error:
            self._note(f"upload: {error}")
        (self._folder / _NEXT_OPTIONS).unlink()

    def _next(self) -> Options | None:
        try:
            kept = (self._folder / _NEXT_OPTIONS).read_bytes()
            return Options.model_validate_json(kept) if (self._folder / _NEXT).is_file() else None
        except (OSError, ValueError):
            return None

    def _begin(self, path: Path, options: Options) -> None:
        kind, info = judged(path, options.name, options.kind)
        memory_bytes = 0 if kind != "model" or info is None else self._memory_bytes(info)
        self._hold_against(path.stat().st_size, memory_bytes)
        source = file_source(path)
        path.replace(self._folder / _FILE)
        source.path = self._folder / _FILE
        lists = tuple(hashlib.sha256(one).digest() for one in source.lists)
        manifest = Manifest(
            node=ENDPOINTS[Side.NODE],
            name=options.name,
            kind=kind,
            size=source.size,
            sha256=source.sha256,
            lists=lists,
            leaves=len(source.leaves),
            slot=options.slot,
            made_unix_s=max(0, clock.unix_ns() // 1_000_000_000),
            force=options.force,
            least_tok_s=options.least_tok_s,
            canaries=tuple(Canary(one.text, one.expected) for one in options.canaries),
            system=options.system,
            memory_bytes=memory_bytes,
        )
        self._source, self._passes = source, int(self._cue is not None and self._cue.tx_up)
        self._start(sign(manifest, self._keys[0]), activate=options.activate, paused=False)
        self._tell(manifest.name, "offered", "")

    def _memory_bytes(self, info: ModelInfo) -> int:
        """What a model needs on board, as far as is known."""
        health = self._health()
        context = 0 if health is None else health.context
        return fit(info, context).total_bytes if context else 0

    def _hold_against(self, size: int, memory_bytes: int) -> None:
        """Refuse what has no place on board, by what the node said last; it judges again."""
        health = self._health()
        vitals = (health and health.vitals) or Vitals()
        for what, needs_bytes, most_mb in (
            ("memory for the node's engine", memory_bytes, vitals.engine_mb),
            ("room on board for uploads", size, vitals.room_mb),
        ):
            if most_mb is not None and needs_bytes > (most_mb + 1) * 1_000_000:
                needs = f"{needs_bytes / 1e6:,.0f} MB"
                raise BadInput("upload", "file", f"at most {most_mb:,} MB: {what}", needs)

    def order(self, what: str) -> dict[str, Any]:
        """`pause`, `resume`, `cancel`, `activate`, `confirm`, `roll_back` or `retire`.

        Raises:
            BadInput: there is no upload.
        """
        upload, actor = self._upload, self._actor
        if upload is None or actor is None:
            raise BadInput("upload", "", "one that was begun", "none")
        machine = actor.machine
        if what in ("pause", "resume"):
            actor.call(machine.upload, machine.uploads.pause, what == "pause")
        else:
            actor.call(machine.upload, machine.uploads.tell, what)
        self._keep(upload)
        return self.status()

    def status(self) -> dict[str, Any]:
        """How far it is."""
        upload, actor = self._upload, self._actor
        if upload is None or actor is None:
            return {"state": "none"}
        manifest = upload.signed.manifest
        share = 1 - upload.missing / manifest.numbers
        if upload.state not in ("offered", "taking", "unknown"):
            share = 0.0 if upload.state in ("cancelled", "refused") else 1.0
        left = round(manifest.size * (1 - share))
        now_ns = actor.clock.now_ns()
        cue = self._cue
        rate_bps = 0 if cue is None else cue.tx_rate_bps
        ahead = Forecast(0, None)
        if upload.known and left:
            ahead = forecast(self._plan.uplink, left, rate_bps, now_ns=now_ns)
        return {
            "id": upload.signed.id.hex(),
            "name": manifest.name,
            "kind": manifest.kind,
            "next": "" if (options := self._next()) is None else options.name,
            "state": "paused" if upload.paused and not upload.ended else upload.state,
            "detail": upload.detail,
            "bytes": manifest.size,
            "bytes_there": manifest.size - left,
            "bytes_sent": upload.sent_bytes,
            "share": share,
            "passes": self._passes,
            "whole_in_passes": ahead.passes,
            "whole_at_s": None if ahead.at_ns is None else ns_to_s(ahead.at_ns),
        }

    # ----------------------------------------------------------------------------------------------

    @property
    def _upload(self) -> Upload | None:
        return None if self._actor is None else self._actor.machine.uploads.upload

    @property
    def _open(self) -> Upload | None:
        upload = self._upload
        return None if upload is None or upload.ended else upload

    def _only_one(self, *, after: bool) -> None:
        waits = self._next()
        if self._open is not None and (waits is not None or not after):
            name = self._open.signed.manifest.name if waits is None else waits.name
            raise BadInput("upload", "", "one at a time", f"{name}, which is not done; cancel it")

    def _start(self, signed: Signed, *, activate: bool, paused: bool) -> None:
        actor = self._actor
        assert actor is not None
        begin = partial(actor.machine.uploads.begin, signed, activate=activate, paused=paused)
        actor.call(actor.machine.upload, begin)
        assert self._upload is not None
        self._keep(self._upload)

    def _keep(self, upload: Upload) -> None:
        signed = upload.signed
        kept = {
            "manifest": signed.data.hex(), "mac": signed.mac.hex(), "activate": upload.activate,
            "paused": upload.paused, "passes": self._passes, "ended": upload.ended,
        }  # fmt: skip
        with atomic_target(self._folder / _KEPT) as target:
            target.write_text(json.dumps(kept))

    def _kept(self) -> dict[str, Any] | None:
        try:
            kept = json.loads((self._folder / _KEPT).read_text())
            verified(bytes.fromhex(kept["manifest"]), bytes.fromhex(kept["mac"]), self._keys)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, BadMessage) as error:
            self._note(f"upload: {self._folder / _KEPT} is not what was written: {error}")
            return None
        return dict(kept)
