"""The node's side of the link: bundles in, and what goes down until the ground has it.

Replies come first, beacons behind them, and pieces of answers that are still being written last. A
reply is kept until the ground has acknowledged it; one that finds the agent full waits here. Pure.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from dtn import agent as bundles
from dtn.bpv7.bundle import BundleId
from node import beacon as beacons
from node.body.energy_book import EnergyBook
from node.downlink import BUNDLE_BYTES, Downlink
from node.entry import Entry, State
from node.outputs import NodeOutput, Rejected, StoreSettled, UploadCame
from node.parts import Parts
from roundtrip import codec, message
from roundtrip.bulk import wire
from roundtrip.bulk.wire import Have, Up
from roundtrip.errors import BadMessage, OtherRelease, UnknownDictionary
from roundtrip.machine import Deadline, earliest
from roundtrip.message import (
    Answer,
    Asked,
    Cancel,
    Health,
    Question,
    Settings,
    Turn,
    Unreadable,
)
from roundtrip.modem import Carrier
from roundtrip.settings import Texts
from roundtrip.text import packing
from roundtrip.transport import OTHER_RELEASE, lifetime_ms, reason_of
from roundtrip.units import NS_PER_MS

KEPT_SETTLED = 4096
"""Settled questions kept in memory, so that one asked again gets the same answer."""
KEPT_SETTINGS = 64
"""By which a question may call for them; all others come with it."""
UNREADABLE_LIFETIME_MS = 600_000
TRANSPORT_PRIORITY = (2, 1, 0)
"""Of bulk, normal and expedited questions; a lower number leaves first."""
HAVE_PRIORITY = 2
"""Of how an upload does."""
PART_PRIORITY = 3
"""Of an answer that is still being written."""

Take = Callable[[Question, bundles.BundleReceived], list[NodeOutput]]
Drop = Callable[[int, int], list[NodeOutput]]
"""Of a question, at a time."""


class Radio:
    """Everything that goes over the link.

    Args:
        agent: the bundle agent of this end.
        entries: the questions on board; settled ones are taken out when there are too many.
        downlink: told of the modem's cues, and of what waits for it.
        energy: told when it transmits.
        beacon: when to say how the node does.
        lifetime_ms: of answer bundles.
        take: what to do with a question that has come, before it is accepted.
        cancel: what to do with one that nobody waits for any more.
    """

    def __init__(
        self,
        agent: bundles.BundleAgent,
        entries: dict[int, Entry],
        downlink: Downlink,
        energy: EnergyBook,
        beacon: beacons.Beacon,
        *,
        lifetime_ms: int,
        take: Take,
        cancel: Drop,
    ) -> None:
        self._agent = agent
        self._entries = entries
        self._downlink = downlink
        self._energy = energy
        self._beacon = beacon
        self._lifetime_ms = lifetime_ms
        self._take = take
        self._cancel = cancel
        self._parts = Parts()
        self._replies: dict[BundleId, tuple[int, int]] = {}
        """Of a question, and how large."""
        self._settings: OrderedDict[bytes, Settings] = OrderedDict()
        """By name, the one used last at the end."""
        self._texts: Texts = None
        self.is_heard = False
        """There is a signal from the ground."""
        self._unsent: deque[int] = deque()
        self._told: dict[BundleId, tuple[Unreadable, BundleId | None]] = {}
        """What the ground is being told of bundles that could not be read, by its own bundle."""
        self._untold: deque[tuple[Unreadable, BundleId | None]] = deque()
        self._settled: OrderedDict[int, None] = OrderedDict()

    def recover(self, question_id: int) -> None:
        """A question with a reply was found in the store."""
        if self._entries[question_id].state is State.SETTLED:
            self._remember_settled(question_id)
        else:
            self._unsent.append(question_id)

    def lost(self, question_ids: Iterable[int]) -> None:
        """Questions in the store were damaged: the ground is to ask them again."""
        self._untold += ((Unreadable(number, "damaged"), None) for number in question_ids)

    # -- the link ----------------------------------------------------------------------------------

    def receive(self, payload: bytes, now_ns: int) -> list[NodeOutput]:
        """A frame came off the link."""
        return self._from_agent(self._agent.receive(payload, now_ns=now_ns), now_ns)

    def carrier(self, cue: Carrier, now_ns: int) -> list[NodeOutput]:
        """The modem says what can be sent and heard."""
        self._downlink.carrier(cue)
        self.is_heard = cue.rx_up
        self._energy.carrier(cue.rx_up, now_ns=now_ns)
        self._beacon.carrier(cue.tx_up, now_ns)
        outputs: list[NodeOutput] = []
        untold, self._untold = self._untold, deque()
        for reply, bundle_id in untold:
            outputs += self._unreadable(reply, bundle_id, now_ns)
        unsent, self._unsent = self._unsent, deque()
        for question_id in unsent:
            outputs += self.send_reply(question_id, now_ns)
        return outputs + self._from_agent(
            self._agent.carrier(
                tx_up=cue.tx_up,
                rx_up=cue.rx_up,
                tx_rate_bps=cue.tx_rate_bps,
                rx_rate_bps=cue.rx_rate_bps,
                one_way_ns=cue.one_way_ns,
                now_ns=now_ns,
            ),
            now_ns,
        )

    def timeout(self, now_ns: int) -> list[NodeOutput]:
        """A timer of the transport is due."""
        return self._from_agent(self._agent.timeout(now_ns=now_ns), now_ns)

    def beacon_due(self, now_ns: int) -> list[NodeOutput]:
        """Have a beacon measured, when it is time."""
        return [*self._beacon.take(now_ns)]

    @property
    def deadline(self) -> Deadline | None:
        """The next timer of the transport, or beacon."""
        return earliest(self._agent.deadline, self._beacon.deadline)

    def upset(self, bit: int) -> None:
        """Invert one bit of the bundles that wait to be sent."""
        self._agent.upset(bit)

    def accept(self, bundle_id: BundleId, now_ns: int) -> list[NodeOutput]:
        """A bundle is safe here, or of no use: the ground need not send it again."""
        return self._from_agent(self._agent.accept(bundle_id, now_ns=now_ns), now_ns)

    def _from_agent(self, outputs: Sequence[bundles.AgentOutput], now_ns: int) -> list[NodeOutput]:
        mine: list[NodeOutput] = []
        for output in outputs:
            match output:
                case bundles.Transmit() | bundles.ClocksDiffer():
                    mine.append(output)
                case bundles.BundleReceived():
                    mine += self._take_bundle(output, now_ns)
                case (
                    bundles.Acknowledged(bundle_id=bundle_id) | bundles.Expired(bundle_id=bundle_id)
                ):
                    arrived = isinstance(output, bundles.Acknowledged)
                    self._parts.left(bundle_id, acknowledged=arrived)
                    mine += self._reply_left(bundle_id, now_ns)
                    mine += self._told_left(bundle_id, now_ns, arrived=arrived)
                case bundles.Damaged(bundle_id=bundle_id):
                    mine += self._damaged(bundle_id, now_ns)
                case bundles.Rejected():
                    mine.append(Rejected(reason_of(output)))
                case bundles.QueueFull():
                    mine.append(Rejected("bundle queue full"))
                case _:
                    pass
        return mine

    def _take_bundle(self, received: bundles.BundleReceived, now_ns: int) -> list[NodeOutput]:
        bundle_id = received.bundle.id
        try:
            asked = codec.decode(received.bundle.payload)
        except UnknownDictionary:
            return self._unreadable(Unreadable(0, "text"), bundle_id, now_ns)
        except OtherRelease:
            return [Rejected(OTHER_RELEASE), *self.accept(bundle_id, now_ns)]
        except BadMessage as error:
            return [Rejected(f"message: {error}"), *self.accept(bundle_id, now_ns)]
        if isinstance(asked, Up):
            return [UploadCame(asked, bundle_id)]
        if isinstance(asked, Cancel):
            cancelled = self._cancel(asked.question_id, now_ns)
            return [*cancelled, *self.accept(bundle_id, now_ns)]
        if not isinstance(asked, Asked):
            return [Rejected("not a question"), *self.accept(bundle_id, now_ns)]
        question_id = asked.question_id
        entry = self._entries.get(question_id)
        self._beacon.asked()
        settings = self._settings_of(asked)
        if entry is None:
            if settings is None:
                return self._unreadable(Unreadable(question_id, "settings"), bundle_id, now_ns)
            turns = self._turns_of(asked)
            if turns is None:
                return self._unreadable(Unreadable(question_id, "turns"), bundle_id, now_ns)
            try:
                question = asked.question(settings, turns)
            except UnknownDictionary:
                return self._unreadable(Unreadable(question_id, "text"), bundle_id, now_ns)
            except BadMessage as error:
                return [Rejected(f"message: {error}"), *self.accept(bundle_id, now_ns)]
            return self._take(question, received)
        if entry.state is State.STORING:
            entry.bundle_id = bundle_id
            return []
        if entry.state is State.SETTLED:  # it must have lost the answer
            entry.state, entry.bundle_id = State.REPLYING, bundle_id
            del self._settled[question_id]
            return self.send_reply(question_id, now_ns)
        if entry.state is State.REPLYING and entry.bundle_id is not None:  # on disk it is settled
            bundle_id, entry.bundle_id = entry.bundle_id, bundle_id
        return self.accept(bundle_id, now_ns)

    def _settings_of(self, asked: Asked) -> Settings | None:
        """What a question has in common with others, as it came with it or with one before."""
        settings = asked.settings or self._settings.get(asked.name)
        if settings is not None:
            self._settings[asked.name] = settings
            self._settings.move_to_end(asked.name)
            if len(self._settings) > KEPT_SETTINGS:
                self._settings.popitem(last=False)
            self._texts = settings.texts
        return settings

    def _turns_of(self, asked: Asked) -> tuple[Turn, ...] | None:
        """What was said up to the question that this one comes after; None where it is not here."""
        if asked.after is None or asked.values:
            return ()
        before = self._entries.get(asked.after)
        if before is None or not isinstance(before.reply, Answer):
            return None
        return *before.question.turns, Turn(before.question.text, before.reply.text)

    def _unreadable(
        self, reply: Unreadable, bundle_id: BundleId | None, now_ns: int
    ) -> list[NodeOutput]:
        """Say so: the ground asks again, in words that are known here. The question is nowhere but
        there, so its bundle is accepted when that is known there."""
        told, outputs = self._agent.send(
            codec.encode(reply), lifetime_ms=UNREADABLE_LIFETIME_MS, now_ns=now_ns
        )
        if told is None:
            self._untold.append((reply, bundle_id))
        else:
            self._told[told] = reply, bundle_id
        return self._from_agent(outputs, now_ns)

    def _told_left(self, told: BundleId, now_ns: int, *, arrived: bool) -> list[NodeOutput]:
        if told not in self._told:
            return []
        reply, bundle_id = self._told.pop(told)
        if arrived:
            return [] if bundle_id is None else self.accept(bundle_id, now_ns)
        return self._unreadable(reply, bundle_id, now_ns)

    # -- what goes down ----------------------------------------------------------------------------

    def send_reply(self, question_id: int, now_ns: int) -> list[NodeOutput]:
        """Send a reply that is on disk."""
        entry = self._entries[question_id]
        assert entry.reply is not None
        reply, given_up = self._parts.last(question_id, entry.reply)
        payload = codec.encode(reply, texts=self._worth(now_ns))
        cancelled = [o for part in given_up for o in self._agent.cancel(part, now_ns=now_ns)]
        bundle_id, outputs = self._agent.send(
            payload,
            lifetime_ms=self._lifetime_ms,
            priority=TRANSPORT_PRIORITY[entry.question.priority],
            due_ns=entry.deadline_ns,
            now_ns=now_ns,
        )
        if bundle_id is None:
            self._unsent.append(question_id)
        else:
            size_bytes = len(payload) + BUNDLE_BYTES
            self._replies[bundle_id] = question_id, size_bytes
            self._energy.sent(question_id, now_ns=now_ns)
            self._downlink.backlog_bytes += size_bytes
        return self._from_agent([*cancelled, *outputs], now_ns)

    def _worth(self, now_ns: int) -> Texts:
        """How a text goes down now."""
        return packing.worth(self._texts, self._downlink.rate_bps(now_ns) or 0)

    def _reply_left(self, bundle_id: BundleId, now_ns: int) -> list[NodeOutput]:
        if bundle_id not in self._replies:
            return []
        question_id, size_bytes = self._replies.pop(bundle_id)
        entry = self._entries[question_id]
        entry.state = State.SETTLED
        self._energy.arrived(question_id, now_ns=now_ns)
        held, entry.bundle_id = entry.bundle_id, None
        accepted = [] if held is None else self.accept(held, now_ns)
        self._downlink.backlog_bytes -= size_bytes
        self._remember_settled(question_id)
        again = self.send_reply(self._unsent.popleft(), now_ns) if self._unsent else []
        return [StoreSettled(question_id), *accepted, *again]

    def _damaged(self, bundle_id: BundleId, now_ns: int) -> list[NodeOutput]:
        """A bundle was hit while it waited: what it said is said anew."""
        self._parts.left(bundle_id, acknowledged=False)
        told = self._told.pop(bundle_id, None)
        if told is not None:
            return self._unreadable(*told, now_ns)
        reply = self._replies.pop(bundle_id, None)
        if reply is None:
            return []
        question_id, size_bytes = reply
        self._downlink.backlog_bytes -= size_bytes
        return self.send_reply(question_id, now_ns)

    def _remember_settled(self, question_id: int) -> None:
        self._settled[question_id] = None
        if len(self._settled) > KEPT_SETTLED:
            del self._entries[self._settled.popitem(last=False)[0]]

    def send_part(self, question_id: int, text: str, now_ns: int) -> list[NodeOutput]:
        """An answer that is being written has come so far: what is new goes down, behind whole
        answers."""
        rate_bps = self._downlink.rate_bps(now_ns)
        if rate_bps is None or self._downlink.backlog_bytes:
            return []
        part = self._parts.next_part(question_id, text, rate_bps, now_ns)
        if part is None:
            return []
        left_ns = self._entries[question_id].deadline_ns - now_ns
        bundle_id, outputs = self._agent.send(
            codec.encode(part, texts=self._worth(now_ns)),
            lifetime_ms=lifetime_ms(left_ns),
            priority=PART_PRIORITY,
            now_ns=now_ns,
        )
        if bundle_id is not None:
            self._parts.sent(bundle_id, part, rate_bps, now_ns)
        return self._from_agent(outputs, now_ns)

    def tell_upload(self, have: Have, now_ns: int) -> list[NodeOutput]:
        """Say how an upload does."""
        _, outputs = self._agent.send(
            wire.encode(have), lifetime_ms=self._lifetime_ms, priority=HAVE_PRIORITY, now_ns=now_ns
        )
        return self._from_agent(outputs, now_ns)

    def announce(self, health: Health, now_ns: int) -> list[NodeOutput]:
        """Tell the ground what runs here."""
        payload = codec.encode(health)
        _, outputs = self._agent.send(payload, lifetime_ms=self._lifetime_ms, now_ns=now_ns)
        return self._from_agent(outputs, now_ns)

    def send_beacon(self, health: Health, now_ns: int) -> list[NodeOutput]:
        """What was measured goes down behind all answers, while it is worth something."""
        vitals = health.vitals or message.Vitals()
        charged = replace(vitals, charge_permille=self._energy.charge_permille)
        _, outputs = self._agent.send(
            codec.encode(replace(health, vitals=charged)),
            lifetime_ms=beacons.LIFETIME_NS // NS_PER_MS,
            priority=beacons.PRIORITY,
            now_ns=now_ns,
        )
        return self._from_agent(outputs, now_ns)
