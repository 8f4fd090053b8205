"""Writes the trained network as an F16 GGUF that llama.cpp runs as `qwen3`, with gguf-py."""

from __future__ import annotations

import json
from pathlib import Path

import gguf
import numpy as np
from tokenizers import Tokenizer

from models.gguf.vocabulary import CHAT_TEMPLATE
from models.recipe.network import Qwen3
from models.recipe.tokens import CONTROL, WRITTEN

NAME = "groundloop telemetry triage"
CONTEXT = 2048
LAYER_TENSORS = {
    "attn_norm": "attn_norm",
    "q": "attn_q",
    "k": "attn_k",
    "v": "attn_v",
    "o": "attn_output",
    "q_norm": "attn_q_norm",
    "k_norm": "attn_k_norm",
    "ffn_norm": "ffn_norm",
    "gate": "ffn_gate",
    "up": "ffn_up",
    "down": "ffn_down",
}
"""The network's names to llama.cpp's."""


def export(network: Qwen3, tokenizer: Tokenizer, path: Path) -> None:
    """Write the network to `path`: matrices in F16, norms in F32."""
    size = network.size
    writer = gguf.GGUFWriter(path, "qwen3")
    writer.add_name(NAME)
    writer.add_description("Answers questions about telemetry frames of a small satellite.")
    writer.add_license("Apache-2.0")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(size.hidden)
    writer.add_block_count(size.layers)
    writer.add_feed_forward_length(size.ffn)
    writer.add_head_count(size.heads)
    writer.add_head_count_kv(size.kv_heads)
    writer.add_key_length(size.head_dim)
    writer.add_value_length(size.head_dim)
    writer.add_rope_freq_base(size.rope_theta)
    writer.add_layer_norm_rms_eps(size.eps)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    _add_tokenizer(writer, tokenizer)
    _add(writer, "token_embd.weight", network.embed.weight)
    for index, layer in enumerate(network.layers):
        for ours, theirs in LAYER_TENSORS.items():
            _add(writer, f"blk.{index}.{theirs}.weight", getattr(layer, ours).weight)
    _add(writer, "output_norm.weight", network.norm.weight)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add(writer: gguf.GGUFWriter, name: str, weight: object) -> None:
    array = weight.detach().numpy()  # type: ignore[attr-defined]
    writer.add_tensor(name, array.astype(np.float16 if array.ndim == 2 else np.float32))


def _add_tokenizer(writer: gguf.GGUFWriter, tokenizer: Tokenizer) -> None:
    model = json.loads(tokenizer.to_str())["model"]
    tokens = [tokenizer.id_to_token(index) for index in range(tokenizer.get_vocab_size())]
    known = dict.fromkeys(CONTROL, gguf.TokenType.CONTROL)
    known |= dict.fromkeys(WRITTEN, gguf.TokenType.USER_DEFINED)
    types = [known.get(token, gguf.TokenType.NORMAL) for token in tokens]
    merges = [" ".join(pair) for pair in model["merges"]]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(merges)
    writer.add_eos_token_id(tokenizer.token_to_id("<|im_end|>"))
    writer.add_pad_token_id(tokenizer.token_to_id("<|endoftext|>"))
    writer.add_bos_token_id(tokenizer.token_to_id("<|endoftext|>"))
    writer.add_add_bos_token(False)
    writer.add_chat_template(CHAT_TEMPLATE)
