"""The weights of a loaded model, repacked or not: hurt, checked, mended."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.gguf.header import read_header
from models.resolve import resolve
from node.engine.kept_twice import KeptTwice
from node.engine.llama import Engine
from node.engine.requests import NotFinite
from node.engine.scrub import Scrubber
from node.engine.weights import Weights
from roundtrip.drive.clock import monotonic_ns
from roundtrip.errors import BadModel
from tests.unit.node.engine.tiny import one, settings

LONG_NS = 10**10


@pytest.fixture(scope="module", params=[False, True], ids=["as in the file", "repacked"])
def engine(request: pytest.FixtureRequest) -> Engine:
    return Engine(str(resolve("tiny")), settings(private=True, use_extra_bufts=request.param))


@pytest.fixture
def weights(engine: Engine, tmp_path: Path) -> Weights:
    path = resolve("tiny")
    return Weights(engine, path, KeptTwice(path, tmp_path, print))


def test_all_tensors_of_the_file_are_there(weights: Weights) -> None:
    tensors = read_header(resolve("tiny")).tensors
    assert weights.sizes == [tensor.size_bytes for tensor in tensors]
    assert [weights.name(at) for at in range(len(tensors))] == [one.name for one in tensors]
    assert weights.bits == 8 * sum(tensor.size_bytes for tensor in tensors)


def test_each_bit_is_one_of_one_tensor(weights: Weights) -> None:
    before = 0
    for tensor, size in enumerate(weights.sizes):
        for bit in (before, before + 8 * size - 1):
            right = weights.checksum(tensor, 0, size, 0)
            assert weights.flip(bit) == weights.name(tensor)
            assert weights.checksum(tensor, 0, size, 0) != right
            weights.flip(bit)
            assert weights.checksum(tensor, 0, size, 0) == right
        before += 8 * size


def test_a_checksum_in_pieces_is_that_of_the_whole(weights: Weights) -> None:
    size = weights.sizes[0]
    first = weights.checksum(0, 0, 100, 0)
    assert weights.checksum(0, 100, size, first) == weights.checksum(0, 0, size, 0)


def test_mended_weights_answer_as_before(engine: Engine, weights: Weights) -> None:
    before = one(engine)
    scrubber = Scrubber(weights, monotonic_ns)
    names = set()
    starts = [8 * sum(weights.sizes[:tensor]) for tensor in range(len(weights.sizes))]
    for tensor, start in enumerate(starts):
        for byte in range(0, weights.sizes[tensor], 97):
            weights.flip(start + 8 * byte + 6)
        names.add(weights.name(tensor))
    with pytest.raises(NotFinite):
        one(engine)
    found = scrubber.until(monotonic_ns(), LONG_NS)
    assert {mended.name for mended in found} == names
    assert {mended.source for mended in found} == {resolve("tiny").name}
    assert scrubber.until(monotonic_ns(), LONG_NS) == []
    assert one(engine) == before


def test_a_tensor_that_is_not_there_is_an_error(engine: Engine) -> None:
    with pytest.raises(BadModel, match="a tensor in memory"):
        engine.weights("blk.99.ffn_up.weight")


def test_a_build_that_shows_no_tensors_is_an_error(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.engine.llama._GET_TENSOR", "not_there")
    with pytest.raises(BadModel, match=r"none that this llama\.cpp build shows"):
        engine.weights("token_embd.weight")
