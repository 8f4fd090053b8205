"""`python -m tests.fuzz.forged [COUNT]`: how many of so many changed compressed bundles are taken.

Each is a genuine one, secured or not, with bits flipped, bytes changed, cut, put in or doubled, or
the pieces of two; an agent that has the keys gets it as an LTP block. None may be delivered.
"""

from __future__ import annotations

import random
import sys

from dtn.agent import BundleAgent, BundleReceived
from dtn.ltp.segment import DataSegment, Kind, SessionId, encode
from tests.fuzz.targets import NODE_CONFIG, SERVICE, compressed, security


def changed(data: bytes, rng: random.Random) -> bytes:
    """A bundle after one to three changes."""
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(6):
            case 0 | 1 if at < len(data):
                data = data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]
            case 2 if at < len(data):
                data = data[:at] + rng.randbytes(1) + data[at + 1 :]
            case 3:
                data = data[:at] + data[at + rng.randrange(1, 5) :]
            case 4:
                data = data[:at] + rng.randbytes(rng.randrange(1, 5)) + data[at:]
            case _:
                other = rng.choice(compressed())
                data = data[:at] + other[rng.randrange(len(other) + 1) :]
    return data


def accepted(count: int, seed: int) -> list[bytes]:
    """Those of so many that were delivered."""
    rng = random.Random(seed)
    genuine = compressed()
    agents = [_agent(secured=secured) for secured in (True, False)]
    found: list[bytes] = []
    for number in range(count):
        data = changed(rng.choice(genuine), rng)
        if not data or data in genuine:
            continue
        session = SessionId(1, 1 + number)
        frame = encode(DataSegment(Kind.RED_END_OF_BLOCK, session, SERVICE, 0, data, 5))
        for place, agent in enumerate(agents):
            outputs = agent.receive(frame, now_ns=0)
            if any(isinstance(output, BundleReceived) for output in outputs):
                found.append(data)
            if number % 500 == 499:  # what it still has to answer costs time, and says nothing
                agents[place] = _agent(secured=not place)
    return found


def _agent(*, secured: bool) -> BundleAgent:
    guard = security() if secured else None
    agent = BundleAgent(NODE_CONFIG, rng=random.Random(1), security=guard)
    agent.carrier(tx_up=True, rx_up=True, tx_rate_bps=10**9, one_way_ns=0, now_ns=0)
    return agent


if __name__ == "__main__":
    tried = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    print(f"{len(accepted(tried, 1))} of {tried:,} changed compressed bundles were taken")
