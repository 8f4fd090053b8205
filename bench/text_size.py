"""How many bytes texts take once they are packed, and how long that takes.

The English, Chinese and JSON texts are in `bench/texts/`, none of them in the dictionary; triage is
the shipped workload. `bench/text_contenders.py` compares other ways of packing them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from bench.row import Row
from roundtrip.message import MAX_TEXT_BYTES
from roundtrip.text.packing import pack, unpack

TEXTS = Path(__file__).parent / "texts"
WORKLOAD = Path(__file__).parent.parent / "testbed" / "scenarios" / "triage.jsonl"
In = TypeVar("In")
Out = TypeVar("Out")
REACH = {"triage": 0.35, "English": 0.65, "Chinese": 0.65, "JSON": 0.65}


def rows() -> list[Row]:
    """All of it."""
    sizes: list[Row] = []
    times_us: list[float] = []
    for name, texts in sets().items():
        packed, pack_us = timed(pack, texts)
        unpacked, unpack_us = timed(lambda value: unpack(value, MAX_TEXT_BYTES), packed)
        assert unpacked == texts
        assert all(size(short) <= size(text) for short, text in zip(packed, texts, strict=True))
        ratio = sum(map(size, packed)) / sum(map(size, texts))
        note = f"{len(texts)} texts of {sum(map(size, texts)) / len(texts):.0f} bytes on average"
        sizes.append(Row(f"{name} text: packed / raw", ratio, "", REACH[name], False, note))
        times_us += [pack_us, unpack_us]
    note = "mean of the slowest set"
    return [*sizes, Row("packing or unpacking a text", max(times_us) / 1e3, "ms", 20, False, note)]


def sets() -> dict[str, list[str]]:
    """The texts by set."""
    triage = [json.loads(line) for line in WORKLOAD.read_text(encoding="utf-8").splitlines()]
    return {
        "triage": [line[key] for line in triage for key in ("text", "expected")],
        "English": _texts("english"),
        "Chinese": _texts("chinese"),
        "JSON": _texts("json"),
    }


def timed(work: Callable[[In], Out], items: list[In]) -> tuple[list[Out], float]:
    """What work makes of each item, and the mean processor time, us."""
    begin_ns = time.process_time_ns()
    made = [work(item) for item in items]
    return made, (time.process_time_ns() - begin_ns) / len(items) / 1e3


def _texts(name: str) -> list[str]:
    lines = (TEXTS / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["text"] for line in lines]


def size(value: str | bytes) -> int:
    """Its bytes, in UTF-8."""
    return len(value.encode() if isinstance(value, str) else value)
