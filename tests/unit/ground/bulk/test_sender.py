"""What goes up, and what does not go up twice."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import pytest

from dtn.bpv7.bundle import BundleId
from ground.bulk.sender import (
    AGAIN_NS,
    LEAST_WINDOW,
    MOST_ONCE,
    QUIET_NS,
    ReadPiece,
    Sender,
    UploadTold,
)
from roundtrip import codec
from roundtrip.bulk.coding import repairs
from roundtrip.bulk.manifest import Manifest, sign
from roundtrip.bulk.wire import Have, Offer, Piece, Told
from roundtrip.modem import Carrier
from roundtrip.units import NS_PER_S

SIGNED = sign(Manifest("ipn:2.1", "cargo", "model", 9, bytes(32), (bytes(32),), 30), b"key")
ID, LAST = SIGNED.id, 31


class Agent:
    """Takes bundles, and remembers what is in them."""

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.once: list[Any] = []
        self.cancelled: list[BundleId] = []
        self.full = False
        self._numbers = itertools.count()

    def send(self, payload: bytes, **_: Any) -> tuple[BundleId | None, list[Any]]:
        if self.full:
            return None, []
        self.sent.append(codec.decode(payload))
        return BundleId("ipn:1.1", 0, next(self._numbers)), []

    def once_bytes(self, *, now_ns: int) -> int:
        return 100

    losses = 0.1
    forgot = 0

    def forget_once(self) -> None:
        self.forgot += 1

    def send_once(self, payload: bytes, **_: Any) -> tuple[BundleId | None, list[Any]]:
        self.once.append(codec.decode(payload))
        return BundleId("ipn:1.1", 1, next(self._numbers)), []

    def cancel(self, bundle_id: BundleId, *, now_ns: int) -> list[Any]:
        self.cancelled.append(bundle_id)
        return []


class Scene:
    def __init__(self) -> None:
        self.agent = Agent()
        self.sender = Sender(self.agent)
        self.now_ns = 5 * NS_PER_S
        self.asked: list[int] = []
        """Pieces that are to be read."""
        self.told: list[Have] = []

    def do(self, command: Any, *args: Any, **options: Any) -> None:
        for output in command(*args, now_ns=self.now_ns, **options):
            if isinstance(output, ReadPiece):
                self.asked.append(output.number)
            elif isinstance(output, UploadTold):
                self.told.append(output.have)

    def carrier(
        self,
        up: bool = True,
        rate_bps: int = 256_000,
        one_way_ns: int = 6_000_000,
        *,
        heard: bool | None = None,
    ) -> None:
        rx_up = up if heard is None else heard
        cue = Carrier(1, up, rx_up, rate_bps, rate_bps, one_way_ns, 1400, self.now_ns, 0, "")
        self.do(self.sender.carrier, cue)

    def begin(self, **options: Any) -> None:
        self.do(self.sender.begin, SIGNED, **({"activate": True, "paused": False} | options))

    def have(self, state: str, *lacks: tuple[int, int], upto: int = LAST, **fields: Any) -> None:
        asked = fields.pop("asked", self.asks)
        self.do(self.sender.told, Have(ID, state, upto, lacks, asked=asked, **fields))

    @property
    def asks(self) -> int:
        offers = [one for one in self.agent.sent if isinstance(one, Offer)]
        return offers[-1].asked if offers else 0

    def read(self, number: int) -> None:
        self.do(self.sender.piece_read, ID, number, b"body", packed=False)

    def bundle_of(self, number: int) -> BundleId:
        assert self.sender.upload is not None
        return next(b for b, n in self.sender.upload.flying.items() if n == number)

    def arrived(self, number: int, *, well: bool = True) -> None:
        self.do(self.sender.left, self.bundle_of(number), arrived=well)

    def pieces(self) -> list[int]:
        return [one.number for one in self.agent.sent if isinstance(one, Piece)]

    def orders(self) -> list[str]:
        return [one.order for one in self.agent.sent if isinstance(one, Told)]


@pytest.fixture
def scene() -> Scene:
    return Scene()


@pytest.fixture
def going(scene: Scene) -> Scene:
    """The lists are there, and the first window of blocks is on its way."""
    scene.begin()
    scene.carrier()
    scene.have("taking", (1, LAST))
    for number in list(scene.asked):
        scene.read(number)
    return scene


def test_nothing_goes_up_before_the_node_has_said_what_it_lacks(scene: Scene) -> None:
    scene.begin()
    assert scene.agent.sent == []
    scene.carrier()
    (offer,) = scene.agent.sent
    assert (offer.data, offer.mac) == (SIGNED.data, SIGNED.mac)
    assert scene.asked == []
    scene.have("taking", (0, 1), upto=1)
    assert scene.asked == [0]


def test_as_many_as_the_window_takes_are_on_their_way(going: Scene) -> None:
    assert going.pieces() == list(range(1, 1 + LEAST_WINDOW))
    going.arrived(3)
    assert going.asked[-1] == 1 + LEAST_WINDOW
    going.read(going.asked[-1])
    assert going.sender.upload is not None
    assert going.sender.upload.missing == LAST - 2


def test_a_long_fast_link_takes_more_at_once(scene: Scene) -> None:
    scene.begin()
    scene.carrier(rate_bps=2_000_000, one_way_ns=NS_PER_S // 2)
    scene.have("taking", (1, LAST))
    assert len(scene.asked) == 17


def test_what_the_node_has_is_given_up_whoever_brought_it(going: Scene) -> None:
    two = going.bundle_of(2)
    going.have("taking", (1, 2), (3, LAST))
    assert going.agent.cancelled == [two]
    assert going.asked[-1] == 1 + LEAST_WINDOW


def test_what_was_said_before_the_last_question_is_of_no_use(going: Scene) -> None:
    sent = len(going.agent.sent)
    going.now_ns += NS_PER_S
    going.have("taking", (0, LAST), asked=999_999)
    assert going.pieces() == list(range(1, 1 + LEAST_WINDOW))
    (offer,) = going.agent.sent[sent:]
    assert isinstance(offer, Offer), "it asks anew"
    going.have("taking", (0, LAST), asked=0)
    assert len(going.agent.sent) == sent + 1, "the answer is on its way"
    going.have("taking", (7, LAST))
    assert going.asked[-1] == 12


def test_what_arrived_is_not_sent_again_for_what_was_said_before(going: Scene) -> None:
    going.arrived(1)
    going.read(7)
    going.have("taking", (1, LAST))
    for number in range(2, 7):
        going.arrived(number)
    assert 1 not in going.asked[1:]


def test_when_nothing_is_left_the_node_says_more_by_itself_or_is_asked(scene: Scene) -> None:
    scene.begin()
    scene.carrier()
    scene.have("taking", (0, 1), upto=1)
    scene.read(0)
    offers = len(scene.agent.sent)
    scene.arrived(0)
    assert len(scene.agent.sent) == offers
    assert scene.sender.deadline == (scene.now_ns + AGAIN_NS, "upload")
    scene.now_ns += AGAIN_NS
    scene.do(scene.sender.timeout)
    assert len(scene.agent.sent) == offers + 1
    scene.have("taking", (0, 1), upto=1)
    assert scene.asked == [0, 0], "it says so with nothing on its way: so it is"


def test_while_blocks_are_on_their_way_the_node_is_not_asked(scene: Scene) -> None:
    scene.begin()
    scene.carrier()
    scene.have("taking", (1, 3))
    for number in list(scene.asked):
        scene.read(number)
    offers = scene.asks
    scene.arrived(1)
    scene.now_ns += 2 * AGAIN_NS
    scene.do(scene.sender.timeout)
    assert scene.asks == offers
    scene.arrived(2)
    scene.now_ns += 2 * AGAIN_NS
    scene.do(scene.sender.timeout)
    assert scene.asks != offers


def test_a_bundle_that_is_gone_goes_up_again(going: Scene) -> None:
    going.arrived(2, well=False)
    assert going.asked[-1] == 2
    going.read(2)
    assert going.pieces().count(2) == 2
    going.do(going.sender.left, BundleId("ipn:1.1", 0, 999), arrived=True)


def test_a_full_agent_takes_it_later(scene: Scene) -> None:
    scene.begin()
    scene.carrier()
    scene.have("taking", (1, 3))
    scene.agent.full = True
    scene.read(1)
    scene.agent.full = False
    scene.read(2)
    assert scene.asked == [1, 2, 1]


def test_a_pause_ends_with_what_is_on_its_way_and_goes_on_from_there(going: Scene) -> None:
    going.do(going.sender.pause, True)
    going.arrived(1)
    assert going.asked[-1] == LEAST_WINDOW
    going.do(going.sender.pause, False)
    assert going.asked[-1] == 1 + LEAST_WINDOW


def test_without_a_carrier_nothing_is_read(going: Scene) -> None:
    going.carrier(up=False)
    going.arrived(1)
    assert going.asked[-1] == LEAST_WINDOW
    assert going.sender.deadline is None


def test_whole_it_is_tried_and_on_trial_it_is_confirmed(going: Scene) -> None:
    going.have("whole")
    going.have("trying")
    going.have("trial")
    going.have("active")
    assert going.orders() == ["activate", "confirm"]
    assert [have.state for have in going.told] == ["taking", "whole", "trying", "trial", "active"]
    assert going.sender.upload is not None
    assert going.sender.upload.ended
    assert going.sender.deadline is None


@pytest.mark.parametrize("state", ["whole", "trying", "trial"])
def test_a_word_that_got_lost_is_asked_for_again(going: Scene, state: str) -> None:
    going.have(state)
    sent = len(going.agent.sent)
    going.carrier()
    assert len(going.agent.sent) == sent
    assert going.sender.deadline == (going.now_ns + AGAIN_NS, "upload")
    going.now_ns += AGAIN_NS
    going.do(going.sender.timeout)
    assert isinstance(going.agent.sent[-1], Offer)
    assert going.sender.deadline == (going.now_ns + AGAIN_NS, "upload")


def test_one_that_is_not_to_fly_ends_when_it_is_whole(scene: Scene) -> None:
    scene.begin(activate=False)
    scene.carrier()
    scene.have("whole")
    assert scene.orders() == []
    assert scene.sender.upload is not None
    assert scene.sender.upload.ended


@pytest.mark.parametrize("state", ["refused", "cancelled", "rolled_back"])
def test_what_has_ended_badly_sends_nothing_more(going: Scene, state: str) -> None:
    going.have(state, detail="why")
    assert len(going.agent.cancelled) == LEAST_WINDOW
    assert going.sender.upload is not None
    assert (going.sender.upload.ended, going.sender.upload.detail) == (True, "why")
    going.carrier()
    assert going.asked[-1] == LEAST_WINDOW


def test_a_cancel_gives_up_what_is_on_its_way_and_tells_the_node(going: Scene) -> None:
    going.do(going.sender.tell, "cancel")
    assert len(going.agent.cancelled) == LEAST_WINDOW
    assert going.orders() == ["cancel"]
    going.carrier()
    assert going.asked[-1] == LEAST_WINDOW


def test_what_is_read_when_it_is_given_up_does_not_go_up(scene: Scene) -> None:
    scene.begin()
    scene.carrier()
    scene.have("taking", (1, LAST))
    scene.do(scene.sender.tell, "cancel")
    scene.read(scene.asked[0])
    assert scene.pieces() == []


def test_a_node_that_knows_nothing_of_it_is_offered_it_anew(going: Scene) -> None:
    sent = len(going.agent.sent)
    going.have("unknown")
    assert isinstance(going.agent.sent[sent], Offer)


def test_what_cannot_be_read_stops_it_with_the_reason(going: Scene) -> None:
    going.do(going.sender.unreadable, "byte 5 is not what it was")
    assert going.sender.upload is not None
    assert (going.sender.upload.paused, going.sender.upload.detail) == (
        True, "byte 5 is not what it was",
    )  # fmt: skip


def test_what_is_said_of_another_upload_is_told_and_changes_nothing(going: Scene) -> None:
    going.do(going.sender.told, Have(b"another!", "active"))
    assert going.sender.upload is not None
    assert going.sender.upload.state == "taking"
    going.do(going.sender.piece_read, b"another!", 1, b"", packed=False)
    assert len(going.pieces()) == LEAST_WINDOW


def test_without_an_upload_nothing_is_done(scene: Scene) -> None:
    scene.carrier()
    scene.do(scene.sender.tell, "cancel")
    scene.do(scene.sender.pause, True)
    scene.do(scene.sender.unreadable, "")
    scene.do(scene.sender.timeout)
    assert (scene.agent.sent, scene.sender.deadline) == ([], None)


def silent(scene: Scene) -> None:
    """The node is not heard any more; what it lacks is read and goes up as symbols."""
    scene.asked.clear()
    scene.carrier(heard=False)
    deadline = scene.sender.deadline
    assert deadline is not None
    assert (deadline[0] - scene.now_ns, deadline[1]) == (QUIET_NS + 12_000_000, "silence")
    scene.do(scene.sender.timeout)
    assert scene.asked == []
    scene.now_ns = deadline[0]
    scene.do(scene.sender.timeout)


def read_all(scene: Scene) -> list[int]:
    """Read what is asked for, and have every symbol leave; which pieces were read."""
    read: list[int] = []
    while True:
        asked = [number for number in scene.asked if number not in read]
        once = list(scene.sender._once)
        if not asked and not once:
            return read
        for number in asked:
            read.append(number)
            scene.do(scene.sender.piece_read, ID, number, bytes(300), packed=False)
        for bundle_id in once:
            scene.do(scene.sender.left, bundle_id, arrived=False)


def test_while_the_node_is_not_heard_what_it_lacks_goes_up_once_as_symbols(going: Scene) -> None:
    silent(going)
    rest = list(range(1 + LEAST_WINDOW, LAST))
    assert going.asked == rest[:1], "one at a time"
    assert read_all(going) == rest
    sent = Counter(shard.number for shard in going.agent.once)
    assert list(sent) == rest
    assert set(sent.values()) == {5 + repairs(5, 0.1)}
    assert all(len(shard.packet) == 76 for shard in going.agent.once), "as much as fits"
    assert going.pieces() == list(range(1, 1 + LEAST_WINDOW)), "and nothing else"


def test_few_symbols_wait_for_the_transmitter(going: Scene) -> None:
    silent(going)
    going.do(going.sender.piece_read, ID, going.asked[-1], bytes(3000), packed=False)
    assert len(going.agent.once) == MOST_ONCE
    going.do(going.sender.left, next(iter(going.sender._once)), arrived=False)
    assert len(going.agent.once) == MOST_ONCE + 1
    assert len(going.asked) == 1, "the next piece is not read yet"


def test_heard_again_the_node_is_asked_what_it_lacks(going: Scene) -> None:
    silent(going)
    going.read(going.asked[-1])
    before = going.asks
    going.now_ns += NS_PER_S
    going.carrier()
    assert going.asks != before
    assert going.agent.forgot == 1
    going.asked.clear()
    going.have("taking", (20, 22))
    assert going.asked == [20, 21]
    going.read(20)
    assert going.pieces()[-1] == 20, "as before"
    once = len(going.agent.once)
    going.carrier()
    assert len(going.agent.once) == once


def test_a_node_that_was_heard_all_the_time_is_not_asked(going: Scene) -> None:
    before = going.asks
    going.asked.clear()
    going.carrier(heard=False)
    going.now_ns += QUIET_NS
    going.carrier()
    going.now_ns += QUIET_NS
    going.do(going.sender.timeout)
    assert (going.asks, going.asked, going.agent.forgot) == (before, [], 0)


def test_a_queue_that_is_full_loses_no_symbol(going: Scene, monkeypatch) -> None:
    silent(going)
    monkeypatch.setattr(going.agent, "send_once", lambda *_, **__: (None, []))
    going.do(going.sender.piece_read, ID, going.asked[-1], bytes(3000), packed=False)
    assert len(going.asked) == 1, "the next piece is not read yet"
    waiting = len(going.sender._shards)
    monkeypatch.undo()
    going.do(going.sender.pause, False)
    assert len(going.agent.once) == MOST_ONCE
    assert len(going.sender._shards) == waiting - MOST_ONCE


def test_without_the_package_nothing_goes_up_then(going: Scene, monkeypatch) -> None:
    monkeypatch.setattr("ground.bulk.sender.available", lambda: False)
    silent(going)
    assert going.asked == []
    assert going.sender.deadline is None
    going.arrived(3)
    assert going.asked == [1 + LEAST_WINDOW], "only what was acknowledged makes room"


def test_of_what_is_cancelled_in_a_silence_no_further_symbol_goes_up(going: Scene) -> None:
    silent(going)
    going.do(going.sender.piece_read, ID, going.asked[-1], bytes(3000), packed=False)
    forgot, once = going.agent.forgot, len(going.agent.once)
    going.do(going.sender.tell, "cancel")
    assert going.agent.forgot == forgot + 1
    assert not going.sender._shards
    going.do(going.sender.timeout)
    assert len(going.agent.once) == once
