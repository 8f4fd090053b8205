"""Whatever the link loses, repeats or reorders, each block and bundle arrives once, whole.

Both ends run on a small event loop of their own; the link's every choice comes from hypothesis by
way of one seed, so a failure is replayed by the values hypothesis prints.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from heapq import heappop, heappush

from hypothesis import example, given, settings
from hypothesis import strategies as st

from dtn.agent import (
    Acknowledged,
    AgentConfig,
    AgentOutput,
    BundleAgent,
    BundleReceived,
    Expired,
    Transmit,
)
from dtn.bpv7.bundle import BundleId
from dtn.ltp.engine import (
    BlockAcknowledged,
    BlockReceived,
    LtpConfig,
    LtpEngine,
    LtpOutput,
    SendFailed,
)

MS = 1_000_000
S = 1_000 * MS
ONE_WAY_NS = 5 * MS


@dataclass
class Link:
    """Frames on their way, each with its own fate."""

    rng: random.Random
    loss: float
    duplication: float
    jitter_ns: int
    late_ns: int = 0
    """Later than the engines know."""
    heap: list[tuple[int, int, int, bytes]] = field(default_factory=list)
    sent: int = 0
    count: int = 0

    def carry(self, to: int, frame: bytes, now_ns: int) -> None:
        self.sent += 1
        copies = 0 if self.rng.random() < self.loss else 1
        copies += self.rng.random() < self.duplication
        for _ in range(copies):
            at_ns = now_ns + ONE_WAY_NS + self.late_ns + self.rng.randrange(self.jitter_ns + 1)
            self.count += 1
            heappush(self.heap, (at_ns, self.count, to, frame))


LINKS = {
    "loss": st.floats(0, 0.35),
    "duplication": st.floats(0, 0.3),
    "jitter_ms": st.integers(0, 60),
    "seed": st.integers(0, 2**32),
}


@given(
    sizes=st.lists(st.integers(1, 3_000), min_size=1, max_size=6),
    accept_ms=st.integers(0, 150),
    checkpoint_bytes=st.sampled_from([200, 1_000, 1 << 16]),
    rate_bps=st.sampled_from([0, 100_000, 10_000_000]),
    **LINKS,
)
@settings(max_examples=400, deadline=None)
def test_blocks_arrive_once_and_whole(
    sizes: list[int],
    accept_ms: int,
    loss: float,
    duplication: float,
    jitter_ms: int,
    seed: int,
    checkpoint_bytes: int,
    rate_bps: int,
) -> None:
    link = Link(random.Random(seed), loss, duplication, jitter_ms * MS)
    engines = [
        LtpEngine(
            LtpConfig(n, 3 - n, mtu_bytes=150, retry_limit=60, checkpoint_bytes=checkpoint_bytes),
            rng=random.Random(seed + n),
        )
        for n in (1, 2)
    ]
    for engine in engines:
        engine.carrier(
            tx_up=True, rx_up=True, one_way_ns=ONE_WAY_NS, now_ns=0, tx_rate_bps=rate_bps
        )
    blocks = {
        engines[0].submit(random.Random(size).randbytes(size), now_ns=0): size for size in sizes
    }
    received: list[LtpOutput] = []
    acknowledged: list[LtpOutput] = []
    accepts: list[tuple[int, BlockReceived]] = []
    now_ns = 0
    for _ in range(60_000):
        outputs: list[LtpOutput] = []
        for n, engine in enumerate(engines):
            outputs += engine.timeout(now_ns=now_ns)
            while (leaving := engine.next_segment(now_ns=now_ns)) is not None:
                link.carry(1 - n, leaving[0], now_ns)
        while link.heap and link.heap[0][0] <= now_ns:
            _, _, to, frame = heappop(link.heap)
            outputs += engines[to].receive(frame, now_ns=now_ns)
        while accepts and accepts[0][0] <= now_ns:
            engines[1].accept(accepts.pop(0)[1].session, now_ns=now_ns)
        for output in outputs:
            assert not isinstance(output, SendFailed), output
            if isinstance(output, BlockReceived):
                received.append(output)
                accepts.append((now_ns + accept_ms * MS, output))
            elif isinstance(output, BlockAcknowledged):
                assert output.session not in [at[1].session for at in accepts]
                acknowledged.append(output)
        times = [engine.deadline[0] for engine in engines if engine.deadline is not None]
        times += [link.heap[0][0]] if link.heap else []
        times += [accepts[0][0]] if accepts else []
        if any(engine.has_pending for engine in engines):
            continue
        if not times:
            break
        now_ns = max(now_ns, min(times))
    assert {b.session: b.block for b in received if isinstance(b, BlockReceived)} == {
        session: random.Random(size).randbytes(size) for session, size in blocks.items()
    }
    assert len(received) == len(blocks)
    assert sorted(a.session for a in acknowledged if isinstance(a, BlockAcknowledged)) == sorted(
        blocks
    )
    assert all(engine.deadline is None and not engine.has_pending for engine in engines)


class Pair:
    """Two agents, a link, outages and crashes; every bundle received is on disk after a while."""

    def __init__(
        self,
        link: Link,
        outages: list[tuple[int, int, bool]],
        seed: int,
        crashes: list[tuple[int, int]] | None = None,
    ) -> None:
        self.link = link
        self.seed = seed
        self.lives = [0, 0]
        self.up = True
        self.crashes = sorted((at_ms * MS, n) for at_ms, n in crashes or [])
        self.disk: list[dict[BundleId, bytes]] = [{}, {}]
        """Bundles received, by identity: their payloads."""
        self.unsent: list[dict[BundleId, bytes]] = [{}, {}]
        """Bundles of ours not yet acknowledged, encoded."""
        self.now_ns = 0
        self.events: list[tuple[int, int, bool, bool]] = []
        """(time, order, link up, told)"""
        self.silent = False
        self.outputs: list[tuple[int, AgentOutput]] = []
        self.accepts: list[tuple[int, int, BundleId, bytes]] = []
        self.asks: list[tuple[int, int, int, bytes]] = []
        start = 0
        for gap_ms, length_ms, told in outages:
            start += gap_ms * MS
            heappush(self.events, (start, len(self.events), False, told))
            start += length_ms * MS
            heappush(self.events, (start, len(self.events), True, told))
        self.agents = [self._born(0), self._born(1)]
        for n in (0, 1):
            self.take(n, self._cue(n, up=True))

    def _born(self, n: int) -> BundleAgent:
        ltp = LtpConfig(n + 1, 2 - n, mtu_bytes=150)
        self.lives[n] += 1
        return BundleAgent(
            AgentConfig(f"ipn:{n + 1}.1", f"ipn:{2 - n}.1", ltp, 10**12),
            rng=random.Random(f"{self.seed}/{n}/{self.lives[n]}"),
        )

    def _crash(self, n: int) -> None:
        """Lose all but the disk, and start again from it."""
        self.accepts = sorted(entry for entry in self.accepts if entry[1] != n)
        self.agents[n] = self._born(n)
        self.agents[n].remember(self.disk[n])
        for data in self.unsent[n].values():
            self.agents[n].send_encoded(data, now_ns=self.now_ns)
        self.take(n, self._cue(n, up=self.up))

    def _cue(self, n: int, *, up: bool) -> list[AgentOutput]:
        return self.agents[n].carrier(
            tx_up=up, rx_up=up, tx_rate_bps=64_000, one_way_ns=ONE_WAY_NS, now_ns=self.now_ns
        )

    def ask(self, at_ns: int, n: int, payload: bytes) -> None:
        """One of them sends a bundle later."""
        heappush(self.asks, (at_ns, len(self.asks), n, payload))

    def _send(self, n: int, payload: bytes) -> None:
        bundle_id, outputs = self.agents[n].send(payload, lifetime_ms=10**7, now_ns=self.now_ns)
        assert bundle_id is not None
        self.unsent[n][bundle_id] = self.agents[n].encoded(bundle_id)
        self.take(n, outputs)

    def take(self, n: int, outputs: list[AgentOutput]) -> None:
        for output in outputs:
            if isinstance(output, Transmit):
                if not self.silent:
                    self.link.carry(1 - n, output.frame, self.now_ns)
                continue
            self.outputs.append((n, output))
            if isinstance(output, BundleReceived):
                bundle = output.bundle
                heappush(self.accepts, (self.now_ns + 20 * MS, n, bundle.id, bundle.payload))
            elif isinstance(output, Acknowledged):
                assert output.bundle_id in self.disk[1 - n]
                del self.unsent[n][output.bundle_id]

    def step(self) -> bool:
        """Go to the next thing that happens; False when only lifetimes are left to wait for."""
        times = [d[0] for d in (a.deadline for a in self.agents) if d and d[1] != "lifetime"]
        for heap in (self.link.heap, self.accepts, self.asks, self.events, self.crashes):
            times += [heap[0][0]] if heap else []
        if not times:
            return False
        self.now_ns = max(self.now_ns, min(times))
        while self.events and self.events[0][0] <= self.now_ns:
            _, _, up, told = heappop(self.events)
            self.silent = not up
            self.up = up or not told
            for n in (0, 1) if told else ():
                self.take(n, self._cue(n, up=up))
        while self.crashes and self.crashes[0][0] <= self.now_ns:
            self._crash(self.crashes.pop(0)[1])
        while self.accepts and self.accepts[0][0] <= self.now_ns:
            _, n, bundle_id, payload = heappop(self.accepts)
            assert bundle_id not in self.disk[n], "delivered twice"
            self.disk[n][bundle_id] = payload
            self.take(n, self.agents[n].accept(bundle_id, now_ns=self.now_ns))
        while self.asks and self.asks[0][0] <= self.now_ns:
            self._send(*heappop(self.asks)[2:])
        while self.link.heap and self.link.heap[0][0] <= self.now_ns:
            _, _, n, frame = heappop(self.link.heap)
            if not self.silent:
                self.take(n, self.agents[n].receive(frame, now_ns=self.now_ns))
        for n in (0, 1):
            self.take(n, self.agents[n].timeout(now_ns=self.now_ns))
        return True


OUTAGES = st.lists(
    st.tuples(st.integers(0, 3_000), st.integers(1, 20_000), st.booleans()), max_size=3
)


def run_pair(
    sizes: list[int],
    outages: list[tuple[int, int, bool]],
    link: Link,
    seed: int,
    crashes: list[tuple[int, int]] | None = None,
) -> tuple[list[tuple[int, BundleId, bytes]], Pair]:
    """Send from both ends, and run until all is quiet."""
    pair = Pair(link, outages, seed, crashes)
    sent: list[tuple[int, BundleId, bytes]] = []
    for index, size in enumerate(sizes):
        payload = random.Random(index).randbytes(size)
        n = index % 2
        bundle_id, outputs = pair.agents[n].send(
            payload, lifetime_ms=10**7, priority=index % 3, now_ns=0
        )
        assert bundle_id is not None
        pair.unsent[n][bundle_id] = pair.agents[n].encoded(bundle_id)
        pair.take(n, outputs)
        sent.append((n, bundle_id, payload))
    for _ in range(60_000):
        if not pair.step():
            break
    return sent, pair


@given(sizes=st.lists(st.integers(0, 2_000), min_size=1, max_size=8), outages=OUTAGES, **LINKS)
@settings(max_examples=300, deadline=None)
def test_bundles_arrive_once_and_whole(
    sizes: list[int],
    outages: list[tuple[int, int, bool]],
    loss: float,
    duplication: float,
    jitter_ms: int,
    seed: int,
) -> None:
    link = Link(random.Random(seed), loss, duplication, jitter_ms * MS)
    sent, pair = run_pair(sizes, outages, link, seed)
    delivered = {
        (1 - n, output.bundle.id): output.bundle.payload
        for n, output in pair.outputs
        if isinstance(output, BundleReceived)
    }
    assert delivered == {(n, bundle_id): payload for n, bundle_id, payload in sent}
    counts = [type(output) for _, output in pair.outputs]
    assert counts.count(BundleReceived) == counts.count(Acknowledged) == len(sent)
    assert Expired not in counts
    assert [agent.queued_bundles for agent in pair.agents] == [0, 0]


@given(
    sizes=st.lists(st.integers(0, 2_000), min_size=1, max_size=8),
    outages=OUTAGES,
    crashes=st.lists(st.tuples(st.integers(0, 3_000), st.integers(0, 1)), max_size=4),
    **LINKS,
)
@example(
    sizes=[0, 884, 1014],
    outages=[],
    crashes=[(170, 1)],
    loss=0.0,
    duplication=0.0,
    jitter_ms=40,
    seed=1,
)
@example(
    sizes=[902, 300, 0, 1041, 0],
    outages=[],
    crashes=[(152, 1)],
    loss=0.16507860999607982,
    duplication=0.2219618528260162,
    jitter_ms=39,
    seed=156,
)
@settings(max_examples=300, deadline=None)
def test_bundles_survive_crashes_of_either_end(
    sizes: list[int],
    outages: list[tuple[int, int, bool]],
    crashes: list[tuple[int, int]],
    loss: float,
    duplication: float,
    jitter_ms: int,
    seed: int,
) -> None:
    """What is on disk at the end is what was sent, each bundle once; all are acknowledged."""
    link = Link(random.Random(seed), loss, duplication, jitter_ms * MS)
    sent, pair = run_pair(sizes, outages, link, seed, crashes)
    for n in (0, 1):
        expected = {bundle_id: payload for by, bundle_id, payload in sent if by != n}
        assert pair.disk[n] == expected
    assert pair.unsent == [{}, {}]


def test_the_same_seed_gives_the_same_run() -> None:
    runs = []
    for _ in range(2):
        link = Link(random.Random(4), 0.2, 0.1, 20 * MS)
        sent, pair = run_pair([500, 1_000, 20, 3_000], [(500, 3_000, False)], link, 4)
        runs.append((sent, pair.outputs, pair.now_ns, link.count))
    assert runs[0] == runs[1]


MAGNITUDES = st.tuples(st.integers(0, 4), st.integers(0, 60_000)).map(lambda p: p[1] // 10 ** p[0])
"""ms up to a minute."""
STORM = 15
PROBES_PER_S = 16
"""Each end asks once a second; each question has a report, and that an acknowledgment."""


@given(
    sizes=st.lists(st.integers(0, 1_000), min_size=1, max_size=8),
    every_ms=st.integers(0, 20_000),
    late_ms=MAGNITUDES,
    jitter_ms=MAGNITUDES,
    loss=st.floats(0, 0.2),
    duplication=st.floats(0, 0.3),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=200, deadline=None)
def test_late_frames_raise_no_storm(
    sizes: list[int],
    every_ms: int,
    late_ms: int,
    jitter_ms: int,
    loss: float,
    duplication: float,
    seed: int,
) -> None:
    """Frames may come much later than the light time that the engines know, and overtake. What is
    sent stays below STORM times what a perfect link takes for the same, and what asks whether the
    peer is there, before the first answers can have shown how late they are."""
    counts: list[int] = []
    for link in (
        Link(random.Random(seed), 0, 0, 0),
        Link(random.Random(seed), loss, duplication, jitter_ms * MS, late_ms * MS),
    ):
        pair = Pair(link, [], seed)
        for index, size in enumerate(sizes):
            pair.ask(index * every_ms * MS, index % 2, bytes(size))
        while pair.step():
            assert link.sent < 20_000
        assert [agent.queued_bundles for agent in pair.agents] == [0, 0]
        assert [len(disk) for disk in pair.disk] == [len(sizes) // 2, (len(sizes) + 1) // 2]
        counts.append(link.sent)
    round_trip_s = 2 * (late_ms + jitter_ms) / 1_000
    assert counts[1] <= STORM * counts[0] + PROBES_PER_S * round_trip_s, counts
