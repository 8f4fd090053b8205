"""Qwen3 in PyTorch, as llama.cpp computes it: q/k norm, grouped queries, SwiGLU, tied
embeddings."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

WATCHED_LAYER = 3
"""The layer, counted from 0, behind which comparisons are supervised."""


@dataclass(frozen=True)
class Size:
    """The builtin's shape."""

    vocabulary: int
    hidden: int = 256
    layers: int = 6
    heads: int = 4
    kv_heads: int = 2
    head_dim: int = 64
    ffn: int = 512
    rope_theta: float = 10_000.0
    eps: float = 1e-6


class Norm(nn.Module):
    """Root mean square norm, in single precision."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """x: (..., width)."""
        x = x.float()
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.eps) * self.weight


class Layer(nn.Module):
    """One transformer block."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.size = size
        self.attn_norm = Norm(size.hidden, eps=size.eps)
        self.q = nn.Linear(size.hidden, size.heads * size.head_dim, bias=False)
        self.k = nn.Linear(size.hidden, size.kv_heads * size.head_dim, bias=False)
        self.v = nn.Linear(size.hidden, size.kv_heads * size.head_dim, bias=False)
        self.o = nn.Linear(size.heads * size.head_dim, size.hidden, bias=False)
        self.q_norm = Norm(size.head_dim, eps=size.eps)
        self.k_norm = Norm(size.head_dim, eps=size.eps)
        self.ffn_norm = Norm(size.hidden, eps=size.eps)
        self.gate = nn.Linear(size.hidden, size.ffn, bias=False)
        self.up = nn.Linear(size.hidden, size.ffn, bias=False)
        self.down = nn.Linear(size.ffn, size.hidden, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor) -> Tensor:
        """x: (batch, length, hidden); cos, sin: (batch, 1, length, head_dim); mask: additive."""
        batch, length, _ = x.shape
        size = self.size
        h = self.attn_norm(x)
        q = self.q(h).view(batch, length, size.heads, size.head_dim).transpose(1, 2)
        k = self.k(h).view(batch, length, size.kv_heads, size.head_dim).transpose(1, 2)
        v = self.v(h).view(batch, length, size.kv_heads, size.head_dim).transpose(1, 2)
        q, k = rotate(self.q_norm(q), cos, sin), rotate(self.k_norm(k), cos, sin)
        groups = size.heads // size.kv_heads
        k, v = k.repeat_interleave(groups, dim=1), v.repeat_interleave(groups, dim=1)
        out = functional.scaled_dot_product_attention(
            q.to(v.dtype), k.to(v.dtype), v, attn_mask=mask.to(v.dtype)
        )
        x = x + self.o(out.transpose(1, 2).reshape(batch, length, -1))
        h = self.ffn_norm(x)
        return x + self.down(functional.silu(self.gate(h)) * self.up(h))


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary position embedding, halves as in llama.cpp's NEOX kind."""
    low, high = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-high, low), dim=-1) * sin


class Qwen3(nn.Module):
    """The whole network."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.size = size
        self.embed = nn.Embedding(size.vocabulary, size.hidden)
        self.layers = nn.ModuleList(Layer(size) for _ in range(size.layers))
        self.norm = Norm(size.hidden, eps=size.eps)
        self.watch = nn.Linear(size.hidden, 3)
        for parameter in self.parameters():
            if parameter.dim() == 2:
                nn.init.normal_(parameter, std=0.02)

    def forward(
        self, tokens: Tensor, positions: Tensor, mask: Tensor, wanted: Tensor, watched: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Logits where they are wanted, and the outcome of comparisons half-way up.

        Args:
            tokens, positions: (batch, length) int64.
            mask: (batch, 1, length, length), 0 where a token may look and -inf where not.
            wanted: (n,) int64, indices into the flattened (batch * length).
            watched: (m,) int64, likewise, where two numbers can be compared: a channel's value
                with its limits, or the two numbers of an answer.

        Returns:
            (n, vocabulary), and (m, 3): low, within, high. The second is for training only: it
            teaches the lower layers to compare, and is not exported.
        """
        half = self.size.head_dim // 2
        steps = torch.arange(half, dtype=torch.float32)
        angles = positions[..., None].float() * self.size.rope_theta ** (-steps / half)
        angles = torch.cat((angles, angles), dim=-1)[:, None]
        cos, sin = angles.cos(), angles.sin()
        x = self.embed(tokens)
        half_way = x
        for index, layer in enumerate(self.layers):
            x = layer(x, cos, sin, mask)
            if index == WATCHED_LAYER:
                half_way = x
        sides = self.watch(half_way.reshape(-1, x.shape[-1])[watched])
        x = self.norm(x.reshape(-1, x.shape[-1])[wanted])
        return functional.linear(x, self.embed.weight), sides
