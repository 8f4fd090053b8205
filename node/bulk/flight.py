"""Uploads, live: the vault on a thread of its own, and what is to fly in the engine bay.

What was flying goes on flying unless the engine has loaded with what is new, answered its canaries
and is fast enough; and again, if nobody confirms it, or the engine dies for good.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import psutil

from models.resolve import resolve
from node.bulk.shelf import Folder
from node.bulk.vault import Flying, Outcome, Trial, Vault
from node.engine.bay import Bay, tokens_s
from node.engine.supervisor import EngineUp
from node.outputs import UploadCame
from roundtrip.bulk.wire import Have
from roundtrip.drive.realtime import Worker, background
from roundtrip.errors import BadConfig, BadModel, EnvironmentFault
from roundtrip.node_config import LLAMA, NodeConfig

SETTINGS = {"model": "model", "adapter": "adapter", "prompt": "system", "document": "document"}
"""Of the node, that a kind of upload replaces."""
QUIET_S = 0.05
"""How often it is looked whether the answers under way are done."""


class Node(Protocol):
    """What a flight needs of the node's service."""

    def taken(self, came: UploadCame, reply: Have | None) -> None:
        """Tell the machine that a message was taken."""

    def does(self, have: Have) -> None:
        """Tell the machine how an upload does."""

    def hold(self, held: bool) -> None:
        """Have the machine begin no question, or go on."""

    @property
    def busy(self) -> bool:
        """Whether a question is being answered."""

    def changed(self, up: EngineUp) -> None:
        """Another engine answers from now on."""


class Flight:
    """The uploads of one live node.

    Args:
        config: of the node; its model is what it was given.
        store: the node's, beside which the uploads are.
        endpoint: of the node.
        keys: that manifests are signed with.
        bay: the engine.
        node: the service.
        say: told what an operator should know.
    """

    def __init__(
        self,
        config: NodeConfig,
        store: Path,
        endpoint: str,
        keys: Sequence[bytes],
        bay: Bay,
        node: Node,
        say: Callable[[str], None],
    ) -> None:
        self._config = config
        self._shelf = Folder(store.with_name("slots"), self._given)
        self.memory_bytes = config.memory_mb * 1_000_000 or psutil.virtual_memory().total
        """What the engine may have."""
        why_not = "" if config.engine == LLAMA else "a server answers here, with its own models"
        self._vault = Vault(self._shelf, endpoint, keys, self.memory_bytes, why_not)
        self._bay = bay
        self._node = node
        self._say = say
        self._worker: Worker | None = None
        self._changing: asyncio.Task[None] | None = None

    @property
    def room_mb(self) -> int | None:
        """Room on the disk for uploads, MB of 10^6 bytes; None where the disk does not say."""
        try:
            return max(0, self._shelf.free_bytes()) // 1_000_000
        except OSError:
            return None

    def _given(self) -> list[Path]:
        """The files that the node was given."""
        given = [Path(one) for one in (self._config.adapter, self._config.document) if one]
        with suppress(BadModel, BadConfig):
            given.append(resolve(self._config.model))
        return given

    def config_of(self, flying: Flying) -> NodeConfig:
        """The node's with what was uploaded; an adapter it was given is for the model it was
        given."""
        files = {SETTINGS[kind]: str(self._shelf.file_of(at)) for kind, at in flying.items()}
        if "model" in files:
            files.setdefault("adapter", "")
        return self._config.model_copy(update=files) if files else self._config

    def accept(self) -> NodeConfig:
        """What is to fly when the node starts: what was uploaded, or what the node was given where
        that cannot.

        Raises:
            BadModel, BadConfig: neither can.
        """
        config = self.config_of(self._vault.flying)
        if config != self._config:
            try:
                self._bay.accept(config)
            except (BadModel, BadConfig) as error:
                self._say(f"what was uploaded does not fly: {error}")
            else:
                return config
        self._bay.accept(self._config)
        return self._config

    def begin(self, failed: Callable[[BaseException], None]) -> None:
        """Look at what is there, and say so."""
        self._worker = Worker(failed)
        told: list[Have] = []

        def tell() -> None:
            for have in told:
                self._node.does(have)

        self._worker.submit(lambda: told.extend(self._vault.begin()), tell)

    def take(self, came: UploadCame) -> None:
        """Something of an upload has come."""
        assert self._worker is not None
        outcomes: list[Outcome] = []

        def done() -> None:
            outcome = outcomes[0]
            self._node.taken(came, outcome.reply)
            if outcome.reply is not None and outcome.reply.state == "active":
                self._say("what was uploaded was confirmed")
            if outcome.trial is not None:
                self._changing = background(self._try(outcome.trial))
            elif outcome.back:
                self._changing = background(self._fly())

        self._worker.submit(lambda: outcomes.append(self._vault.take(came.message)), done)

    def roll_back(self, reason: str) -> None:
        """Nobody has confirmed what is on trial."""
        assert self._worker is not None
        told: list[Have] = []

        def done() -> None:
            self._say(f"rolled back: {reason}")
            self._node.does(told[0])
            self._changing = background(self._fly())

        self._worker.submit(lambda: told.append(self._vault.failed(reason)), done)

    def died(self, reason: str) -> bool:
        """The engine has, for good: whether what flew before does again, for something was on
        trial."""
        changing = self._changing is not None and not self._changing.done()
        if changing or self._vault.trial is None:
            return False
        self.roll_back(f"the engine died: {reason}")
        return True

    async def _try(self, trial: Trial) -> None:
        manifest = trial.manifest
        try:
            up = await self._change(self.config_of(self._vault.tried))
            await self._bay.test(manifest.canaries, manifest.system)
            speed = tokens_s(up)
            if speed < manifest.least_tok_s:
                expected = f"at least {manifest.least_tok_s:g} tokens/s"
                raise EnvironmentFault("speed", f"{speed:.3g} tokens/s", expected)
        except (BadModel, BadConfig, EnvironmentFault) as error:
            self._say(f"{manifest.name} does not fly: {error}")
            self._node.does(await asyncio.to_thread(self._vault.failed, str(error)))
            await self._fly()
            return
        self._say(f"{manifest.name} flies on trial, {speed:.3g} tokens/s")
        self._node.changed(up)
        self._node.hold(False)
        self._node.does(self._vault.passed(f"{speed:.3g} tokens/s"))

    async def _fly(self) -> None:
        """Let fly what has flown before; it may still do."""
        config = self.config_of(self._vault.flying)
        if self._bay.config != config:
            self._node.changed(await self._change(config))
        self._node.hold(False)

    async def _change(self, config: NodeConfig) -> EngineUp:
        """The engine with another model, when what is being answered is done."""
        self._node.hold(True)
        while self._node.busy:
            await asyncio.sleep(QUIET_S)
        return await self._bay.change(config)

    def close(self) -> None:
        """End with the node."""
        if self._changing is not None:
            self._changing.cancel()
        if self._worker is not None:
            self._worker.close()
