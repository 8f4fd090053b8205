"""What runs on the ground's side of the contenders that are not groundloop: asks each question at
its time, and notes what came back when.

    python -m bench.versus.client KIND QUESTIONS PER_MIN START_S ORIGIN OUT
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import openai
import zmq
import zmq.asyncio

from bench.versus.links import BUDGET_S, body_of
from bench.versus.served import H3_PORT, MQTT_PORT, SSH_PORT, ZMQ_PORT

ROOT = Path(__file__).parents[2]
URL = "http://10.42.0.2:8000"
FAILURES = (OSError, ValueError, httpx.HTTPError, openai.OpenAIError, zmq.ZMQError)
"""What the contenders' clients raise where nothing came back; TimeoutError and what curl_cffi
raises are OSErrors."""
Ask = Callable[[int, dict[str, Any]], Awaitable[str]]


@contextlib.asynccontextmanager
async def by_openai(*, stream: bool) -> Any:
    """The client as it comes, with a timeout of the budget and its own retries."""
    async with openai.AsyncOpenAI(base_url=f"{URL}/v1", api_key="none", timeout=BUDGET_S) as client:

        async def ask(_: int, body: dict[str, Any]) -> str:
            if not stream:
                reply = await client.chat.completions.create(**body)
                return reply.choices[0].message.content or ""
            parts = await client.chat.completions.create(**body, stream=True)
            return "".join([part.choices[0].delta.content or "" async for part in parts])

        yield ask


@contextlib.asynccontextmanager
async def by_retry() -> Any:
    """What an engineer writes in an afternoon: short time-outs, again and again with a growing
    pause, until the budget ends; a connection that failed is not used again."""
    limits = httpx.Limits(max_connections=100)
    async with httpx.AsyncClient(base_url=URL, limits=limits) as client:
        yield _retried(client.post, f"{URL}/v1/chat/completions")


def _retried(post: Callable[..., Any], url: str) -> Ask:
    async def ask(_: int, body: dict[str, Any]) -> str:
        pause_s, timeout_s = 0.5, 5.0
        while True:
            try:
                reply = await post(url, json=body, timeout=timeout_s)
                return str(reply.json()["choices"][0]["message"]["content"])
            except (httpx.HTTPError, OSError, KeyError, ValueError):
                await asyncio.sleep(pause_s)
                pause_s, timeout_s = min(8.0, 2 * pause_s), min(30.0, 2 * timeout_s)

    return ask


@contextlib.asynccontextmanager
async def by_h3() -> Any:
    """The same over HTTP/3: one QUIC connection for all of them."""
    from curl_cffi import AsyncSession

    async with AsyncSession(verify=False, http_version="v3only", max_clients=200) as session:
        yield _retried(session.post, f"https://10.42.0.2:{H3_PORT}/v1/chat/completions")


@contextlib.asynccontextmanager
async def by_ssh(folder: Path) -> Any:
    """A connection for each question, and another a second after one that failed."""
    remote = f"cd {ROOT} && exec {sys.executable} -m bench.versus.served one {folder}"
    command = [
        "ssh", "-F", "none", "-i", f"{folder}/key", "-p", str(SSH_PORT), "-o", "BatchMode=yes",
        "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
        "-o", "LogLevel=ERROR", "root@10.42.0.2", remote,
    ]  # fmt: skip

    async def ask(_: int, body: dict[str, Any]) -> str:
        while True:
            pipe = asyncio.subprocess.PIPE
            process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
            try:
                said, _ = await process.communicate(json.dumps(body).encode())
            finally:
                if process.returncode is None:
                    process.kill()
            if process.returncode == 0:
                return said.decode()
            await asyncio.sleep(1)

    yield ask


@contextlib.asynccontextmanager
async def by_zmq() -> Any:
    """Lazy pirate: a REQ socket for each question, closed and made anew when nothing comes."""
    context = zmq.asyncio.Context()

    async def ask(key: int, body: dict[str, Any]) -> str:
        while True:
            socket = context.socket(zmq.REQ)
            socket.setsockopt(zmq.LINGER, 0)
            socket.connect(f"tcp://10.42.0.2:{ZMQ_PORT}")
            try:
                await socket.send_multipart([b"%d" % key, json.dumps(body).encode()])
                if await socket.poll(5_000):
                    return (await socket.recv_multipart())[1].decode()
            finally:
                socket.close()

    yield ask
    context.destroy(0)


@contextlib.asynccontextmanager
async def by_mqtt() -> Any:
    """Through the broker beside it, QoS 2 both ways: stored until it can be forwarded."""
    import paho.mqtt.client as mqtt

    loop = asyncio.get_running_loop()
    waiting: dict[int, asyncio.Future[str]] = {}
    client = mqtt.Client(
        mqtt.CallbackAPIVersion.VERSION2,
        client_id="ground",
        clean_session=False,
        protocol=mqtt.MQTTv311,
    )
    client.max_inflight_messages_set(100)

    def came(message: Any) -> None:
        reply = json.loads(message.payload)
        future = waiting.pop(reply["key"], None)
        if future is not None and not future.done():
            future.set_result(reply["text"])

    client.on_message = lambda _c, _d, message: loop.call_soon_threadsafe(came, message)
    client.on_connect = lambda *_: client.subscribe("answers", qos=2)
    client.connect("10.42.0.1", MQTT_PORT)
    client.loop_start()

    async def ask(key: int, body: dict[str, Any]) -> str:
        waiting[key] = loop.create_future()
        client.publish("questions", json.dumps({"key": key, "body": body}), qos=2)
        return await waiting[key]

    yield ask
    client.loop_stop()


KINDS: dict[str, Callable[[Path], Any]] = {
    "openai": lambda _: by_openai(stream=False),
    "openai-stream": lambda _: by_openai(stream=True),
    "http-retry": lambda _: by_retry(),
    "h3": lambda _: by_h3(),
    "zmq": lambda _: by_zmq(),
    "mqtt": lambda _: by_mqtt(),
    "ssh": by_ssh,
}


async def run(
    kind: str, questions: Path, per_min: float, start_s: float, origin: float, folder: Path
) -> list[Any]:
    """Ask all of them; what became of each."""
    asked = [json.loads(line) for line in questions.read_text().splitlines()]

    async def one(index: int, ask: Ask) -> dict[str, Any]:
        intended = origin + start_s + index * 60 / per_min
        await asyncio.sleep(max(0.0, intended - time.monotonic()))
        text: str | None = None
        why = ""
        try:
            async with asyncio.timeout_at(
                asyncio.get_running_loop().time() + intended + BUDGET_S - time.monotonic()
            ):
                text = await ask(index, body_of(asked[index]["text"]))
        except FAILURES as error:
            why = type(error).__name__
        return {
            "index": index,
            "loop_s": time.monotonic() - intended if text is not None else None,
            "right": None if text is None else text.strip() == asked[index]["expected"],
            "why": why,
        }

    async with KINDS[kind](folder) as ask:
        return list(await asyncio.gather(*(one(index, ask) for index in range(len(asked)))))


def main() -> int:
    """See above."""
    kind, questions, per_min, start_s, origin, out = sys.argv[1:]
    times = float(per_min), float(start_s), float(origin)
    found = asyncio.run(run(kind, Path(questions), *times, Path(out).parent))
    Path(out).write_text("".join(json.dumps(line) + "\n" for line in found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
