"""An upload over HTTP, without a station."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from ground.web.uplinks import Uplinks
from roundtrip.errors import BadInput


class Uplink:
    """Says what it was told."""

    def status(self) -> dict[str, Any]:
        return {"state": "none"}

    def begin(self, options: Any) -> dict[str, Any]:
        return {"name": options.name}

    async def take(
        self, chunks: AsyncIterator[bytes], size: int | None, *, after: bool
    ) -> dict[str, Any]:
        came = b"".join([chunk async for chunk in chunks])
        return {"came": came.decode(), "size": size, "after": after}

    def order(self, what: str) -> dict[str, Any]:
        return {"order": what}


@pytest.fixture
def client() -> TestClient:
    return TestClient(Starlette(routes=Uplinks(Uplink()).routes()))


def test_each_path_says_what_came_of_it(client: TestClient) -> None:
    assert client.get("/api/uplink").json() == {"state": "none"}
    begun = client.post("/api/uplink", json={"name": "m"})
    assert (begun.status_code, begun.json()) == (202, {"name": "m"})
    for query, after in (("", False), ("?after=1", True), ("?after=0", False)):
        taken = client.put(f"/api/uplink/file{query}", content=b"abc")
        assert taken.json() == {"came": "abc", "size": 3, "after": after}
    assert client.post("/api/uplink/pause").json() == {"order": "pause"}


def test_an_order_that_there_is_not_is_named(client: TestClient) -> None:
    with pytest.raises(BadInput, match=r"upload: order: expected pause or .* found 'fly'"):
        client.post("/api/uplink/fly")
