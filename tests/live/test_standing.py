"""A station that stands: asked from a terminal, stopped, and started again."""

from __future__ import annotations

import gc
import json
import re
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from roundtrip.scenario_file import load_scenario

pytestmark = pytest.mark.live


def groundloop(*words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "testbed", *words],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


def test_a_station_is_asked_and_goes_on_after_a_restart(start, near, port_of, tmp_path) -> None:
    words = ("testbed", "up", str(near), "--port", "0", "--out", str(tmp_path / "run"))
    program = start(*words)
    port = port_of(program)
    frame = "EPS.VBAT=7.1 V\nWhat is EPS.VBAT?"
    asked = groundloop("ask", "--port", port, stdin=frame)
    assert asked.returncode == 0, asked.stderr
    assert asked.stdout.strip()
    assert "on time: loop" in asked.stderr
    events = groundloop("ask", "Well?", "--port", port, "--json", "--deadline", "90s")
    kinds = [json.loads(line)["event"] for line in events.stdout.splitlines()]
    assert (kinds[0], kinds[-1]) == ("asked", "settled")
    status = groundloop("status", "--port", port)
    assert "link      up and down" in status.stdout
    assert "open      0" in status.stdout
    assert len(groundloop("answers", "--port", port, "--json").stdout.splitlines()) == 2
    twice = groundloop("up", str(near), "--port", "0", "--out", str(tmp_path / "run"))
    assert twice.returncode == 1
    assert "a run of another process" in twice.stderr
    found = groundloop("history", "eps.vb", "--port", port)
    assert frame.splitlines()[1] in found.stdout
    assert groundloop("history", "nothing like it", "--port", port).returncode == 1
    program.process.send_signal(signal.SIGINT)
    assert program.wait() == 0, program.output()
    (loops,) = (tmp_path / "run").glob("20??-??-??/loops.jsonl")
    assert {json.loads(line)["split"] for line in loops.read_text().splitlines()} == {"frame_log"}
    assert loops.with_name("report.html").exists()
    again = start(*words)
    port = port_of(again)
    assert len(groundloop("answers", "--port", port, "--json").stdout.splitlines()) == 2
    asked = groundloop("ask", "Well?", "--port", port, "--background")
    assert asked.stdout.strip().endswith("000002"), "ids are not used twice"
    again.process.send_signal(signal.SIGINT)
    assert again.wait() == 0, again.output()


def test_a_conversation_goes_on_when_the_node_has_lost_it(start, near, port_of, tmp_path) -> None:
    words = ("testbed", "up", str(near), "--port", "0", "--out", str(tmp_path / "run"))
    program = start(*words)
    port = port_of(program)
    frame = "EPS.VBAT=7.1 V\nWhat is EPS.VBAT?"
    chat = groundloop("chat", "--port", port, stdin="EPS.VBAT=7.1 V. What is EPS.VBAT?\nAgain?\n")
    assert chat.returncode == 0, chat.stderr
    assert chat.stderr.count("on time: loop") == 2
    last = re.search(r"go on with: groundloop chat --after (\w+)", chat.stderr)[1]
    asked = groundloop("ask", "--port", port, "--after", last, "--json", stdin=frame)
    ended = json.loads(asked.stdout.splitlines()[-1])
    assert (ended["after"], ended["outcome"]) == (last, "on_time")
    prompts = [one["prompt_tokens"] for one in reversed(_answers(port))]
    assert prompts[0] < prompts[1] < prompts[2], "each with what was said before"
    unknown = groundloop("ask", "Well?", "--port", port, "--after", "0" * 14)
    assert unknown.returncode == 104
    assert "after: expected one that was answered" in unknown.stderr
    program.process.send_signal(signal.SIGINT)
    assert program.wait() == 0, program.output()
    (tmp_path / "run" / "node.sqlite").unlink()
    again = start(*words)
    port = port_of(again)
    asked = groundloop("ask", "And now?", "--port", port, "--after", ended["id"])
    assert asked.returncode == 0, asked.stderr
    assert _answers(port)[0]["prompt_tokens"] > prompts[2]
    again.process.send_signal(signal.SIGINT)
    assert again.wait() == 0, again.output()


def _answers(port: str) -> list[dict[str, object]]:
    said = groundloop("answers", "--port", port, "--json").stdout
    return [json.loads(line) for line in said.splitlines()]


def test_a_station_under_the_real_sky_goes_on_with_its_plan(start, port_of, tmp_path) -> None:
    words = ("testbed", "up", "leo-now", "--port", "0", "--out", str(tmp_path / "run"))
    starts = []
    for question in ("Well?", "And now?"):
        program = start(*words)
        port = port_of(program, until=" carrier")
        asked = groundloop("ask", question, "--port", port, "--background")
        assert asked.returncode == 0, asked.stderr
        assert re.search(r"pass      [AL]OS in \d", groundloop("status", "--port", port).stdout)
        program.process.send_signal(signal.SIGINT)
        assert program.wait() == 0, program.output()
        starts.append(load_scenario(tmp_path / "run" / "scenario.toml").orbit.start)
    assert starts[0] == starts[1]
    assert "going on: 1 question open" in program.output()


def test_elsewhere_it_is_asked_with_a_token_over_tls(
    start, near, tmp_path, monkeypatch, certificate
) -> None:
    token = tmp_path / "token"
    token.write_text("a-token-of-some-length\n")
    options = ("--host", "0.0.0.0", "--port", "0", "--token-file", str(token))
    tls = ("--tls-cert", str(certificate[0]), "--tls-key", str(certificate[1]))
    program = start("testbed", "up", str(near), "--out", str(tmp_path / "run"), *options, *tls)
    program.wait_for("carrier up")
    port = re.search(r"https://0\.0\.0\.0:(\d+)", program.output())[1]
    monkeypatch.setenv("GROUNDLOOP_STATION", f"https://127.0.0.1:{port}")
    assert "trust its certificate" in groundloop("status").stderr
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    assert "a token is needed" in groundloop("status").stderr
    monkeypatch.setenv("GROUNDLOOP_TOKEN", "a-token-of-some-length")
    asked = groundloop("ask", "Well?")
    assert asked.returncode == 0, asked.stderr
    program.process.send_signal(signal.SIGINT)
    assert program.wait() == 0, program.output()
    refused = groundloop("up", str(near), "--host", "0.0.0.0", "--port", "0")
    assert refused.returncode == 104
    assert "--host: expected a token" in refused.stderr


@pytest.fixture
def certificate(tmp_path):
    """A certificate for 127.0.0.1 that signs itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "station")])
    now = datetime.now(UTC)
    host = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(host, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = tmp_path / "cert.pem", tmp_path / "key.pem"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    form = serialization.PrivateFormat.PKCS8
    paths[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, form, plain))
    return paths


def test_without_a_station_it_says_how_to_start_one() -> None:
    found = groundloop("ask", "Well?", "--port", "9")
    assert found.returncode == 1
    assert "start one with `groundloop up`" in found.stderr
    assert len(found.stderr.splitlines()) == 1


def test_real_clients_work_over_the_link(start, near, port_of, tmp_path) -> None:
    openai, ollama = pytest.importorskip("openai"), pytest.importorskip("ollama")
    program = start("testbed", "up", str(near), "--port", "0", "--out", str(tmp_path / "run"))
    url = f"http://127.0.0.1:{port_of(program)}"
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", timeout=60)
    asked = [{"role": "user", "content": "What is EPS.VBAT?"}]
    program.wait_for("node: ")
    (model,) = client.models.list().data
    whole = client.chat.completions.create(model=model.id, messages=asked)
    text = whole.choices[0].message.content
    assert text
    assert whole.usage.completion_tokens > 0
    chunks = client.chat.completions.create(model=model.id, messages=asked, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == text
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="other", messages=asked)
    there = ollama.Client(host=url)
    assert there.list().models[0].model == model.id
    assert there.chat(model=model.id, messages=asked).message.content == text
    parts = there.generate(model=model.id, prompt=asked[0]["content"], stream=True)
    assert "".join(part.response for part in parts) == text
    client.close()
    there._client.close()
    gc.collect()  # a connection that was left open is told here, not in another test
    program.process.send_signal(signal.SIGINT)
    assert program.wait() == 0, program.output()
