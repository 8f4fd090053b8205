"""What carries out the outputs of both machines on the event heap of a virtual run."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from ground import consequences as ground
from ground.results.record import LoopRecord
from node import consequences as node
from node.outputs import UploadCame
from node.scheduler import Order
from roundtrip.bulk.wire import Have
from roundtrip.message import Health, Vitals
from roundtrip.modem import Side
from testbed.uploads import LOAD_NS

if TYPE_CHECKING:
    from testbed.world import World


class GroundHands:
    """Carries out what the ground's machine puts out, on the event heap."""

    def __init__(self, world: World) -> None:
        self._world = world

    def send(self, frame: bytes, *, bulk: bool) -> None:
        link = self._world.link
        link.call(link.machine.send, Side.GROUND, frame, bulk=bulk)

    def store(self, output: object, command: ground.Command | None, *args: Any) -> None:
        self._world.keep(Side.GROUND, output, command, *args)

    def settled(self, record: LoopRecord) -> None:
        if self._world.ends:
            self._world.out.records.append(record)

    def health(self, health: Health) -> None:
        out = self._world.out
        out.health = health.after(out.health)

    def rejected(self, reason: str) -> None:
        self._world.out.rejected[reason] += 1

    def clocks_differ(self, node_ahead_ms: int) -> None:
        raise AssertionError("both ends have the run's date")

    def read_piece(self, upload: bytes, number: int) -> None:
        world = self._world
        assert world.upload is not None
        body, packed = world.upload.piece(number)
        machine = world.ground.machine
        read = partial(machine.uploads.piece_read, upload, number, body, packed)
        world.ground.call(machine.upload, read)

    def upload_does(self, have: Have) -> None:
        assert self._world.upload is not None
        self._world.upload.told.append((self._world.now_ns, have))


class NodeHands:
    """Carries out what the node's machine puts out, on the event heap."""

    def __init__(self, world: World) -> None:
        self._world = world

    def send(self, frame: bytes) -> None:
        link = self._world.link
        link.call(link.machine.send, Side.NODE, frame)

    def store(self, output: object, command: node.Command | None, *args: Any) -> None:
        self._world.keep(Side.NODE, output, command, *args)

    def infer(self, order: Order) -> None:
        engine = self._world.engine
        engine.call(engine.machine.infer, order)

    def cut(self, question_id: int) -> None:
        engine = self._world.engine
        engine.call(engine.machine.cut, question_id)

    def measure(self) -> None:
        world = self._world
        profile = world.engine.machine.profile
        vitals = Vitals(
            round(profile.rss_peak_mb * 1e6),
            threads=profile.threads,
            mended=world.engine.machine.mended,
        )
        world.node.call(world.node.machine.beacon, world.node_health(vitals))

    def rejected(self, reason: str) -> None:
        pass  # the ground counts what a run reports

    def clocks_differ(self, ground_ahead_ms: int) -> None:
        raise AssertionError("both ends have the run's date")

    def take_upload(self, came: UploadCame) -> None:
        world, upload, actor = self._world, self._world.upload, self._world.node
        assert upload is not None

        def on_disk() -> None:
            if actor.stopped:
                return  # its process is gone
            outcome = upload.vault.take(came.message)
            actor.call(actor.machine.upload_taken, came.bundle_id, outcome.reply)
            if outcome.trial is not None:
                world.after(LOAD_NS, tried)

        def tried() -> None:
            if not actor.stopped and upload.vault.trial is not None:
                actor.call(actor.machine.upload_does, upload.vault.passed("it answers"))

        world.after(world.engine.machine.store_ns, on_disk)

    def roll_back(self, reason: str) -> None:
        world = self._world
        assert world.upload is not None
        have = world.upload.vault.failed(reason)
        world.node.call(world.node.machine.upload_does, have)
