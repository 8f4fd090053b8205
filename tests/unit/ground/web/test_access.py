"""Who comes in: addresses, hosts, tokens, and how many at once."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import JSONResponse

from ground.web import access
from ground.web.access import Access, Allowance, Gate, read_token, refusal
from roundtrip.errors import BadConfig, BadInput

TOKEN = "a-token-of-some-length"


def judged(where: Access, *, path: str = "/api/status", method: str = "GET", **headers: str) -> Any:
    """Status, answer and headers of one request."""
    said: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await JSONResponse("in")(scope, receive, send)

    async def send(message: Any) -> None:
        said.append(message)

    given = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": method, "path": path, "headers": given, "query_string": b""}
    gate = Gate(app, where, refusal, lambda: 0.0)
    asyncio.run(gate({**scope, "scheme": "http", "server": ("x", 1)}, None, send))
    return said[0]["status"], said[1]["body"].decode(), dict(said[0]["headers"])


def basic(token: str, user: str = "me") -> str:
    return "Basic " + base64.b64encode(f"{user}:{token}".encode()).decode()


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.4", "::", "pi.local"])
def test_on_an_address_that_others_reach_a_token_is_needed(host: str) -> None:
    with pytest.raises(BadInput, match="--host: expected a token"):
        Access(host)
    assert Access(host, token=TOKEN).host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_on_loopback_none_is_needed(host: str) -> None:
    assert Access(host).token is None


def test_a_certificate_has_its_key() -> None:
    with pytest.raises(BadInput, match="both --tls-cert and --tls-key"):
        Access(certificate=Path("c.pem"))
    with pytest.raises(BadInput, match="both --tls-cert and --tls-key"):
        Access(key=Path("k.pem"))
    assert Access(port=9, certificate=Path("c"), key=Path("k")).url == "https://127.0.0.1:9"
    assert Access("::1", 9).url == "http://[::1]:9"


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8080", 200),
        ("localhost", 200),
        ("[::1]:80", 200),
        ("evil.example", 403),
        ("192.168.1.4", 403),
        ("127.0.0.1.evil.example", 403),
        ("", 403),
        ("[::1", 403),
    ],
)
def test_only_what_is_meant_for_this_machine_comes_in(host: str, status: int) -> None:
    assert judged(Access(), host=host)[0] == status


def test_with_a_token_it_may_be_called_by_addresses_and_names() -> None:
    where = Access("0.0.0.0", token=TOKEN, names=("pi.local",))
    bearer = f"Bearer {TOKEN}"
    for host, status in (("192.168.1.4", 200), ("pi.local", 200), ("evil.example", 403)):
        assert judged(where, host=host, authorization=bearer)[0] == status


@pytest.mark.parametrize(
    ("given", "status"),
    [
        (f"Bearer {TOKEN}", 200),
        (f"bearer {TOKEN}", 200),
        (basic(TOKEN), 200),
        (basic(TOKEN, ""), 200),
        ("", 401),
        (f"Bearer {TOKEN}x", 401),
        (f"Bearer {TOKEN[:-1]}", 401),
        (basic("other"), 401),
        ("Basic !!", 401),
        ("Basic /w==", 401),
        (TOKEN, 401),
        (f"Digest {TOKEN}", 401),
    ],
)
def test_the_token_is_the_bearers_or_the_password(given: str, status: int) -> None:
    where = Access(token=TOKEN)
    found, _, headers = judged(where, host="localhost", authorization=given)
    assert found == status
    assert (b"www-authenticate" in headers) is (status == 401)


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost:1", "x"])
def test_a_page_of_another_origin_is_kept_out(origin: str) -> None:
    assert judged(Access(), host="localhost:8080", origin=origin)[0] == 403
    assert judged(Access(), host="localhost:8080", origin="http://localhost:8080")[0] == 200


def test_a_refusal_is_in_the_shape_of_its_api() -> None:
    _, openai, _ = judged(Access(token=TOKEN), path="/v1/models", host="localhost")
    assert '"type":"authentication_error"' in openai
    assert '"code":"invalid_api_key"' in openai
    _, ollama, _ = judged(Access(token=TOKEN), path="/api/chat", host="localhost")
    assert ollama == '{"error":"a token is needed, as bearer or as password"}'


def test_so_many_at_once_and_then_so_many_a_second() -> None:
    now_s = [0.0]
    allowance = Allowance(2, 3, lambda: now_s[0])
    assert [allowance.take() for _ in range(4)] == [0, 0, 0, 0.5]
    now_s[0] = 0.5
    assert [allowance.take(), allowance.take()] == [0, 0.5]
    now_s[0] = 100
    assert [allowance.take() for _ in range(4)] == [0, 0, 0, 0.5]


def test_asking_faster_than_that_is_refused_with_when_to_come_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(access, "ASKED_AT_ONCE", 0)
    status, said, headers = judged(Access(), method="POST", path="/v1/responses", host="localhost")
    assert (status, headers[b"retry-after"]) == (429, b"1")
    assert "rate_limit_exceeded" in said
    assert judged(Access(), host="localhost")[0] == 200, "looking is free"


def test_so_many_requests_are_open_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "MAX_STREAMS", 0)
    status, said, _ = judged(Access(), host="localhost")
    assert (status, said) == (503, '{"error":"0 requests are open already"}')


@pytest.mark.parametrize("text", ["short", "", "with spaces in it, and long", "x" * 15 + "\x07"])
def test_a_token_file_holds_a_token(tmp_path: Path, text: str) -> None:
    path = tmp_path / "token"
    path.write_text(text)
    with pytest.raises(BadConfig, match="a token of 16 characters or more"):
        read_token(path)
    path.write_text(TOKEN + "\n")
    assert read_token(path) == TOKEN
    with pytest.raises(BadConfig, match="a file with a token"):
        read_token(tmp_path / "none")
