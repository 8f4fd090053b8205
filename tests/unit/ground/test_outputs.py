"""A question that no node would take cannot be made, whoever asks it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ground.outputs import Asking, Request
from roundtrip.errors import BadInput
from roundtrip.message import GREEDY, MAX_TEXT_BYTES

ASKING = Asking(7, "", 8, GREEDY, "off", 0, "", 1, 16)
FULL = "é" * (MAX_TEXT_BYTES // 2)


@pytest.mark.parametrize("name", ["text", "system", "json_schema"])
@pytest.mark.parametrize(
    ("given", "found"),
    [(FULL + "x", f"at most {MAX_TEXT_BYTES} bytes, found 65537"), ("\ud800", "a lone surrogate")],
)
def test_a_text_has_a_length_and_can_be_encoded(name: str, given: str, found: str) -> None:
    def made(text: str) -> Request:
        if name == "text":
            return Request(text)
        return Request("Well?", replace(ASKING, **{name.removeprefix("json_"): text}))

    with pytest.raises(BadInput, match=f"question: {name}: .*{found}"):
        made(given)
    made(FULL)
