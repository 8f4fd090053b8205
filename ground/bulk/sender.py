"""Sends an upload: what the node says that it lacks, and nothing else, below every question.

What the node has on disk only the node knows: nothing goes up before it has said what it lacks, and
it says so when it is asked, when it was started, and when something is whole. A piece counts as
there when its bundle is acknowledged, which the node does when it is on disk.

While the node is not heard, nothing is acknowledged: then what it lacks goes up once as symbols of
an erasure code (`coding.py`), unacknowledged, and the node is asked when it is heard again. Pure.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush

from dtn import agent as bundles
from dtn.bpv7.bundle import BundleId
from roundtrip.bulk.coding import available, shards_of
from roundtrip.bulk.manifest import BLOCK_BYTES, Signed
from roundtrip.bulk.wire import Have, Offer, Piece, Shard, Told, encode, numbers_in
from roundtrip.machine import Deadline, earliest
from roundtrip.modem import Carrier
from roundtrip.units import NS_PER_MS, NS_PER_S

PRIORITY = 4
"""Of pieces: behind everything that a question needs."""
OFFER_PRIORITY = 3
LIFETIME_MS = 30 * 86_400_000
LEAST_WINDOW, MOST_WINDOW = 6, 20
"""Pieces on their way: fewer leave the transmitter idle while the last ones are repaired, more are
more than LTP has sessions for."""
ROOM = MOST_WINDOW + 8
"""Bundles that an agent must have room for besides questions: pieces, offers and orders."""
MOST_ONCE = 8
"""Symbols that wait for the transmitter."""
SHARD_BYTES = 24
"""Of a symbol's message besides the symbol."""
SHARD_LIFETIME_MS = 120_000
QUIET_NS = 2 * NS_PER_S
"""How long the node is not heard, beyond a round trip, before symbols go up: at AOS its signal is
there a light time after ours."""
IN_FLIGHT = 3
"""Round trips that the window covers: a piece that has lost segments takes that long."""
AGAIN_NS = 60 * NS_PER_S
"""An offer that nobody answers is made once more."""
PENDING = ("whole", "trying", "trial")
"""It is for the node to say more."""
ENDED = ("active", "rolled_back", "cancelled", "refused")


@dataclass(frozen=True, slots=True)
class ReadPiece:
    """Read a piece, then call `piece_read`."""

    upload: bytes
    number: int


@dataclass(frozen=True, slots=True)
class UploadTold:
    """How the upload does on board has changed."""

    have: Have


BulkOutput = ReadPiece | UploadTold | bundles.AgentOutput


@dataclass(slots=True)
class Upload:
    """One that goes up."""

    signed: Signed
    activate: bool
    """As soon as it is whole."""
    paused: bool = False
    state: str = "offered"
    detail: str = ""
    known: bool = False
    """What it lacks is known, up to `upto`."""
    upto: int = 0
    lacks: list[int] = field(default_factory=list)
    """A heap of pieces that nobody has sent yet."""
    flying: dict[BundleId, int] = field(default_factory=dict)
    reading: set[int] = field(default_factory=set)
    asked: int = 0
    """What the latest offer has with it."""
    asked_ns: int | None = None
    """When the node was asked last, and has not answered."""
    sent_bytes: int = 0
    """Of pieces given to the transport, packed."""
    there: set[int] = field(default_factory=set)
    """Acknowledged since the node was asked with nothing on its way: what it said before that may
    come later."""

    @property
    def ended(self) -> bool:
        """Nothing more is to be done."""
        return self.state in ENDED or (self.state == "whole" and not self.activate)

    @property
    def missing(self) -> int:
        """Pieces that the node lacks, as far as is known."""
        if not self.known:
            return self.signed.manifest.numbers
        rest = self.signed.manifest.numbers - self.upto
        return len(self.lacks) + len(self.reading) + len(self.flying) + rest


class Sender:
    """One upload at a time.

    Args:
        agent: the bundle agent of this end.
    """

    def __init__(self, agent: bundles.BundleAgent) -> None:
        self._agent = agent
        self.upload: Upload | None = None
        self._up = False
        self._quiet_ns: int | None = None
        """From when on the node counts as not heard, while it is not."""
        self._silent = False
        """It does, and may hear."""
        self._window = LEAST_WINDOW
        self._shards: deque[Shard] = deque()
        self._coded: set[int] = set()
        """Pieces that have gone up as symbols since the node was heard last."""
        self._once: set[BundleId] = set()
        """Symbols that wait for the transmitter."""
        self.sent_bytes = 0
        """Of pieces of all uploads."""

    # -- what the operator wants -------------------------------------------------------------------

    def begin(
        self, signed: Signed, *, activate: bool, paused: bool, now_ns: int
    ) -> list[BulkOutput]:
        """Send this; there must be no other under way."""
        assert self.upload is None or self.upload.ended
        self.upload = Upload(signed, activate, paused)
        return self._go_on(now_ns)

    def pause(self, paused: bool, *, now_ns: int) -> list[BulkOutput]:
        """Send no further piece, or go on."""
        if self.upload is not None:
            self.upload.paused = paused
        return self._go_on(now_ns)

    def tell(self, order: str, *, now_ns: int) -> list[BulkOutput]:
        """Have something done with the upload on board."""
        upload = self.upload
        if upload is None:
            return []
        outputs: list[BulkOutput] = []
        if order == "cancel":
            outputs += self._give_up(upload, now_ns)
            upload.paused = True
        elif order == "retire":
            upload.activate = False
        return outputs + self._send(Told(upload.signed.id, order), OFFER_PRIORITY, now_ns)[1]

    # -- what happens ------------------------------------------------------------------------------

    def carrier(self, cue: Carrier, *, now_ns: int) -> list[BulkOutput]:
        """The modem says what can be sent and heard."""
        self._up = cue.tx_up
        if cue.rx_up or not cue.tx_up:
            self._quiet_ns, self._silent = None, False
        elif self._quiet_ns is None:
            self._quiet_ns = now_ns + 2 * cue.one_way_ns + QUIET_NS
        if cue.tx_up:
            round_ns = 2 * cue.one_way_ns + NS_PER_S // 2
            covered = IN_FLIGHT * cue.tx_rate_bps * round_ns // (8 * NS_PER_S * BLOCK_BYTES)
            self._window = min(max(LEAST_WINDOW, covered), MOST_WINDOW)
        if cue.rx_up and self._coded:
            return self._heard_again(now_ns)
        return self._go_on(now_ns)

    def told(self, have: Have, *, now_ns: int) -> list[BulkOutput]:
        """The node says how an upload does."""
        upload = self.upload
        if upload is None or have.upload != upload.signed.id:
            return [UploadTold(have)]
        outputs: list[BulkOutput] = [UploadTold(have)]
        if have.state == "taking" and have.asked != upload.asked:
            return outputs + self._ask_anew(upload, now_ns)
        upload.state, upload.detail = have.state, have.detail
        upload.asked_ns = now_ns if have.state in PENDING else None
        if have.state == "taking":
            lacking = numbers_in(have.lacks)
            for bundle_id, number in list(upload.flying.items()):
                if number < have.upto and number not in lacking:  # it is there, whoever said so
                    outputs += self._agent.cancel(bundle_id, now_ns=now_ns)
                    del upload.flying[bundle_id]
            lacking -= {*upload.flying.values(), *upload.reading, *upload.there}
            upload.lacks = sorted(lacking)
            upload.known, upload.upto = True, have.upto
        else:
            outputs += self._give_up(upload, now_ns)
            if have.state == "whole" and upload.activate:
                outputs += self.tell("activate", now_ns=now_ns)
            elif have.state == "trial":
                outputs += self.tell("confirm", now_ns=now_ns)
        return outputs + self._go_on(now_ns)

    def piece_read(
        self, upload_id: bytes, number: int, body: bytes, packed: bool, *, now_ns: int
    ) -> list[BulkOutput]:
        """A piece was read."""
        upload = self.upload
        if upload is None or upload.signed.id != upload_id or number not in upload.reading:
            return []
        upload.reading.discard(number)
        piece = Piece(upload_id, number, body, packed)
        if self._silent:
            heappush(upload.lacks, number)
            self._coded.add(number)
            room = self._agent.once_bytes(now_ns=now_ns) - SHARD_BYTES
            self._shards += shards_of(piece, room, self._agent.losses)
            return self._go_on(now_ns)
        bundle_id, outputs = self._send(piece, PRIORITY, now_ns)
        if bundle_id is None:
            heappush(upload.lacks, number)
            return outputs
        upload.flying[bundle_id] = number
        upload.sent_bytes += len(body)
        self.sent_bytes += len(body)
        return outputs + self._go_on(now_ns)

    def unreadable(self, detail: str, *, now_ns: int) -> list[BulkOutput]:
        """A piece cannot be read, or is not what it was: nothing more goes up."""
        upload = self.upload
        if upload is None:
            return []
        upload.detail, upload.paused = detail, True
        return self._give_up(upload, now_ns)

    def left(self, bundle_id: BundleId, *, arrived: bool, now_ns: int) -> list[BulkOutput]:
        """A bundle was acknowledged, or is gone; one of another sender is none of ours."""
        if bundle_id in self._once:
            self._once.discard(bundle_id)
            return self._go_on(now_ns) if self._silent else []
        upload = self.upload
        if upload is None or bundle_id not in upload.flying:
            return []
        number = upload.flying.pop(bundle_id)
        if arrived:
            upload.there.add(number)
        else:
            heappush(upload.lacks, number)
        return self._go_on(now_ns)

    def timeout(self, *, now_ns: int) -> list[BulkOutput]:
        """An offer may have to be made once more, or the node has not been heard for long."""
        due = self.deadline
        if due is None or due[0] > now_ns:
            return []
        if self._quiet_ns is not None and self._quiet_ns <= now_ns:
            self._quiet_ns, self._silent = None, available()
        return self._go_on(now_ns)

    @property
    def deadline(self) -> Deadline | None:
        """When an offer is made once more, or a silence has been long."""
        upload = self.upload
        if upload is None or upload.ended or not self._up:
            return None
        again = None if upload.asked_ns is None else (upload.asked_ns + AGAIN_NS, "upload")
        quiet = None if self._quiet_ns is None else (self._quiet_ns, "silence")
        return earliest(again, quiet)

    # ----------------------------------------------------------------------------------------------

    def _go_on(self, now_ns: int) -> list[BulkOutput]:
        upload = self.upload
        if upload is None or upload.ended or upload.paused or not self._up:
            return []
        waits = upload.asked_ns is not None and now_ns < upload.asked_ns + AGAIN_NS
        if not upload.known:
            return [] if waits else self._offer(upload, now_ns)
        outputs: list[BulkOutput] = []
        if self._silent:
            return self._coded_on(upload, now_ns)
        while upload.lacks and len(upload.flying) + len(upload.reading) < self._window:
            number = heappop(upload.lacks)
            upload.reading.add(number)
            outputs.append(ReadPiece(upload.signed.id, number))
        if not (upload.lacks or upload.flying or upload.reading or waits):
            if upload.asked_ns is None:
                upload.asked_ns = now_ns  # the node has more to say, and does so by itself
            else:
                upload.there.clear()
                outputs += self._offer(upload, now_ns)
        return outputs

    def _coded_on(self, upload: Upload, now_ns: int) -> list[BulkOutput]:
        """Send symbols, and have the next piece read when there are few."""
        outputs: list[BulkOutput] = []
        while self._shards and len(self._once) < MOST_ONCE:
            shard = self._shards[0]
            bundle_id, sent = self._agent.send_once(
                encode(shard), lifetime_ms=SHARD_LIFETIME_MS, priority=PRIORITY, now_ns=now_ns
            )
            if bundle_id is None:
                break
            self._shards.popleft()
            self._once.add(bundle_id)
            self.sent_bytes += len(shard.packet)
            upload.sent_bytes += len(shard.packet)
            outputs += sent
        if not self._shards and not upload.reading:
            number = next((one for one in sorted(upload.lacks) if one not in self._coded), None)
            if number is not None:
                upload.lacks.remove(number)
                heapify(upload.lacks)
                upload.reading.add(number)
                outputs.append(ReadPiece(upload.signed.id, number))
        return outputs

    def _heard_again(self, now_ns: int) -> list[BulkOutput]:
        """Only the node knows what the symbols have made whole."""
        self._forget_symbols()
        upload = self.upload
        if upload is None or upload.ended:
            return []
        return self._ask_anew(upload, now_ns)

    def _forget_symbols(self) -> None:
        self._agent.forget_once()
        self._shards.clear()
        self._coded.clear()
        self._once.clear()

    def _ask_anew(self, upload: Upload, now_ns: int) -> list[BulkOutput]:
        """What was said may be of long ago, or the node has been started since it was asked: until
        it answers, nothing more goes up."""
        if upload.asked_ns is not None and not upload.known:
            return []  # the answer is on its way
        for number in upload.reading:
            heappush(upload.lacks, number)
        upload.reading.clear()
        upload.known, upload.state = False, "offered"
        return [] if upload.paused or not self._up else self._offer(upload, now_ns)

    def _offer(self, upload: Upload, now_ns: int) -> list[BulkOutput]:
        upload.asked_ns = now_ns
        upload.asked = max(1, now_ns // NS_PER_MS % (1 << 24))
        offer = Offer(upload.signed.data, upload.signed.mac, upload.asked)
        return list(self._send(offer, OFFER_PRIORITY, now_ns)[1])

    def _send(
        self, message: Offer | Piece | Told, priority: int, now_ns: int
    ) -> tuple[BundleId | None, list[BulkOutput]]:
        bundle_id, outputs = self._agent.send(
            encode(message), lifetime_ms=LIFETIME_MS, priority=priority, now_ns=now_ns
        )
        return bundle_id, list(outputs)

    def _give_up(self, upload: Upload, now_ns: int) -> list[BulkOutput]:
        """No piece of it is to arrive any more."""
        outputs: list[BulkOutput] = []
        for bundle_id in list(upload.flying):
            outputs += self._agent.cancel(bundle_id, now_ns=now_ns)
        self._forget_symbols()
        upload.flying.clear()
        upload.reading.clear()
        upload.lacks, upload.known = [], False
        return outputs
