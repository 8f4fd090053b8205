"""What is to go up is looked at before its first byte does."""

from __future__ import annotations

from pathlib import Path

import pytest

from ground.bulk.cargo import judged
from models.resolve import resolve
from roundtrip.errors import BadInput
from roundtrip.message import MAX_TEXT_BYTES
from tests.adapters import write_adapter


def test_a_gguf_says_what_it_is(tmp_path: Path) -> None:
    kind, info = judged(resolve("tiny"), "it")
    assert (kind, info is not None and info.architecture) == ("model", "qwen3")
    write_adapter(tmp_path / "adapter")
    kind, info = judged(tmp_path / "adapter", "it")
    assert (kind, info is not None and info.name) == ("adapter", "made up")


@pytest.mark.parametrize("kind", ["prompt", "document"])
def test_a_text_has_to_be_called_one(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "text"
    path.write_text("You watch the telemetry. 中")
    assert judged(path, "it", kind) == (kind, None)
    with pytest.raises(
        BadInput, match="it: kind: expected a GGUF, or prompt or document, found neither"
    ):
        judged(path, "it")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", f"it: expected a text of 1 to {MAX_TEXT_BYTES} bytes, found 0 bytes"),
        (b"a" * (MAX_TEXT_BYTES + 1), f"found {MAX_TEXT_BYTES + 1} bytes"),
        (b"ab\xff", "it: expected a text in UTF-8, found byte 2 is not"),
    ],
)
def test_what_is_no_text_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "text"
    path.write_bytes(content)
    with pytest.raises(BadInput) as raised:
        judged(path, "it", "prompt")
    assert said in str(raised.value)
    path.write_bytes(b"a" * MAX_TEXT_BYTES)
    judged(path, "it", "prompt")


def test_one_kind_is_not_taken_for_another(tmp_path: Path) -> None:
    write_adapter(tmp_path / "adapter")
    with pytest.raises(BadInput, match=r"it: general\.type: expected 'adapter'"):
        judged(resolve("tiny"), "it", "adapter")
    with pytest.raises(BadInput, match="it: "):
        judged(tmp_path / "adapter", "it", "model")
    (tmp_path / "text").write_text("no GGUF")
    for kind in ("model", "adapter"):
        with pytest.raises(BadInput, match="it: "):
            judged(tmp_path / "text", "it", kind)
