"""Starts a model with the outline of a look-up circuit, which an hour is too short to discover.

Looking back for "what followed this before" takes two layers: a head that writes the previous
token's identity beside each token, and a head that matches the present token against it and copies.
Gradient descent finds the pair only after a long plateau. Here two heads of each of the first two
layers start near it; training does the rest and is free to undo it.

Source: the circuit is the "induction head" of Olsson and others, arXiv 2209.11895.
"""

from __future__ import annotations

import torch
from torch import Tensor

from training.model import Block, Llama, rotate

CONSTANT = 0.2
"""The first embedding column of every token: what a purely positional head can hold on to."""

POSITIONAL = 2.2
"""Query and key weights on that column: a margin of about 12 over the neighbouring offsets."""

FREQUENCIES = 7
"""Rotary frequencies used for an offset; slower ones hardly tell neighbours apart."""

QUIET = 0.1
"""What is left of everything else that the layers write at first, so that it drowns nothing."""

WRITTEN = 0.1
"""Strength of the previous token's identity in the residual, about that of the token's own."""

MATCHING = 1.8
"""Query and key weights of the matching heads: equal tokens win by about 10."""

COPIED = 0.4
"""Strength of a copied token's identity in the residual."""


def outline_lookup(model: Llama, pairs: int = 2) -> None:
    """Overwrite `pairs` heads of layers 0 and 1; needs room for 2 * pairs heads in the width.

    Raises:
        ValueError: too few layers, heads or columns for the circuit.
    """
    shape = model.shape
    head = shape.head_width
    if shape.layers < 2 or shape.heads < pairs or shape.width < 2 * pairs * head:
        raise ValueError("the architecture is too small for the look-up circuit")
    with torch.no_grad():
        for block in model.blocks:
            assert isinstance(block, Block)
            block.output.weight *= QUIET
            block.down.weight *= QUIET
        embedding = model.embedding.weight
        embedding[:, 0] = 0.0
        embedding *= (embedding.pow(2).sum(1).mean() / embedding.pow(2).sum(1, keepdim=True)).sqrt()
        embedding[:, 0] = CONSTANT
        basis = torch.linalg.qr(torch.randn(shape.width, shape.width))[0].T
        basis[:, 0] = 0.0
        first, second = model.blocks[0], model.blocks[1]
        assert isinstance(first, Block)
        assert isinstance(second, Block)
        for pair in range(pairs):
            rows = slice(pair * head, (pair + 1) * head)
            identity = basis[rows]
            beside = basis[(pairs + pair) * head : (pairs + pair + 1) * head]
            _look_at_offset(first, rows, 1, shape.rope_base)
            first.value.weight[rows] = identity
            first.output.weight[:, rows] = WRITTEN * beside.T
            second.query.weight[rows] = MATCHING * identity
            second.key.weight[rows] = MATCHING * beside
            second.value.weight[rows] = identity
            second.output.weight[:, rows] = COPIED * identity.T


def _look_at_offset(block: Block, rows: slice, offset: int, rope_base: float) -> None:
    """Make one head attend to the token `offset` places back, whatever it is."""
    half = block.head_width // 2
    exponents = torch.arange(half) / half
    angles: Tensor = offset * rope_base**-exponents
    strength = (torch.arange(half) < FREQUENCIES).float()
    query = torch.cat((strength, torch.zeros(half)))
    key = torch.cat((strength * angles.cos(), strength * angles.sin()))
    for layer, values in ((block.query, query), (block.key, key)):
        layer.weight[rows] = 0.0
        layer.weight[rows, 0] = POSITIONAL * values


def raise_rope_base(model: Llama, base: float, pairs: int = 2) -> None:
    """Slow the rotation down, so that equal tokens match over a longer distance.

    The heads that `outline_lookup` made positional keep their offsets: after training head i of
    layer 0 looks i + 1 tokens back. Everything else that relies on positions has to adapt.
    """
    head = model.shape.head_width
    half = head // 2
    exponents = torch.arange(half) / half
    change = base**-exponents - model.shape.rope_base**-exponents
    block = model.blocks[0]
    assert isinstance(block, Block)
    with torch.no_grad():
        for index in range(pairs):
            rows = block.key.weight[index * head : (index + 1) * head]
            angles = ((index + 1) * change)[:, None]
            rows.copy_(rotate(rows.T, angles.T.cos(), angles.T.sin()).T)
    model.set_rope_base(base)
