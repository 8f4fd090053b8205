"""Runs in pyd3tn's own environment: JSON lines in, JSON lines out. Knows nothing of ours."""

import json
import sys

import cbor2
from pyd3tn import bundle7


def content(block):
    return cbor2.loads(block.data) if isinstance(block.data, bytes) else block.data


def parsed(line):
    bundle = bundle7.Bundle.parse(bytes.fromhex(line["hex"]))
    primary = bundle.primary_block
    blocks = {int(block.block_type): block for block in bundle.blocks}
    hops, age = blocks.get(10), blocks.get(7)
    every = {id(block): block for block in (primary, *bundle.blocks, bundle.payload_block)}.values()
    return {
        "source": str(primary.source),
        "destination": str(primary.destination),
        "creation_ms": primary.creation_time[0],
        "sequence": primary.creation_time[1],
        "lifetime_ms": primary.lifetime,
        "payload": bytes(bundle.payload_block.data).hex(),
        "hops": None if hops is None else list(content(hops)),
        "age_ms": None if age is None else content(age),
        "crc_ok": all(
            block.crc_provided == block.calculate_crc()
            for block in every
            if block.crc_type != bundle7.CRCType.NONE
        ),
        "crc_types": sorted(int(block.crc_type) for block in every),
    }


def made(line):
    bundle = bundle7.create_bundle7(
        line["source"],
        line["destination"],
        bytes.fromhex(line["payload"]),
        crc_type_primary=bundle7.CRCType(line["crc"]),
        creation_timestamp=line["creation_unix_s"],
        sequence_number=line["sequence"],
        lifetime=line["lifetime_s"],
        hop_limit=line["hop_limit"],
        bundle_age=line["age_s"],
        crc_type_canonical=bundle7.CRCType(line["crc"]),
    )
    return {"hex": bytes(bundle).hex()}


for text in sys.stdin:
    line = json.loads(text)
    try:
        answer = (parsed if line["do"] == "parse" else made)(line)
    except Exception as error:  # noqa: BLE001 - whatever the peer does not like
        answer = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer), flush=True)
