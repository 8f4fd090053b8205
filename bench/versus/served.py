"""What runs on the node's side: a command that may be killed in the middle and started again, and a
worker that has a local llama_cpp.server answer what comes by ZeroMQ or MQTT.

    python -m bench.versus.served guard RESET_S -- CMD …
    python -m bench.versus.served zmq | mqtt
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

SERVER = "http://127.0.0.1:8000"
ZMQ_PORT, MQTT_PORT = 5570, 1883
WORKERS = 8


def guard(reset_s: float, command: list[str]) -> int:
    """Run a command; kill it and start it again at a time, if that is more than 0."""
    process = subprocess.Popen(command, start_new_session=True)

    def end(*_: object) -> None:
        os.killpg(process.pid, signal.SIGKILL)
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, end)
    if reset_s:
        time.sleep(reset_s)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process = subprocess.Popen(command, start_new_session=True)
    return process.wait()


def answered(body: dict[str, Any]) -> str:
    """What the local server says to a chat; it may still be loading."""
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
    if sys.argv[1] == "guard":
        return guard(float(sys.argv[2]), sys.argv[4:])
    {"zmq": by_zmq, "mqtt": by_mqtt}[sys.argv[1]]()
    return 0


if __name__ == "__main__":
    sys.exit(main())
