"""What the LTP engine tells."""

from __future__ import annotations

import pytest

from dtn.ltp.notices import Leaving
from dtn.ltp.segment import SessionId


@pytest.mark.parametrize(
    ("before", "after", "is_first"),
    [(0, 5, True), (0, 1, True), (5, 9, False), (5, 5, False), (0, 0, False)],
)
def test_a_frame_is_the_first_where_the_block_begins_with_it(
    before: int, after: int, is_first: bool
) -> None:
    assert Leaving(b"frame", SessionId(1, 1), before, after).is_first is is_first
