"""`models pull` against a server on loopback that imitates the hub, well and badly."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

pytestmark = pytest.mark.live

ROOT = Path(__file__).parents[2]
GOOD = bytes(range(256)) * 98_304
"""24 MiB that stand for a model: the hub's client writes pieces of 10 MB."""


class Hub(ThreadingHTTPServer):
    """One file, served as the hub does."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = GOOD
        self.break_off_at: int | None = None
        self.status: int | None = None
        self.ranges: list[str | None] = []

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        hub = self.server
        if hub.status is not None or "/resolve/" not in self.path:
            self.send_response(hub.status or 404)
            self.send_header("Content-Length", "0")
            if hub.status == 429:
                self.send_header("Retry-After", "0")
            self.end_headers()
            return
        start = 0
        asked = self.headers.get("Range")
        if body:
            hub.ranges.append(asked)
        if asked:
            start = int(asked.removeprefix("bytes=").split("-")[0])
        content = hub.content[start:]
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(len(content)))
        if asked:
            total = len(hub.content)
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        self.send_header("ETag", f'"{hashlib.sha256(hub.content).hexdigest()}"')
        self.send_header("X-Repo-Commit", hashlib.sha1(hub.content).hexdigest())
        self.end_headers()
        if not body:
            return
        if hub.break_off_at is not None:
            self.wfile.write(content[: hub.break_off_at])
            self.wfile.flush()
            self.connection.close()
            return
        self.wfile.write(content)


@pytest.fixture
def hub() -> Iterator[Hub]:
    server = Hub()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


class Puller:
    """Runs `groundloop models pull` with caches of its own."""

    def __init__(self, folder: Path, endpoint: str) -> None:
        self.folder = folder
        self.catalogue = folder / "catalogue.toml"
        self.environment = os.environ | {
            "HF_ENDPOINT": endpoint,
            "HF_HOME": str(folder / "hf"),
            "GROUNDLOOP_CACHE": str(folder / "cache"),
            "HF_HUB_DISABLE_TELEMETRY": "1",
        }
        self.publish(len(GOOD), hashlib.sha256(GOOD).hexdigest())

    def publish(self, size: int, checksum: str) -> None:
        self.catalogue.write_text(
            f'[[model]]\nname = "small"\nrepository = "org/small"\nrevision = "main"\n'
            f'file = "small.gguf"\nbytes = {size}\nsha256 = "{checksum}"\n'
            f'licence = "Apache-2.0"\ndownloaded = false\n'
        )

    def __call__(self, *options: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "testbed", "models", "pull", "small"]
        return subprocess.run(
            [*command, "--catalogue", str(self.catalogue), *options],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def files(self) -> list[Path]:
        return [path for path in self.folder.rglob("small.gguf") if path.exists()]


@pytest.fixture
def pull(tmp_path: Path, hub: Hub) -> Puller:
    return Puller(tmp_path, hub.endpoint)


def error_of(result: subprocess.CompletedProcess[str]) -> str:
    assert "Traceback" not in result.stderr, result.stderr
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    return line


def test_a_model_is_fetched_verified_and_not_fetched_again(pull: Puller, hub: Hub) -> None:
    first = pull()
    assert first.returncode == 0, first.stderr
    assert "verified" in first.stdout
    assert [path.read_bytes() == GOOD for path in pull.files()] == [True]
    assert pull().returncode == 0
    assert pull("--offline").returncode == 0
    assert len(hub.ranges) == 1


def test_a_download_that_broke_off_goes_on_where_it_was(pull: Puller, hub: Hub) -> None:
    hub.break_off_at = 15_000_000
    first = pull()
    if first.returncode != 0:
        assert "pull small" in error_of(first)
        assert pull.files() == []
        hub.break_off_at = None
        assert pull().returncode == 0
    assert hub.ranges[0] is None
    assert hub.ranges[1] is not None
    assert int(hub.ranges[1].removeprefix("bytes=").rstrip("-")) >= 10_000_000
    assert [path.read_bytes() == GOOD for path in pull.files()] == [True]


def test_wrong_bytes_are_refused_and_not_kept(pull: Puller, hub: Hub) -> None:
    hub.content = GOOD[:-1] + b"!"
    result = pull()
    assert result.returncode == 104
    assert "sha256" in error_of(result)
    assert pull.files() == []
    hub.content = GOOD
    assert pull().returncode == 0


def test_a_wrong_size_is_refused(pull: Puller, hub: Hub) -> None:
    hub.content = GOOD[:1000]
    result = pull()
    assert result.returncode == 104
    assert f"expected {len(GOOD)} bytes, found 1000" in error_of(result)
    assert pull.files() == []


def test_a_wrong_file_leaves_a_good_one_of_before_alone(pull: Puller, hub: Hub) -> None:
    assert pull().returncode == 0
    good = pull.files()
    pull.publish(len(GOOD), "0" * 64)
    hub.content = GOOD[::-1]
    assert pull().returncode == 104
    pull.publish(len(GOOD), hashlib.sha256(GOOD).hexdigest())
    assert pull.files() == good
    hub.status = 500
    assert pull().returncode == 0, "found in the cache, without the server"


@pytest.mark.parametrize(("status", "word"), [(404, "404"), (429, "429"), (500, "500")])
def test_what_the_server_refuses_is_one_line(
    pull: Puller, hub: Hub, status: int, word: str
) -> None:
    hub.status = status
    result = pull()
    assert result.returncode == 1, result.stderr
    assert "pull small" in error_of(result)


def test_a_server_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    result = Puller(tmp_path, "http://127.0.0.1:9")()
    assert result.returncode == 1
    assert "pull small" in error_of(result)


def test_offline_says_that_it_is_not_in_the_cache(pull: Puller, hub: Hub) -> None:
    result = pull("--offline")
    assert result.returncode == 1
    assert "not in the cache" in error_of(result)
    pull.environment["HF_HUB_OFFLINE"] = "1"
    assert "not in the cache" in error_of(pull())
    assert hub.ranges == []


def test_an_unknown_name_says_which_there_are(pull: Puller) -> None:
    command = [sys.executable, "-m", "testbed", "models", "pull", "qwen9"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 104
    assert "qwen3-0.6b-q8_0" in error_of(result)


def test_the_list_shows_what_was_pulled(pull: Puller) -> None:
    command = [sys.executable, "-m", "testbed", "models", "list", "--json"]
    command += ["--catalogue", str(pull.catalogue)]

    def rows() -> dict[str, str]:
        out = subprocess.run(
            command, cwd=ROOT, env=pull.environment, capture_output=True, text=True, check=True
        ).stdout
        found = [json.loads(line) for line in out.splitlines()]
        return {row["name"]: row["where"] for row in found}

    assert rows()["small"].startswith("published")
    pull()
    assert rows()["small"] == "pulled and verified"
