"""The Llama architecture in torch, for training only; the engine runs it afterwards."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from training.gguf_file import Architecture, interleave_heads


class Norm(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """Root-mean-square normalisation with a learned scale."""

    def __init__(self, width: int, epsilon: float) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width))
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        """Return x with unit mean square in its last dimension, scaled."""
        return functional.rms_norm(x, (x.shape[-1],), self.scale, self.epsilon)


def rotate(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Rotate each head's first half against its second by the angle of the position."""
    first, second = x.chunk(2, -1)
    return torch.cat((first * cosine - second * sine, second * cosine + first * sine), -1)


class Block(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """One layer: attention, then a gated feed-forward, each added to its input."""

    def __init__(self, shape: Architecture) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.head_width = shape.heads, shape.kv_heads, shape.head_width
        inner, kv = shape.heads * shape.head_width, shape.kv_heads * shape.head_width
        self.attention_norm = Norm(shape.width, shape.norm_epsilon)
        self.query = nn.Linear(shape.width, inner, bias=False)
        self.key = nn.Linear(shape.width, kv, bias=False)
        self.value = nn.Linear(shape.width, kv, bias=False)
        self.output = nn.Linear(inner, shape.width, bias=False)
        self.feed_forward_norm = Norm(shape.width, shape.norm_epsilon)
        self.gate = nn.Linear(shape.width, shape.feed_forward, bias=False)
        self.up = nn.Linear(shape.width, shape.feed_forward, bias=False)
        self.down = nn.Linear(shape.feed_forward, shape.width, bias=False)

    def forward(self, x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        """Return the layer's output; x is (batch, length, width)."""
        batch, length, _ = x.shape
        normed = self.attention_norm(x)
        query = self._split(self.query(normed), self.heads)
        key = self._split(self.key(normed), self.kv_heads)
        value = self._split(self.value(normed), self.kv_heads)
        with torch.autocast("cpu", enabled=False):  # bf16 attention is several times slower
            mixed = functional.scaled_dot_product_attention(
                rotate(query.float(), cosine, sine),
                rotate(key.float(), cosine, sine),
                value.float(),
                is_causal=True,
                enable_gqa=self.heads != self.kv_heads,
            )
        x = x + self.output(mixed.transpose(1, 2).reshape(batch, length, -1))
        normed = self.feed_forward_norm(x)
        return x + self.down(functional.silu(self.gate(normed)) * self.up(normed))

    def _split(self, x: Tensor, heads: int) -> Tensor:
        batch, length, _ = x.shape
        return x.view(batch, length, heads, self.head_width).transpose(1, 2)


class Llama(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """A Llama language model whose output matrix is its embedding."""

    cosine: Tensor
    sine: Tensor

    def __init__(self, shape: Architecture) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding(shape.vocabulary, shape.width)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.norm = Norm(shape.width, shape.norm_epsilon)
        nn.init.normal_(self.embedding.weight, std=0.04)
        for module in self.blocks.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.7 * module.in_features**-0.5)
        for block in self.blocks:
            assert isinstance(block, Block)
            nn.init.normal_(block.output.weight, std=0.02)
            nn.init.normal_(block.down.weight, std=0.02)
        self.set_rope_base(shape.rope_base)

    def set_rope_base(self, base: float) -> None:
        """Set the angles of the rotary positions."""
        self.shape = replace(self.shape, rope_base=base)
        head = self.shape.head_width
        exponents = torch.arange(0, head, 2).float() / head
        angles = torch.outer(torch.arange(self.shape.context).float(), base**-exponents)
        self.register_buffer("cosine", angles.cos(), persistent=False)
        self.register_buffer("sine", angles.sin(), persistent=False)

    def forward(self, ids: Tensor, chosen: Tensor | None = None) -> Tensor:
        """Return logits of every position, or of the chosen ones (a mask shaped like ids)."""
        x = self.embedding(ids)
        cosine, sine = self.cosine[: ids.shape[1]], self.sine[: ids.shape[1]]
        for block in self.blocks:
            x = block(x, cosine, sine)
        if chosen is not None:
            x = x[chosen]
        return functional.linear(self.norm(x), self.embedding.weight)


def gguf_weights(model: Llama) -> dict[str, NDArray[np.float32]]:
    """Return the weights under llama.cpp's names and in its row order."""

    def array(parameter: Tensor) -> NDArray[np.float32]:
        values: NDArray[np.float32] = parameter.detach().float().numpy()
        return values

    shape = model.shape
    weights = {
        "token_embd.weight": array(model.embedding.weight),
        "output_norm.weight": array(model.norm.scale),
    }
    for layer, block in enumerate(model.blocks):
        assert isinstance(block, Block)
        weights |= {
            f"blk.{layer}.attn_norm.weight": array(block.attention_norm.scale),
            f"blk.{layer}.attn_q.weight": interleave_heads(array(block.query.weight), shape.heads),
            f"blk.{layer}.attn_k.weight": interleave_heads(array(block.key.weight), shape.kv_heads),
            f"blk.{layer}.attn_v.weight": array(block.value.weight),
            f"blk.{layer}.attn_output.weight": array(block.output.weight),
            f"blk.{layer}.ffn_norm.weight": array(block.feed_forward_norm.scale),
            f"blk.{layer}.ffn_gate.weight": array(block.gate.weight),
            f"blk.{layer}.ffn_up.weight": array(block.up.weight),
            f"blk.{layer}.ffn_down.weight": array(block.down.weight),
        }
    return weights
