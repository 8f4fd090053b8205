"""The upload of a station, over HTTP: a file first, then what is to be done with it."""

from __future__ import annotations

from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ground.bulk.desk import Options, Uplink
from ground.web.asked import parsed, read_body
from roundtrip.errors import BadInput

ORDERS = ("pause", "resume", "cancel", "activate", "confirm", "roll_back", "retire")


class Uplinks:
    """Its paths.

    Args:
        uplink: the station's.
    """

    def __init__(self, uplink: Uplink) -> None:
        self._uplink = uplink

    def routes(self) -> list[Route]:
        """Where what is done."""
        return [
            Route("/api/uplink", self._status, methods=["GET"]),
            Route("/api/uplink", self._begin, methods=["POST"]),
            Route("/api/uplink/file", self._take, methods=["PUT"]),
            Route("/api/uplink/{order}", self._order, methods=["POST"]),
        ]

    async def _status(self, _: HttpRequest) -> Response:
        return JSONResponse(self._uplink.status())

    async def _begin(self, request: HttpRequest) -> Response:
        options = parsed(Options, await read_body(request))
        return JSONResponse(self._uplink.begin(options), status_code=202)

    async def _take(self, request: HttpRequest) -> Response:
        said = request.headers.get("content-length", "")
        size = int(said) if said.isdecimal() else None
        after = request.query_params.get("after") == "1"
        return JSONResponse(await self._uplink.take(request.stream(), size, after=after))

    async def _order(self, request: HttpRequest) -> Response:
        order = request.path_params["order"]
        if order not in ORDERS:
            raise BadInput("upload", "order", " or ".join(ORDERS), repr(order)[:40])
        return JSONResponse(self._uplink.order(order))
