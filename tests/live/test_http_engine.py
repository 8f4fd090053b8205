"""A server on board as the engine: one that behaves, one that does not, and llama_cpp.server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from models.resolve import resolve
from node.engine import http_child
from node.engine.events import EngineDone, EngineFirstToken, EngineRefused, EngineWrote
from node.engine.http_child import Said, Server, ServerGone
from node.engine.supervisor import HTTP_CHILD, EngineConfig, EngineDown, EngineUp, Supervisor
from node.engine.wire import Load
from roundtrip.errors import BadModel
from tests.live.scenarios import LINK
from tests.live.test_supervisor import Watch, order

pytestmark = pytest.mark.live

Handler = Callable[[BaseHTTPRequestHandler, dict], None]


def event(handler: BaseHTTPRequestHandler, body: object) -> None:
    data = body if isinstance(body, bytes) else b"data: " + json.dumps(body).encode()
    handler.wfile.write(data + b"\n\n")
    handler.wfile.flush()


def says(handler: BaseHTTPRequestHandler, *texts: str, pause_s: float = 0.0) -> None:
    for text in texts:
        event(handler, {"choices": [{"delta": {"content": text}}]})
        time.sleep(pause_s)


def ends(handler: BaseHTTPRequestHandler, reason: str = "stop") -> None:
    event(handler, {"choices": [{"delta": {}, "finish_reason": reason}]})
    event(handler, {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 2}})
    event(handler, b"data: [DONE]")


class Stub:
    """Does with a question what its text says."""

    def __init__(self) -> None:
        self.asked: list[dict] = []
        self.hung_up = threading.Event()
        stub = self

        class Answering(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                self.reply(200, {"data": [{"id": "flying"}, {"id": "spare"}]})

            def reply(self, status: int, body: object) -> None:
                data = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                stub.asked.append(body)
                with contextlib.suppress(OSError):
                    said = body["messages"][-1]["content"]
                    self.answer(said if isinstance(said, str) else "an image")

            def answer(self, what: str) -> None:
                if what.startswith("status "):
                    return self.reply(int(what.split()[1]), {"error": {"message": "as you say"}})
                self.send_response(200)
                self.end_headers()
                match what:
                    case "half":
                        return says(self, "Ye")
                    case "junk":
                        return event(self, b"data: {junk")
                    case "hang":
                        says(self, "Ye")
                        stub.hung_up.wait(20)
                        return None
                    case "endless":
                        while True:
                            says(self, "and on ", pause_s=0.05)
                    case "slow":
                        time.sleep(1.5)
                    case "wrong counts":
                        says(self, "Yes", ".")
                        event(self, {"usage": {"prompt_tokens": -5, "completion_tokens": "2"}})
                        return event(self, {"choices": [{"delta": {}, "finish_reason": "stop"}]})
                says(self, "Yes", ".")
                return ends(self)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.hung_up.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def stub() -> Iterator[Stub]:
    made = Stub()
    yield made
    made.close()


def config(url: str, model: str = "flying", **changes: object) -> EngineConfig:
    load = Load(model, 512, 4, 0, "f16", False, True, "", "", url=url, **changes)
    return EngineConfig(load, command=HTTP_CHILD)


def outcome(stub: Stub, text: str, **changes: object) -> list[object]:
    """What comes of one question."""
    watch = Watch()

    async def scene() -> None:
        supervisor = Supervisor(config(stub.url, **changes), watch.events.append)
        await supervisor.start()
        supervisor.infer(order(1, text))
        for _ in range(1500):
            if any(
                isinstance(one, EngineDone | EngineRefused | EngineDown) for one in watch.events
            ):
                break
            await asyncio.sleep(0.01)
        await supervisor.close()

    asyncio.run(scene())
    return watch.events


def test_it_is_asked_for_its_speed_then_for_answers(stub: Stub) -> None:
    async def scene() -> None:
        watch = Watch()
        supervisor = Supervisor(config(stub.url), watch.events.append)
        up = await supervisor.start()
        assert (up.model, up.sequences, up.context, up.note) == ("flying", 4, 512, "")
        assert up.speed.prefill_ns > 0
        assert up.speed.step_ns[1] > 0
        for number in (1, 2, 3):
            supervisor.infer(order(number))
        for _ in range(3):
            done = await watch.until(EngineDone)
            watch.events.remove(done)
            assert isinstance(done, EngineDone)
            result = done.result
            assert (result.text, result.finish_reason) == ("Yes.", "stop")
            assert (result.prompt_tokens, result.output_tokens) == (9, 2)
        await supervisor.close()

    asyncio.run(scene())
    assert [body["messages"][-1]["content"] for body in stub.asked] == [
        http_child.PROBE, "Well?", "Well?", "Well?",
    ]  # fmt: skip
    assert {body["model"] for body in stub.asked} == {"flying"}


def test_a_name_that_it_does_not_have_means_its_first_model(stub: Stub) -> None:
    async def scene() -> None:
        supervisor = Supervisor(config(stub.url, "builtin"), lambda _: None)
        assert (await supervisor.start()).model == "flying"
        await supervisor.close()

    asyncio.run(scene())


def test_a_server_that_is_not_there_is_said_at_the_start() -> None:
    async def scene() -> None:
        with pytest.raises(BadModel, match=r"node\.engine.*http://127\.0\.0\.1:9"):
            await Supervisor(config("http://127.0.0.1:9"), lambda _: None).start()

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("text", "reason"), [("status 500", "engine_failed"), ("status 400", "no_answer")]
)
def test_a_refusal_is_of_that_question_alone(stub: Stub, text: str, reason: str) -> None:
    (refused,) = [one for one in outcome(stub, text) if isinstance(one, EngineRefused)]
    assert refused.reason == reason
    assert "as you say" in refused.detail


def test_an_answer_that_does_not_keep_to_its_schema_is_refused(stub: Stub) -> None:
    async def scene(schema: str) -> object:
        watch = Watch()
        supervisor = Supervisor(config(stub.url), watch.events.append)
        await supervisor.start()
        supervisor.infer(order(1, schema=schema))
        while not (found := [o for o in watch.events if isinstance(o, EngineDone | EngineRefused)]):
            await asyncio.sleep(0.01)
        await supervisor.close()
        return found[0]

    refused = asyncio.run(scene('{"type": "integer"}'))
    assert isinstance(refused, EngineRefused)
    assert (refused.reason, "its schema" in refused.detail) == ("no_answer", True)
    unkept = asyncio.run(scene('{"pattern": "x"}'))
    assert isinstance(unkept, EngineRefused)
    assert unkept.reason == "bad_schema"


@pytest.mark.parametrize("text", ["half", "junk"])
def test_a_server_that_leaves_in_the_middle_is_an_engine_that_died(stub: Stub, text: str) -> None:
    (down,) = [one for one in outcome(stub, text) if isinstance(one, EngineDown)]
    assert (down.reason, down.final) == ("the server is gone", False)


def test_a_server_that_comes_back_is_taken_again(stub: Stub) -> None:
    async def scene() -> None:
        watch = Watch()
        supervisor = Supervisor(config(stub.url), watch.events.append)
        await supervisor.start()
        supervisor.infer(order(1, "half"))
        await watch.until(EngineDown)
        up = await watch.until(EngineUp)
        assert isinstance(up, EngineUp)
        assert up.restarts == 1
        supervisor.infer(order(2))
        done = await watch.until(EngineDone)
        assert isinstance(done, EngineDone)
        assert done.question_id == 2
        await supervisor.close()

    asyncio.run(scene())


def test_a_slow_first_token_and_wrong_counts_are_no_harm(stub: Stub) -> None:
    (done,) = [one for one in outcome(stub, "slow") if isinstance(one, EngineDone)]
    assert done.result.text == "Yes."
    (done,) = [one for one in outcome(stub, "wrong counts") if isinstance(one, EngineDone)]
    assert (done.result.prompt_tokens, done.result.output_tokens) == (0, 2), "pieces count then"


@pytest.mark.parametrize("text", ["hang", "endless"])
def test_a_cut_closes_the_stream_and_gives_what_there_is(stub: Stub, text: str) -> None:
    watch = Watch()

    async def scene() -> None:
        supervisor = Supervisor(config(stub.url, tell_ns=10**8), watch.events.append)
        await supervisor.start()
        supervisor.infer(order(1, text))
        await watch.until(EngineFirstToken)
        if text == "endless":
            await watch.until(EngineWrote)
        supervisor.cut(1)
        await watch.until(EngineDone)
        await supervisor.close()

    asyncio.run(scene())
    (done,) = [one for one in watch.events if isinstance(one, EngineDone)]
    assert done.result.finish_reason == "deadline"
    assert done.result.text.startswith("Ye" if text == "hang" else "and on")
    assert not [one for one in watch.events if isinstance(one, EngineDown)]


def test_one_that_says_nothing_for_too_long_is_gone(
    stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_child, "SILENT_S", 0.3)
    body = {"messages": [{"role": "user", "content": "hang"}]}
    said: list[Said] = []
    with pytest.raises(ServerGone, match="timed out"):
        said += Server(stub.url).ask(body, lambda _: None)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@pytest.fixture
def llama_server() -> Iterator[str]:
    pytest.importorskip("sse_starlette")
    port = free_port()
    command = [
        sys.executable, "-m", "llama_cpp.server", "--model", str(resolve("builtin")),
        "--port", str(port), "--n_ctx", "1024", "--n_threads", "1", "--verbose", "false",
        "--chat_template_kwargs", '{"enable_thinking": false}',
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(300):
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{url}/v1/models", timeout=5)
                break
            time.sleep(0.1)
        yield url
    finally:
        process.kill()
        process.wait()


SCENARIO = (
    LINK
    + """[workload]
questions_file = "{questions}"
system = "You watch the telemetry of a satellite. Answer from the frame, exactly and briefly."
temperature = 0
count = 10
rate_per_min = 120
max_tokens = 160
[node]
engine = "{url}"
context = 1024
"""
)


def test_a_real_server_answers_over_the_link(start, tmp_path: Path, llama_server: str) -> None:
    questions = Path(__file__).parents[2] / "testbed" / "scenarios" / "triage.jsonl"
    path = tmp_path / "scenario.toml"
    path.write_text(SCENARIO.format(questions=questions, url=llama_server))
    program = start("testbed", "run", str(path), "--out", str(tmp_path / "run"))
    assert program.wait() == 0, program.output()
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert (summary["right"], summary["outcomes"]["on_time"]) == (10, 10)
    assert summary["node"]["model"].endswith("triage-Q8_0.gguf")
    assert "the engine is the server at" in program.output()
