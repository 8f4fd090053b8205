"""1,000 random plain bundles each way between our codec and pyd3tn's.

pyd3tn 0.15.2 pins an old cbor2, so it has an environment of its own, made once. It has no BPSec,
refuses a bundle with a block of a type it does not know, and does not check checksums when it
parses: the peer computes them for us. It makes lifetimes, ages and times in whole seconds.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dtn.bpv7.blocks import PrimaryBlock
from dtn.bpv7.bundle import Bundle, decode, encode, make_bundle
from dtn.bpv7.crc import CRC_16, CRC_32C, CRC_NONE

PEER = Path(__file__).parent / "pyd3tn_peer.py"
VERSION = "0.15.2"
COUNT = 1000
DTN_EPOCH_UNIX_S = 946_684_800


@pytest.fixture(scope="module")
def python() -> Path:
    """The interpreter that has pyd3tn."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    folder = cache / "groundloop" / f"pyd3tn-{VERSION}"
    found = folder / "bin" / "python"
    done = folder / "done"
    if not done.exists():
        try:
            subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
            subprocess.run(
                [str(found), "-m", "pip", "install", "-q", f"pyd3tn=={VERSION}"], check=True
            )
        except (subprocess.CalledProcessError, OSError) as error:
            reason = f"pyd3tn cannot be installed: {error}"
            pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
        done.touch()
    return found


@pytest.fixture(scope="module")
def ask(python: Path) -> Iterator[Callable[[dict[str, Any]], dict[str, Any]]]:
    """Have the peer do one thing."""
    with subprocess.Popen(
        [str(python), str(PEER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def send(line: dict[str, Any]) -> dict[str, Any]:
            print(json.dumps(line), file=process.stdin, flush=True)
            answer: dict[str, Any] = json.loads(process.stdout.readline())
            assert "error" not in answer, (line, answer)
            return answer

        yield send
        process.stdin.close()


def drawn(rng: random.Random) -> Bundle:
    primary = PrimaryBlock(
        f"ipn:{rng.randint(1, 2**32)}.{rng.randint(0, 2**16)}",
        f"ipn:{rng.randint(1, 2**32)}.{rng.randint(1, 2**16)}",
        rng.choice((0, rng.randint(1, 2**41))),
        rng.choice((0, 23, 24, 2**32, rng.randint(0, 2**63))),
        rng.choice((1, 255, 256, rng.randint(1, 2**40))),
        crc_type=rng.choice((CRC_NONE, CRC_16, CRC_32C)),
    )
    payload = rng.randbytes(rng.choice((0, 1, 23, 24, 255, 256, rng.randint(0, 4000))))
    hop_limit = rng.choice((None, 1, 23, 24, 255))
    bundle = make_bundle(primary, payload, hop_limit=hop_limit, age_ms=rng.choice((0, 23, 10**6)))
    crc_types = (CRC_NONE, CRC_16, CRC_32C)
    blocks = tuple(replace(block, crc_type=rng.choice(crc_types)) for block in bundle.blocks)
    return replace(bundle, blocks=blocks)


def test_what_we_encode_the_peer_reads_as_we_meant_it(ask) -> None:
    rng = random.Random(1)
    for number in range(COUNT):
        bundle = drawn(rng)
        assert ask({"do": "parse", "hex": encode(bundle).hex()}) == {
            "source": bundle.source,
            "destination": bundle.destination,
            "creation_ms": bundle.primary.creation_ms,
            "sequence": bundle.primary.sequence,
            "lifetime_ms": bundle.lifetime_ms,
            "payload": bundle.payload.hex(),
            "hops": None if bundle.hops is None else list(bundle.hops),
            "age_ms": bundle.age_ms,
            "crc_types": sorted([bundle.primary.crc_type, *(b.crc_type for b in bundle.blocks)]),
            "crc_ok": True,
        }, f"bundle {number}"


def test_what_the_peer_encodes_we_read_as_it_meant_it(ask) -> None:
    rng = random.Random(2)
    for number in range(COUNT):
        line = {
            "do": "make",
            "source": f"ipn:{rng.randint(1, 2**32)}.{rng.randint(1, 2**16)}",
            "destination": f"ipn:{rng.randint(1, 2**32)}.{rng.randint(0, 2**16)}",
            "payload": rng.randbytes(rng.choice((0, 1, 23, 24, rng.randint(0, 4000)))).hex(),
            "crc": rng.choice((CRC_NONE, CRC_16, CRC_32C)),
            "creation_unix_s": rng.randint(DTN_EPOCH_UNIX_S + 1, 2**32),
            "sequence": rng.randint(0, 2**40),
            "lifetime_s": rng.randint(1, 10**6),
            "hop_limit": rng.choice((None, 1, 255)),
            "age_s": rng.choice((None, 0, 5)),
        }
        bundle = decode(bytes.fromhex(ask(line)["hex"]))
        assert bundle.source == line["source"], number
        assert bundle.destination == line["destination"]
        assert bundle.payload.hex() == line["payload"]
        assert bundle.primary.crc_type == line["crc"]
        assert bundle.primary.sequence == line["sequence"]
        assert bundle.lifetime_ms == line["lifetime_s"] * 1000
        unix_ms = bundle.primary.creation_ms + DTN_EPOCH_UNIX_S * 1000
        assert unix_ms == line["creation_unix_s"] * 1000
        assert bundle.age_ms == (None if line["age_s"] is None else line["age_s"] * 1000)
        assert bundle.hops == (None if line["hop_limit"] is None else (line["hop_limit"], 0))
