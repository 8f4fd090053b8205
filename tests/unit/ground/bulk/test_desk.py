"""The station's side of an upload: one at a time, one that waits, and what is kept of both."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ground.bulk.desk import Options, Uplink
from ground.bulk.sender import ReadPiece, Sender, UploadTold
from models.gguf.fit import fit
from models.gguf.inspect import inspect
from models.resolve import resolve
from roundtrip.bulk.wire import Have
from roundtrip.contacts import Contact, ContactPlan
from roundtrip.errors import BadInput
from roundtrip.message import Health, Vitals
from roundtrip.modem import Carrier
from tests.unit.ground.bulk.test_sender import Agent

KEYS = [b"k" * 32]
PLAN = ContactPlan([Contact("ground", "node", 0, 10**12, 9600, 0)])
PROMPT = Options(name="first", kind="prompt")
TINY = resolve("tiny")


class Station:
    """An actor whose machine is a sender, that can be started anew."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.notes: list[str] = []
        self.told: list[tuple[str, str]] = []
        self.health: Health | None = None

    async def start(self) -> None:
        self.machine = SimpleNamespace(uploads=Sender(Agent()), upload=lambda go, *args: go(*args))
        self.clock = SimpleNamespace(now_ns=lambda: 5 * 10**9)
        self.uplink = Uplink(
            self.path, KEYS, PLAN, self.notes.append,
            lambda name, state, detail: self.told.append((name, state)), lambda: self.health,
        )  # fmt: skip
        self.uplink.stands(self)
        await self.quiet()

    async def quiet(self) -> None:
        done = asyncio.Event()
        self.uplink._worker.submit(lambda: None, done.set)
        await done.wait()

    def call(self, _: Any, go: Any, *args: Any) -> None:
        for output in go(*args, now_ns=self.clock.now_ns()):
            if isinstance(output, ReadPiece):
                self.uplink.read_piece(output.upload, output.number)
            elif isinstance(output, UploadTold):
                self.uplink.told(output.have)

    async def take(self, content: bytes, **options: Any) -> dict[str, Any]:
        async def chunks() -> AsyncIterator[bytes]:
            yield content

        return await self.uplink.take(chunks(), len(content), **options)

    def says(self, **vitals: int) -> None:
        self.health = Health("tiny", "Q8_0", 512, 1, 0, Vitals(**vitals))

    async def take_tiny(self) -> int:
        """Take that model, for a node that has said its context; the memory it needs there."""
        self.health = Health("tiny", "Q8_0", 512, 1, 0)
        await self.take(TINY.read_bytes())
        return fit(inspect(TINY), 512).total_bytes

    @property
    def upload(self) -> Any:
        return self.machine.uploads.upload

    def does(self, state: str) -> None:
        """The node says how the upload does."""
        self.call(None, self.machine.uploads.told, Have(self.upload.signed.id, state))


@pytest.fixture
def play(tmp_path: Path):
    def told(story: Any) -> Station:
        station = Station(tmp_path)

        async def whole() -> None:
            await station.start()
            await story(station)
            station.uplink.close()

        asyncio.run(whole())
        return station

    return told


def test_the_kind_is_in_the_manifest(play) -> None:
    async def story(station: Station) -> None:
        await station.take(b"You are brief.")
        status = station.uplink.begin(PROMPT)
        assert (status["kind"], status["name"], status["next"]) == ("prompt", "first", "")
        manifest = station.upload.signed.manifest
        assert (manifest.kind, manifest.memory_bytes, manifest.size) == ("prompt", 0, 14)

    play(story)


def test_another_is_refused_unless_it_may_wait_and_then_a_third(play) -> None:
    async def story(station: Station) -> None:
        await station.take(b"one")
        station.uplink.begin(PROMPT)
        with pytest.raises(BadInput, match="one at a time, found first, which is not done"):
            await station.take(b"two")
        await station.take(b"two", after=True)
        with pytest.raises(BadInput, match="one at a time, found first"):
            station.uplink.begin(Options(name="second", kind="prompt"))
        status = station.uplink.begin(Options(name="second", kind="prompt", after=True))
        assert (status["name"], status["next"]) == ("first", "second")
        with pytest.raises(BadInput, match="one at a time, found second, which is not done"):
            await station.take(b"three", after=True)

    play(story)


def test_what_waits_is_looked_at_at_once(play) -> None:
    async def story(station: Station) -> None:
        await station.take(b"one")
        station.uplink.begin(PROMPT)
        await station.take(b"no GGUF", after=True)
        with pytest.raises(BadInput, match="second: kind"):
            station.uplink.begin(Options(name="second", after=True))
        assert station.uplink.status()["next"] == ""

    play(story)


@pytest.mark.parametrize("end", ["active", "rolled_back", "cancelled", "refused"])
@pytest.mark.parametrize("restarted", [False, True])
def test_what_waits_goes_up_when_the_one_before_it_has_ended(play, end, restarted) -> None:
    async def story(station: Station) -> None:
        await station.take(b"one")
        station.uplink.begin(PROMPT)
        await station.take(b"two, the longer one", after=True)
        station.uplink.begin(Options(name="second", kind="document", after=True))
        if restarted:
            station.uplink.close()
            await station.start()
            assert station.uplink.status()["next"] == "second"
        station.does(end)
        manifest = station.upload.signed.manifest
        assert (manifest.name, manifest.kind, manifest.size) == ("second", "document", 19)
        assert station.uplink.status()["next"] == ""
        station.uplink.close()
        await station.start()
        assert station.upload.signed.manifest == manifest

    station = play(story)
    assert station.told == [("first", "offered"), ("first", end), ("second", "offered")]
    assert station.notes == []


def test_what_waits_goes_up_though_the_station_ended_in_between(play) -> None:
    async def story(station: Station) -> None:
        await station.take(b"one")
        station.uplink.begin(PROMPT)
        await station.take(b"two", after=True)
        station.uplink.begin(Options(name="second", kind="prompt", after=True))
        station.upload.state = "active"
        station.uplink.close()
        await station.start()
        assert station.upload.signed.manifest.name == "second"

    play(story)


def test_where_nothing_is_under_way_it_does_not_wait(play) -> None:
    async def story(station: Station) -> None:
        await station.take(b"one", after=True)
        status = station.uplink.begin(PROMPT.model_copy(update={"after": True}))
        assert (status["name"], status["next"]) == ("first", "")

    play(story)


def test_what_waits_and_cannot_go_up_any_more_is_told_of(play) -> None:
    async def story(station: Station) -> None:
        await station.take(b"one")
        station.uplink.begin(PROMPT)
        await station.take(b"two", after=True)
        station.uplink.begin(Options(name="second", kind="prompt", after=True))
        (station.path / "uplink" / "next").write_bytes(b"\xff")
        station.does("active")
        assert station.uplink.status()["next"] == ""
        assert station.uplink.status()["name"] == "first"

    station = play(story)
    assert station.notes == ["upload: second: expected a text in UTF-8, found byte 0 is not"]


def test_what_is_retired_is_not_activated_again(play) -> None:
    async def story(station: Station) -> None:
        await station.take(b"one")
        station.uplink.begin(PROMPT)
        station.does("active")
        station.uplink.order("retire")
        station.does("whole")
        orders = [one.order for one in station.machine.uploads._agent.sent if hasattr(one, "order")]
        assert orders == ["retire"]
        station.uplink.order("activate")
        assert station.machine.uploads._agent.sent[-1].order == "activate"

    play(story)


@pytest.mark.parametrize("what", ["pause", "activate"])
def test_without_an_upload_there_is_nothing_to_order(play, what: str) -> None:
    async def story(station: Station) -> None:
        with pytest.raises(BadInput, match="upload: expected one that was begun, found none"):
            station.uplink.order(what)

    play(story)


def test_each_contact_is_a_pass(play) -> None:
    async def story(station: Station) -> None:
        await station.take(b"one")
        station.uplink.begin(PROMPT)
        for up in (True, True, False, True):
            station.uplink.carrier(Carrier(1, up, up, 9600, 9600, 0, 1115, 0, 0, ""))
        assert station.uplink.status()["passes"] == 2

    play(story)


def test_what_has_no_place_on_board_is_refused_before_anything_is_sent(play) -> None:
    """By what the beacon said: a model by the memory it needs, anything by the room."""

    async def story(station: Station) -> None:
        needs = await station.take_tiny()
        station.says(engine_mb=needs // 1_000_000 - 1)
        with pytest.raises(BadInput) as refused:
            station.uplink.begin(Options(name="m"))
        most = f"at most {needs // 1_000_000 - 1} MB: memory for the node's engine"
        assert f"upload: file: expected {most}, found {needs / 1e6:.0f} MB" in str(refused.value)
        assert station.uplink.status() == {"state": "none"}
        size = TINY.stat().st_size
        assert size > 2_000_000
        station.says(room_mb=size // 1_000_000 - 1, engine_mb=needs // 1_000_000)
        most = f"at most {size // 1_000_000 - 1} MB: room on board for uploads"
        with pytest.raises(BadInput, match=f"{most}, found {size / 1e6:.0f} MB"):
            station.uplink.begin(Options(name="m"))
        await station.take(b"two")
        station.says(room_mb=1, engine_mb=0)
        assert station.uplink.begin(PROMPT)["name"] == "first", "a prompt takes no memory"

    play(story)


def test_a_model_that_just_fits_goes_up(play) -> None:
    async def story(station: Station) -> None:
        needs = await station.take_tiny()
        station.says(engine_mb=needs // 1_000_000, room_mb=needs // 1_000_000)
        station.uplink.begin(Options(name="m"))
        assert station.upload.signed.manifest.memory_bytes == needs

    play(story)
