from __future__ import annotations

import pytest

from models.resolve import resolve
from node.engine.llama import Engine
from tests.unit.node.engine.tiny import settings


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(str(resolve("tiny")), settings())
