"""OpenAI's API over a live link: what it adds to a loop, and two hundred clients at once."""

from __future__ import annotations

import asyncio
import http.client
import json
import statistics
import tempfile
import time
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

from bench.dashboard import station
from bench.row import Row

LOOPS = 60
CLIENTS = 200
FRAME = "EPS.VBAT 7.10 V\nEPS.SOC 071 %\nWhat is EPS.SOC?"


def rows() -> list[Row]:
    """Times in ms, counts of questions."""
    with tempfile.TemporaryDirectory() as name:
        return [*_added(Path(name) / "one"), *_crowd(Path(name) / "two")]


def _added(folder: Path) -> list[Row]:
    folder.mkdir()
    added_ms: list[float] = []
    with station(folder, "geo-relay") as (url, _):
        connection = http.client.HTTPConnection(url.partition("//")[2])  # kept, as clients do
        for number in range(LOOPS):
            body = {"messages": [{"role": "user", "content": f"{number}\n{FRAME}"}]}
            begin = time.monotonic()
            connection.request("POST", "/v1/chat/completions", json.dumps(body))
            found = json.loads(connection.getresponse().read())
            spent_s = time.monotonic() - begin
            added_ms.append((spent_s - found["link"]["loop_s"]) * 1000)
    added_ms.sort()
    note = f"{LOOPS} loops, p90 {added_ms[LOOPS * 9 // 10]:.1f} ms"
    return [Row("gateway: added to a loop, p50", statistics.median(added_ms), "ms", 5, False, note)]


def _crowd(folder: Path) -> list[Row]:
    folder.mkdir()
    with station(folder, "leo-pass") as (url, _):
        begin = time.monotonic()
        ends = asyncio.run(_all(url))
        spent_s = time.monotonic() - begin
        with urllib.request.urlopen(f"{url}/api/questions?count=9999") as said:
            asked = Counter(one["text"] for one in json.load(said))
    told = sum(ends.values())
    twice = sum(count > 1 for count in asked.values())
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(ends.items()))
    lost = CLIENTS - told + CLIENTS - len(asked)
    return [
        Row(
            f"{CLIENTS} clients at once over leo-pass: lost or doubled",
            lost + twice,
            "questions",
            0,
            False,
            f"{kinds}; in {spent_s:.0f} s",
        )
    ]


async def _all(url: str) -> Counter[str]:
    from openai import AsyncOpenAI

    async with AsyncOpenAI(base_url=f"{url}/v1", api_key="none", timeout=600) as client:
        ends = await asyncio.gather(*(_one(client, number) for number in range(CLIENTS)))
    return Counter(ends)


async def _one(client: Any, number: int) -> str:
    from openai import APIError

    asked = [{"role": "user", "content": f"{number}\n{FRAME}"}]
    text = ""
    try:
        stream = await client.chat.completions.create(
            model="groundloop", messages=asked, stream=True
        )
        async for chunk in stream:
            text += (chunk.choices[0].delta.content or "") if chunk.choices else ""
    except APIError as error:
        return str(getattr(error, "code", None) or error)[:40]
    return "answered right" if "71" in text else "answered wrong" if text else "empty"
