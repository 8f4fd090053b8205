"""What runs on the node's side: a command that may be killed in the middle and started again, and
what answers there. Each answer that is begun is a line `executed` in the log.

    python -m bench.versus.served guard RESET_S -- CMD …
    python -m bench.versus.served node ARGS …    groundloop's
    python -m bench.versus.served zmq | mqtt     a worker that has a local llama_cpp.server answer
    python -m bench.versus.served h3 FOLDER      llama_cpp.server's application over HTTP/3
    python -m bench.versus.served one FOLDER     one chat from standard input, as llama.cpp's
                                                 command line does it: the model is loaded for it
    python -m bench.versus.served raw FOLDER FILE   what llama.cpp takes for a file's questions
"""

from __future__ import annotations

import json
import signal
import statistics
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from bench.versus.links import body_of

SERVER = "http://127.0.0.1:8000"
ZMQ_PORT, MQTT_PORT, H3_PORT, SSH_PORT = 5570, 1883, 8443, 2222
WORKERS = 8
CONFIG = "server.json"
"""Of llama_cpp.server, in a contender's folder."""


def guard(reset_s: float, command: list[str]) -> int:
    """Run a command; kill it and start it again at a time, if that is more than 0."""
    process = psutil.Popen(command)

    def kill() -> None:
        """All of it, whatever session it is in."""
        for one in (process, *process.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                one.kill()
        process.wait()

    def end(*_: object) -> None:
        kill()
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, end)
    if reset_s:
        time.sleep(reset_s)
        kill()
        process = psutil.Popen(command)
    return int(process.wait())


def node(arguments: list[str]) -> None:
    """The node as it is."""
    from node.__main__ import node_command
    from node.service import NodeService
    from roundtrip.command import run_command

    infer = NodeService.infer

    def counted(self: Any, order: Any) -> None:
        print("executed", flush=True)
        infer(self, order)

    NodeService.infer = counted
    sys.argv = ["node", *arguments]
    run_command(node_command)


def by_h3(folder: str) -> None:
    """With a connection that lives through silences of a minute, as aioquic's do."""
    import asyncio

    from hypercorn.asyncio import serve
    from hypercorn.config import Config
    from llama_cpp.server.app import create_app
    from llama_cpp.server.settings import ConfigFileSettings, ServerSettings

    settings = ConfigFileSettings.model_validate_json((Path(folder) / CONFIG).read_text())
    how = Config()
    how.quic_bind = how.bind = [f"{settings.host}:{H3_PORT}"]
    how.certfile, how.keyfile = f"{folder}/cert", f"{folder}/key"
    how.accesslog = "-"
    app = create_app(
        server_settings=ServerSettings.model_validate(settings), model_settings=settings.models
    )
    asyncio.run(serve(app, how))


def _loaded(folder: str) -> Callable[[dict[str, Any]], str]:
    """The model of a folder, to be asked by calls of llama-cpp-python alone."""
    from llama_cpp import Llama

    settings = json.loads((Path(folder) / CONFIG).read_text())["models"][0]
    thinking = settings.pop("chat_template_kwargs")
    model: Any = Llama(settings.pop("model"), **settings)

    def say(body: dict[str, Any]) -> str:
        chat = {key: value for key, value in body.items() if key != "model"}
        reply = model._chat_handlers[model.chat_format](llama=model, **chat, **thinking)
        return str(reply["choices"][0]["message"]["content"])

    return say


def one(folder: str) -> None:
    """Read a chat, write what it says."""
    print(_loaded(folder)(json.load(sys.stdin)))


def raw(folder: str, questions: str) -> None:
    """Write the medians of a question's time (s) and of its and its answer's texts (bytes)."""
    say = _loaded(folder)
    times, asked, answers = [], [], []
    for line in Path(questions).read_text().splitlines():
        text = json.loads(line)["text"]
        begun = time.perf_counter()
        answers.append(len(say(body_of(text)).encode()))
        times.append(time.perf_counter() - begun)
        asked.append(len(text.encode()))
    found = {"inference_s": times, "question_bytes": asked, "answer_bytes": answers}
    print(json.dumps({name: statistics.median(values) for name, values in found.items()}))


def answered(body: dict[str, Any]) -> str:
    """What the local server says to a chat; it may still be loading."""
    import httpx

    while True:
        try:
            reply = httpx.post(f"{SERVER}/v1/chat/completions", json=body, timeout=120)
            text: str = reply.json()["choices"][0]["message"]["content"]
        except (httpx.HTTPError, KeyError, ValueError):
            time.sleep(0.2)
        else:
            return text


def by_zmq() -> None:
    """A ROUTER; each request is answered once for each time that it comes."""
    import zmq

    context = zmq.Context()
    router = context.socket(zmq.ROUTER)
    router.bind(f"tcp://10.42.0.2:{ZMQ_PORT}")
    inner = context.socket(zmq.PULL)
    inner.bind("inproc://done")
    local = threading.local()

    def work(peer: bytes, key: bytes, body: bytes) -> None:
        print("executed", flush=True)
        text = answered(json.loads(body))
        if not hasattr(local, "push"):
            local.push = context.socket(zmq.PUSH)
            local.push.connect("inproc://done")
        local.push.send_multipart([peer, b"", key, text.encode()])

    poller = zmq.Poller()
    poller.register(router, zmq.POLLIN)
    poller.register(inner, zmq.POLLIN)
    with ThreadPoolExecutor(WORKERS) as pool:
        while True:
            for socket, _ in poller.poll():
                parts = socket.recv_multipart()
                if socket is inner:
                    router.send_multipart(parts)
                elif len(parts) == 4:
                    pool.submit(work, parts[0], parts[2], parts[3])


def by_mqtt() -> None:
    """A persistent session with the broker on the ground, QoS 2 both ways."""
    import paho.mqtt.client as mqtt

    client = mqtt.Client(
        mqtt.CallbackAPIVersion.VERSION2,
        client_id="node",
        clean_session=False,
        protocol=mqtt.MQTTv311,
    )
    client.max_inflight_messages_set(100)
    pool = ThreadPoolExecutor(WORKERS)

    def work(body: bytes) -> None:
        print("executed", flush=True)
        asked = json.loads(body)
        reply = {"key": asked["key"], "text": answered(asked["body"])}
        client.publish("answers", json.dumps(reply), qos=2)

    client.on_message = lambda _client, _data, message: pool.submit(work, message.payload)
    client.on_connect = lambda *_: client.subscribe("questions", qos=2)
    client.reconnect_delay_set(1, 2)
    while True:
        try:
            client.connect("10.42.0.1", MQTT_PORT, keepalive=10)
        except OSError:
            time.sleep(1)
        else:
            client.loop_forever(retry_first_connection=True)


def main() -> int:
    """See above."""
    what, *arguments = sys.argv[1:]
    if what == "guard":
        return guard(float(arguments[0]), arguments[2:])
    if what == "node":
        node(arguments)
    else:
        {"zmq": by_zmq, "mqtt": by_mqtt, "h3": by_h3, "one": one, "raw": raw}[what](*arguments)
    return 0


if __name__ == "__main__":
    sys.exit(main())
