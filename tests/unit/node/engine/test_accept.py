"""A model is accepted before anything is started for it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from models.resolve import resolve
from node.engine.accept import accept_model, found, load_of
from roundtrip.errors import BadConfig, BadModel
from roundtrip.node_config import NodeConfig
from roundtrip.radiation import RadiationConfig
from tests.adapters import write_adapter

URL = "http://127.0.0.1:9"


def test_a_server_is_asked_for_a_model_by_name_and_nothing_is_looked_for_here() -> None:
    config = NodeConfig(engine=URL, model="qwen3:0.6b", sequences=3, context=512)
    model = accept_model(config)
    assert (model.title, model.quantization, model.path) == ("", "", "qwen3:0.6b")
    assert (model.sequences, model.threads, model.draft) == (3, 0, "")
    load = load_of(config, model)
    assert (load.url, load.path, load.context, load.sequences) == (URL, "qwen3:0.6b", 512, 3)
    assert accept_model(NodeConfig(engine=URL)).sequences == 1
    assert found(config, "another").model == "another"


def test_a_file_is_looked_for_where_llama_cpp_runs() -> None:
    config = NodeConfig(model="tiny", threads=1, sequences=2)
    model = accept_model(config)
    assert model.path == str(resolve("tiny"))
    assert (model.quantization, model.sequences) == ("Q8_0", 2)
    load = load_of(config, model)
    assert (load.url, load.private, load.scrub, load.fixed_width) == ("", False, False, True)
    assert found(config, "builtin").model == str(resolve("builtin").resolve())
    with pytest.raises(BadModel):
        found(config, "nothing")


def test_radiation_makes_the_weights_the_engines_own() -> None:
    radiation = RadiationConfig(environment="leo", times=2, probe_s=5, seed=9)
    load = load_of(NodeConfig(radiation=radiation), accept_model(NodeConfig(model="tiny")))
    assert (load.private, load.scrub, load.probe_ns) == (True, True, 5 * 10**9)
    assert (load.flips_per_bit_day, load.flips_seed) == (radiation.rate, 9)
    bare = NodeConfig(radiation=RadiationConfig(scrub=False))
    load = load_of(bare, accept_model(NodeConfig(model="tiny")))
    assert (load.private, load.scrub, load.flips_per_bit_day) == (True, False, 0.0)


def test_a_servers_memory_is_its_own() -> None:
    with pytest.raises(BadConfig, match="a server's memory is its own"):
        accept_model(NodeConfig(engine=URL, radiation=RadiationConfig()))


def test_what_answers_has_a_name_and_a_hash(tmp_path: Path) -> None:
    plain = accept_model(NodeConfig(model="tiny"))
    assert plain.sha256 == hashlib.sha256(resolve("tiny").read_bytes()).hexdigest()
    path = tmp_path / "it.gguf"
    write_adapter(path)
    changed = accept_model(NodeConfig(model="tiny", adapter=str(path)))
    assert changed.title == f"{plain.title} + made up"
    both = resolve("tiny").read_bytes() + path.read_bytes()
    assert changed.sha256 == hashlib.sha256(both).hexdigest()
    assert load_of(NodeConfig(), changed).adapter == str(path)


def test_an_adapter_has_to_be_for_the_model_and_to_fit(tmp_path: Path) -> None:
    path = tmp_path / "it.gguf"
    write_adapter(path, tensors={"blk.99.a.lora_a": (256, 4), "blk.99.a.lora_b": (4, 256)})
    with pytest.raises(BadModel, match=r"blk\.99\.a: expected for a tensor of"):
        accept_model(NodeConfig(model="tiny", adapter=str(path)))
    write_adapter(path, rank=40_000)
    for memory_mb in (0, 300):
        accept_model(NodeConfig(model="tiny", context=256, memory_mb=memory_mb))
    with pytest.raises(BadModel, match=r"node\.memory_mb: .* \(weights 85, KV cache 1, compute 4,"):
        accept_model(NodeConfig(model="tiny", context=256, memory_mb=100, adapter=str(path)))
    with pytest.raises(BadConfig, match="a server has adapters of its own"):
        accept_model(NodeConfig(engine=URL, adapter=str(path)))


def test_texts_on_board_are_read(tmp_path: Path) -> None:
    for name in ("system", "document"):
        (tmp_path / name).write_text(f"a {name}")
    texts = {name: str(tmp_path / name) for name in ("system", "document")}
    for config in (NodeConfig(model="tiny", **texts), NodeConfig(engine=URL, **texts)):
        load = load_of(config, accept_model(config))
        assert (load.system, load.document) == ("a system", "a document")
    with pytest.raises(BadConfig, match=r"a node\.system"):
        accept_model(NodeConfig(model="tiny", system=str(tmp_path / "none")))
