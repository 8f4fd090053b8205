"""A model is accepted before anything is started for it."""

from __future__ import annotations

import pytest

from models.resolve import resolve
from node.engine.accept import accept_model, found, load_of
from roundtrip.errors import BadConfig, BadModel
from roundtrip.node_config import NodeConfig
from roundtrip.radiation import RadiationConfig

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
