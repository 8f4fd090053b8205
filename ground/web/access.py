"""Who may come in, and how much of it: `Host`, `Origin`, token, rate of questions, open streams.

On loopback there is no token. A browser page of another origin cannot ask: `Host` and `Origin` are
checked, and no answer carries CORS headers. Elsewhere a token is needed, as a bearer's or as the
password of HTTP's basic authentication, which browsers ask their user for.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from roundtrip.errors import BadConfig, BadInput

LOCAL = ("127.0.0.1", "localhost", "::1")
MIN_TOKEN_CHARS = 16
MAX_STREAMS = 512
"""Requests that are answered at once."""
ASKED_PER_S = 50.0
ASKED_AT_ONCE = 512
"""Questions that may come at once, after a while without any."""

Refuse = Callable[[HttpRequest, int, str], Response]


@dataclass(frozen=True, slots=True)
class Access:
    """Where the station listens, and for whom.

    Raises:
        BadInput: others could come in without a token, or a certificate has no key.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    token: str | None = None
    names: tuple[str, ...] = ()
    """By which it may be called besides."""
    certificate: Path | None = None
    key: Path | None = None

    def __post_init__(self) -> None:
        if not _is_loopback(self.host) and self.token is None:
            expected = "a token (--token-file) on an address that others reach"
            raise BadInput("station", "--host", expected, self.host)
        if (self.certificate is None) is not (self.key is None):
            raise BadInput("station", "--tls-cert", "both --tls-cert and --tls-key", "one of them")

    @property
    def url(self) -> str:
        """Where a browser on this machine finds it."""
        scheme = "https" if self.certificate is not None else "http"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{host}:{self.port}"


def read_token(path: Path) -> str:
    """The token in a file.

    Raises:
        BadConfig: there is none, or it is too short.
    """
    try:
        token = path.read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        raise BadConfig(str(path), "", "a file with a token", str(error)[:80]) from None
    if len(token) < MIN_TOKEN_CHARS or not token.isprintable() or " " in token:
        expected = f"a token of {MIN_TOKEN_CHARS} characters or more without spaces"
        raise BadConfig(str(path), "", expected, f"{len(token)} characters")
    return token


class Gate:
    """Lets in only what is meant for this station, and no more than it can bear.

    Args:
        app: what lies behind.
        access: for whom.
        refuse: makes the answer to those who are turned away, of request, status and reason.
        now_s: a clock, s.
    """

    def __init__(
        self, app: ASGIApp, access: Access, refuse: Refuse, now_s: Callable[[], float]
    ) -> None:
        self._app = app
        self._access = access
        self._refuse = refuse
        self._names = {*LOCAL, access.host, *access.names}
        self._busy = 0
        self._allowance = Allowance(ASKED_PER_S, ASKED_AT_ONCE, now_s)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refused = self._judge(HttpRequest(scope))
        if refused is not None:
            await refused(scope, receive, send)
            return
        self._busy += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._busy -= 1

    def _judge(self, request: HttpRequest) -> Response | None:
        host, origin = request.headers.get("host", ""), request.headers.get("origin")
        if not self._is_ours(host) or (origin is not None and urlsplit(origin).netloc != host):
            return self._refuse(request, 403, "this station is for this machine")
        if self._access.token is not None and not self._may(request, self._access.token):
            answer = self._refuse(request, 401, "a token is needed, as bearer or as password")
            answer.headers["www-authenticate"] = 'Basic realm="groundloop", charset="UTF-8"'
            return answer
        if self._busy >= MAX_STREAMS:
            return _later(self._refuse(request, 503, f"{MAX_STREAMS} requests are open already"), 1)
        if request.method == "POST" and (wait_s := self._allowance.take()):
            reason = f"more than {ASKED_PER_S:g} requests a second"
            return _later(self._refuse(request, 429, reason), wait_s)
        return None

    def _is_ours(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname
        except ValueError:
            return False
        if name is None:
            return False
        return name in self._names or (self._access.token is not None and _is_address(name))

    @staticmethod
    def _may(request: HttpRequest, token: str) -> bool:
        kind, _, given = request.headers.get("authorization", "").partition(" ")
        if kind.lower() == "basic":
            try:
                given = base64.b64decode(given, validate=True).decode().partition(":")[2]
            except (binascii.Error, UnicodeDecodeError):
                return False
        elif kind.lower() != "bearer":
            return False
        return hmac.compare_digest(given.strip().encode(), token.encode())


class Allowance:
    """So many a second, and so many at once after a while without any.

    Args:
        per_s, at_once: how many.
        now_s: a clock, s.
    """

    def __init__(self, per_s: float, at_once: int, now_s: Callable[[], float]) -> None:
        self._per_s = per_s
        self._most = float(at_once)
        self._now_s = now_s
        self._left = self._most
        self._at_s = now_s()

    def take(self) -> float:
        """Take one; 0, or in how many s there is one again."""
        now_s = self._now_s()
        self._left = min(self._most, self._left + (now_s - self._at_s) * self._per_s)
        self._at_s = now_s
        if self._left < 1:
            return (1 - self._left) / self._per_s
        self._left -= 1
        return 0.0


def _later(answer: Response, wait_s: float) -> Response:
    answer.headers["retry-after"] = str(max(1, round(wait_s)))
    return answer


def _is_loopback(host: str) -> bool:
    return host == "localhost" or (_is_address(host) and ip_address(host).is_loopback)


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def refusal(request: HttpRequest, status: int, what: str) -> Response:
    """A refusal in the shape of the API that was called: OpenAI's, Ollama's, or ours."""
    if request.url.path.startswith("/v1/"):
        kind = "invalid_request_error" if status < 429 else "server_error"
        kind = {401: "authentication_error", 429: "rate_limit_error"}.get(status, kind)
        code = {401: "invalid_api_key", 429: "rate_limit_exceeded"}.get(status)
        error = {"message": what, "type": kind, "param": None, "code": code}
        return JSONResponse({"error": error}, status)
    return JSONResponse({"error": what}, status)
