"""Every way a header can be bad, and that nothing but `BadModel` says so."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Any

import pytest

from models.gguf import header as gguf_header
from models.gguf.header import ArrayRef, read_header
from models.gguf.types import ValueType
from roundtrip.errors import BadModel

STRING, ARRAY, UINT32, BOOL = 8, 9, 4, 7


def text(value: bytes) -> bytes:
    return struct.pack("<Q", len(value)) + value


def entry(key: bytes, value_type: int, payload: bytes) -> bytes:
    return text(key) + struct.pack("<I", value_type) + payload


def tensor(name: bytes, dimensions: tuple[int, ...], kind: int, offset: int) -> bytes:
    shape = struct.pack(f"<I{len(dimensions)}Q", len(dimensions), *dimensions)
    return text(name) + shape + struct.pack("<IQ", kind, offset)


def gguf(
    entries: list[bytes] | None = None,
    tensors: list[bytes] | None = None,
    *,
    data: int = 0,
    version: int = 3,
    counts: tuple[int, int] | None = None,
    order: str = "<",
) -> bytes:
    """A GGUF file from ready-made parts, so that each can lie."""
    entries, tensors = entries or [], tensors or []
    head = struct.pack(f"{order}IQQ", version, *(counts or (len(tensors), len(entries))))
    header = b"GGUF" + head + b"".join(entries + tensors)
    return header + bytes(-len(header) % 32) + bytes(data)


def refusal(tmp_path: Path, content: bytes) -> BadModel:
    path = tmp_path / "bad.gguf"
    path.write_bytes(content)
    with pytest.raises(BadModel) as caught:
        read_header(path)
    assert caught.value.source == str(path)
    assert caught.value.exit_code == 104
    return caught.value


def test_a_good_file(tmp_path: Path) -> None:
    path = tmp_path / "good.gguf"
    path.write_bytes(
        gguf(
            [
                entry(b"general.architecture", STRING, text(b"qwen3")),
                entry(b"n", UINT32, struct.pack("<I", 7)),
                entry(b"flag", BOOL, b"\x01"),
                entry(b"x", ValueType.FLOAT64, struct.pack("<d", 0.5)),
                entry(b"s", ARRAY, struct.pack("<IQ", STRING, 2) + text(b"a") + text(b"\xff")),
                entry(b"i", ARRAY, struct.pack("<IQ3i", ValueType.INT32, 3, 1, -2, 3)),
            ],
            [tensor(b"a", (256, 2), 12, 0), tensor(b"b", (3,), 0, 288)],
            data=288 + 12,
        )
    )
    header = read_header(path)
    assert header.version == 3
    assert header.metadata["n"] == 7
    assert header.metadata["flag"] is True
    assert header.metadata["x"] == 0.5
    assert isinstance(header.metadata["s"], ArrayRef)
    assert header.strings("s") == ["a", "\udcff"]
    assert header.integers("i") == [1, -2, 3]
    assert [(t.name, t.type.name, t.elements, t.size_bytes) for t in header.tensors] == [
        ("a", "Q4_K", 512, 288),
        ("b", "F32", 3, 12),
    ]
    assert header.data_at_byte + 300 == header.file_bytes


def test_arrays_of_another_kind_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "good.gguf"
    path.write_bytes(gguf([entry(b"n", UINT32, bytes(4))]))
    with pytest.raises(BadModel, match="n: expected an array of string, found 0"):
        read_header(path).strings("n")
    with pytest.raises(BadModel, match="tokens: expected an array of string, found nothing"):
        read_header(path).strings("tokens")


def test_an_array_that_changed_after_the_header_was_read(tmp_path: Path) -> None:
    path = tmp_path / "changing.gguf"
    entries = [entry(b"s", ARRAY, struct.pack("<IQ", STRING, 1) + text(b"abc"))]
    path.write_bytes(gguf(entries))
    header = read_header(path)
    path.write_bytes(gguf(entries).replace(b"\x03" + bytes(7) + b"abc", b"\xff" * 11))
    with pytest.raises(BadModel, match="announced"):
        header.strings("s")
    path.write_bytes(b"GGUF")
    with pytest.raises(BadModel, match="11 bytes"):
        header.strings("s")
    path.unlink()
    with pytest.raises(BadModel, match="readable"):
        header.strings("s")


def test_missing_directory_empty_fifo(tmp_path: Path) -> None:
    with pytest.raises(BadModel, match="no such file"):
        read_header(tmp_path / "none.gguf")
    with pytest.raises(BadModel, match="a directory"):
        read_header(tmp_path)
    with pytest.raises(BadModel, match="readable"):
        read_header(Path("a\0b"))
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BadModel, match="not a regular file"):
        read_header(tmp_path / "pipe")
    assert refusal(tmp_path, b"").found == "an empty file"


def test_permission_denied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "closed.gguf"
    path.write_bytes(gguf())

    def denied(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)
    with pytest.raises(BadModel, match="Permission denied"):
        read_header(path)


def test_magic_and_version(tmp_path: Path) -> None:
    assert refusal(tmp_path, b"GGML" + bytes(40)).key == "magic"
    assert refusal(tmp_path, b"GG").key == "magic"
    assert refusal(tmp_path, gguf(version=4)).found == "version 4"
    assert refusal(tmp_path, gguf(version=1)).found == "version 1"
    assert refusal(tmp_path, gguf(order=">")).found == "version 3, big endian"
    path = tmp_path / "v2.gguf"
    path.write_bytes(gguf(version=2))
    assert read_header(path).version == 2


def test_truncated_at_every_byte_of_the_header(tmp_path: Path) -> None:
    whole = gguf(
        [
            entry(b"k", STRING, text(b"value")),
            entry(b"s", ARRAY, struct.pack("<IQ", STRING, 2) + text(b"a") + text(b"bc")),
        ],
        [tensor(b"t", (4,), 0, 0)],
        data=16,
    )
    for size in range(len(whole)):
        refusal(tmp_path, whole[:size])


def test_truncated_in_the_tensor_data(tmp_path: Path, tiny_gguf: Path) -> None:
    error = refusal(tmp_path, tiny_gguf.read_bytes()[:-40_000])
    assert error.key.endswith(".weight")
    assert "truncated" in error.found


@pytest.mark.parametrize("lie", [2**60, 2**63, 2**64 - 1, 5000, 1 << 20])
def test_lying_counts_and_lengths(tmp_path: Path, lie: int) -> None:
    huge = struct.pack("<Q", lie)
    refusal(tmp_path, gguf(counts=(0, lie)))
    refusal(tmp_path, gguf(counts=(lie, 0)))
    refusal(tmp_path, gguf([huge + b"key"]))
    refusal(tmp_path, gguf([entry(b"k", STRING, huge + b"value")]))
    refusal(tmp_path, gguf([entry(b"k", ARRAY, struct.pack("<I", STRING) + huge)]))
    refusal(tmp_path, gguf([entry(b"k", ARRAY, struct.pack("<I", UINT32) + huge)]))
    refusal(tmp_path, gguf([entry(b"k", ARRAY, struct.pack("<IQ", STRING, 2) + text(b"") + huge)]))
    refusal(tmp_path, gguf([], [tensor(b"t", (lie, lie), 0, 0)]))


def test_a_header_over_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gguf_header, "MAX_HEADER_BYTES", 64)
    error = refusal(tmp_path, gguf([entry(b"k", STRING, text(bytes(100)))]))
    assert error.expected == "a header of at most 64 bytes"


def test_many_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gguf_header, "_CHUNK_BYTES", 16)
    path = tmp_path / "chunks.gguf"
    strings = [str(number).encode() for number in range(50)]
    payload = struct.pack("<IQ", STRING, 50) + b"".join(map(text, strings))
    path.write_bytes(gguf([entry(b"s", ARRAY, payload)]))
    assert read_header(path).strings("s") == [value.decode() for value in strings]


def test_bad_metadata(tmp_path: Path) -> None:
    number = entry(b"n", UINT32, bytes(4))
    assert refusal(tmp_path, gguf([number, number])).found == "a duplicate"
    assert refusal(tmp_path, gguf([entry(b"", UINT32, bytes(4))])).found == "an empty one"
    assert refusal(tmp_path, gguf([entry(b"k", 13, bytes(4))])).found == "13"
    assert refusal(tmp_path, gguf([entry(b"k", BOOL, b"\x02")])).found == "2"
    assert refusal(tmp_path, gguf([entry(b"k", STRING, text(b"\xff"))])).expected == "UTF-8"
    nested = struct.pack("<IQ", ARRAY, 1) + struct.pack("<IQ", UINT32, 0)
    assert refusal(tmp_path, gguf([entry(b"k", ARRAY, nested)])).found == "an array of arrays"
    assert "\n" not in str(refusal(tmp_path, gguf([entry(b"a\nb", BOOL, b"\x02")])))


@pytest.mark.parametrize("alignment", [0, 3, 48, 1 << 20])
def test_bad_alignment(tmp_path: Path, alignment: int) -> None:
    key = entry(b"general.alignment", UINT32, struct.pack("<I", alignment))
    assert refusal(tmp_path, gguf([key])).key == "general.alignment"


def test_alignment_of_the_wrong_type(tmp_path: Path) -> None:
    refusal(tmp_path, gguf([entry(b"general.alignment", STRING, text(b"32"))]))
    array = struct.pack("<IQ", UINT32, 0)
    assert refusal(tmp_path, gguf([entry(b"general.alignment", ARRAY, array)])).found == "an array"


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ([tensor(b"a", (8,), 0, 0), tensor(b"a", (8,), 0, 32)], "duplicate"),
        ([tensor(b"a", (8,), 0, 8)], "multiple of 32"),
        ([tensor(b"a", (16,), 0, 0), tensor(b"b", (8,), 0, 32)], "overlap"),
        ([tensor(b"a", (8,), 0, 0), tensor(b"b", (8,), 0, 64)], "gap"),
        ([tensor(b"a", (8,), 5, 0)], "type 5"),
        ([tensor(b"a", (8,), 200, 0)], "type 200"),
        ([tensor(b"a", (8,), 12, 0)], "whole blocks of 256"),
        ([tensor(b"a", (0,), 0, 0)], "whole blocks"),
        ([tensor(b"a", (1,) * 5, 0, 0)], "1 to 4 dimensions"),
        ([tensor(b"a", (), 0, 0)], "1 to 4 dimensions"),
        ([tensor(b"", (8,), 0, 0)], "an empty one"),
        ([tensor(b"a" * 64, (8,), 0, 0)], "at most 63"),
        ([tensor(b"a", (64, 64), 0, 0)], "whole file"),
    ],
)
def test_bad_tensors(tmp_path: Path, tensors: list[bytes], words: str) -> None:
    assert words in str(refusal(tmp_path, gguf([], tensors, data=256)))


def test_tensor_data_past_the_end(tmp_path: Path) -> None:
    error = refusal(tmp_path, gguf([], [tensor(b"a", (8,), 0, 0)], data=31))
    assert error.key == "a"
    assert "truncated" in error.found
