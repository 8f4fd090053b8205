"""Other ways of packing short texts, beside ours: `python -m bench.text_contenders`.

Needs `pip install zstandard Brotli`. The dictionary is ours for all but the trained ones, which are
trained on its texts. Frames carry no more than they must: no size, no checksum, no magic number.
"""

from __future__ import annotations

import ctypes
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import _brotli
import brotli
import zstandard as zstd

from bench.text_size import sets, size, timed
from roundtrip.message import MAX_TEXT_BYTES
from roundtrip.text.packing import pack, unpack
from scripts.make_dictionary import dictionary, texts


@dataclass(frozen=True, slots=True)
class Contender:
    """One way."""

    name: str
    dictionary_bytes: int
    pack: Callable[[bytes], bytes]
    unpack: Callable[[bytes], bytes]


def with_zstandard(name: str, known: zstd.ZstdCompressionDict | None) -> Contender:
    """Zstandard, level 19."""
    parameters = zstd.ZstdCompressionParameters.from_level(
        19,
        format=zstd.FORMAT_ZSTD1_MAGICLESS,
        write_content_size=False,
        write_dict_id=False,
        write_checksum=False,
    )
    packer = zstd.ZstdCompressor(compression_params=parameters, dict_data=known)
    unpacker = zstd.ZstdDecompressor(format=zstd.FORMAT_ZSTD1_MAGICLESS, dict_data=known)
    return Contender(
        name,
        len(known.as_bytes()) if known else 0,
        packer.compress,
        lambda code: unpacker.decompress(code, max_output_size=MAX_TEXT_BYTES),
    )


def with_deflate(name: str, known: bytes) -> Contender:
    """Raw DEFLATE, level 9."""

    def packed(raw: bytes) -> bytes:
        stream = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zdict=known)
        return stream.compress(raw) + stream.flush()

    def unpacked(code: bytes) -> bytes:
        return zlib.decompressobj(-15, zdict=known).decompress(code, MAX_TEXT_BYTES)

    return Contender(name, len(known), packed, unpacked)


def with_brotli() -> Contender:
    """Brotli, quality 11, with the dictionary of the standard."""
    return Contender(
        "brotli", 0, lambda raw: brotli.compress(raw, brotli.MODE_TEXT), brotli.decompress
    )


def with_shared_brotli(known: bytes) -> Contender:
    """Brotli with a dictionary of ours; by its C functions, as its Python ones have none for it."""
    library = ctypes.CDLL(_brotli.__file__)
    pointer = ctypes.c_void_p
    for function in (
        library.BrotliEncoderPrepareDictionary,
        library.BrotliEncoderCreateInstance,
        library.BrotliDecoderCreateInstance,
    ):
        function.restype = pointer
    none = pointer(None)
    prepared = pointer(
        library.BrotliEncoderPrepareDictionary(
            0, ctypes.c_size_t(len(known)), known, 11, none, none, none
        )
    )

    def run(stream: Callable[..., int], leading: list[object], given: bytes) -> bytes:
        source, space = ctypes.c_char_p(given), ctypes.create_string_buffer(MAX_TEXT_BYTES)
        target = pointer(ctypes.addressof(space))
        left, room = ctypes.c_size_t(len(given)), ctypes.c_size_t(MAX_TEXT_BYTES)
        refs = [ctypes.byref(each) for each in (left, source, room, target)]
        assert stream(*leading, *refs, none) == 1
        return space.raw[: MAX_TEXT_BYTES - room.value]

    def packed(raw: bytes) -> bytes:
        state = pointer(library.BrotliEncoderCreateInstance(none, none, none))
        library.BrotliEncoderSetParameter(state, 0, 1)
        library.BrotliEncoderSetParameter(state, 5, len(raw))
        assert library.BrotliEncoderAttachPreparedDictionary(state, prepared)
        code = run(library.BrotliEncoderCompressStream, [state, 2], raw)
        library.BrotliEncoderDestroyInstance(state)
        return code

    def unpacked(code: bytes) -> bytes:
        state = pointer(library.BrotliDecoderCreateInstance(none, none, none))
        length = ctypes.c_size_t(len(known))
        assert library.BrotliDecoderAttachDictionary(state, 0, length, known)
        raw = run(library.BrotliDecoderDecompressStream, [state], code)
        library.BrotliDecoderDestroyInstance(state)
        return raw

    return Contender("brotli, our dictionary", len(known), packed, unpacked)


def ours() -> Contender:
    """What was chosen."""

    def packed(raw: bytes) -> bytes:
        value = pack(raw.decode())
        return value if isinstance(value, bytes) else raw

    return Contender(
        "**ours**", len(dictionary()), packed, lambda code: unpack(code, MAX_TEXT_BYTES).encode()
    )


def contenders() -> list[Contender]:
    """All of them."""
    known = dictionary()
    samples = [text.encode() for text in texts()]
    return [
        with_deflate("deflate", b""),
        with_zstandard("zstandard", None),
        with_brotli(),
        with_zstandard("zstandard, trained", zstd.train_dictionary(16 << 10, samples, level=19)),
        with_zstandard("zstandard, trained", zstd.train_dictionary(32 << 10, samples, level=19)),
        with_zstandard(
            "zstandard, our dictionary",
            zstd.ZstdCompressionDict(known, dict_type=zstd.DICT_TYPE_RAWCONTENT),
        ),
        with_shared_brotli(known),
        with_deflate("deflate, end of our dictionary", known[-32768:]),
        ours(),
    ]


def main() -> None:
    """Print the table."""
    groups = sets()
    print(f"| | dictionary, KiB | {' | '.join(groups)} | pack, µs | unpack, µs |")
    print(f"|---|{'---:|' * (len(groups) + 3)}")
    for contender in contenders():
        ratios, pack_us, unpack_us, count = [], 0.0, 0.0, 0
        for group in groups.values():
            raws = [text.encode() for text in group]
            codes, each_us = timed(contender.pack, raws)
            pack_us += each_us * len(raws)
            shorter = [(raw, code) for raw, code in zip(raws, codes, strict=True) if code != raw]
            again, each_us = timed(contender.unpack, [code for _, code in shorter])
            assert again == [raw for raw, _ in shorter]
            unpack_us += each_us * len(shorter)
            count += len(raws)
            sent = sum(min(size(raw), size(code)) for raw, code in zip(raws, codes, strict=True))
            ratios.append(sent / sum(map(size, raws)))
        shown = " | ".join(f"{ratio:.3f}" for ratio in ratios)
        kib = contender.dictionary_bytes / 1024
        times = f"{pack_us / count:,.0f} | {unpack_us / count:,.0f}"
        print(f"| {contender.name} | {kib:.0f} | {shown} | {times} |")


if __name__ == "__main__":
    main()
