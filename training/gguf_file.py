"""Writes Llama-architecture GGUF files, from trained weights or random ones.

As a command it needs only numpy and gguf, and writes a small random model for tests of the engine:

    python -m training.gguf_file OUT.gguf [--type f16|q8_0|q4_0] [--context N] [--layers N] …
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from gguf import GGMLQuantizationType, LlamaFileType, TokenType
from numpy.typing import NDArray

from minionbench.workloads.tokenizer import (
    BOS,
    END,
    EOS,
    PAD,
    SPECIAL_TOKENS,
    ReferenceTokenizer,
)
from training.tokenizer_training import train_merges

Weights = Mapping[str, NDArray[np.float32]]
"""llama.cpp's tensor names to matrices of shape (rows out, columns in), or norm vectors."""

CHAT_TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
"""Each turn is its role's token, the text and ``<|end|>``; the bos token comes from the engine."""

TENSOR_TYPES = {
    "f32": GGMLQuantizationType.F32,
    "f16": GGMLQuantizationType.F16,
    "q8_0": GGMLQuantizationType.Q8_0,
    "q4_0": GGMLQuantizationType.Q4_0,
}
FILE_TYPES = {
    "f32": LlamaFileType.ALL_F32,
    "f16": LlamaFileType.MOSTLY_F16,
    "q8_0": LlamaFileType.MOSTLY_Q8_0,
    "q4_0": LlamaFileType.MOSTLY_Q4_0,
}

RANDOM_TEXT = (
    "a small model with random weights reads a prompt and writes words that mean nothing, "
    "which is enough to test the engine, the transport and the clock of the program that asks it. "
)
"""What the random model's few merges are trained on."""


@dataclass(frozen=True)
class Architecture:
    """The shape of a Llama model; every width must be a multiple of 32 for q8_0 and q4_0."""

    layers: int
    width: int
    heads: int
    kv_heads: int
    feed_forward: int
    vocabulary: int
    context: int
    rope_base: float = 10_000.0
    norm_epsilon: float = 1e-5

    @property
    def head_width(self) -> int:
        """Width of one attention head."""
        return self.width // self.heads


def write_gguf(
    path: Path,
    architecture: Architecture,
    weights: Weights,
    tokenizer: ReferenceTokenizer,
    file_type: str = "f16",
    name: str = "minionbench-reference",
    template: str = CHAT_TEMPLATE,
) -> None:
    """Write a model file that llama.cpp loads.

    Norm vectors stay f32. In q4_0 the embeddings are q8_0: they are the output matrix as well,
    and a tiny model does not survive them at four bits.

    Raises:
        KeyError: an unknown file type.
        ValueError: the tokenizer has more tokens than the architecture's vocabulary.
    """
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name(name)
    writer.add_license("apache-2.0")
    writer.add_vocab_size(architecture.vocabulary)
    writer.add_context_length(architecture.context)
    writer.add_embedding_length(architecture.width)
    writer.add_block_count(architecture.layers)
    writer.add_feed_forward_length(architecture.feed_forward)
    writer.add_head_count(architecture.heads)
    writer.add_head_count_kv(architecture.kv_heads)
    writer.add_rope_dimension_count(architecture.head_width)
    writer.add_rope_freq_base(architecture.rope_base)
    writer.add_layer_norm_rms_eps(architecture.norm_epsilon)
    writer.add_file_type(FILE_TYPES[file_type])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    _add_tokenizer(writer, tokenizer, architecture.vocabulary)
    writer.add_chat_template(template)
    for tensor_name, tensor in weights.items():
        _add_tensor(writer, tensor_name, tensor, TENSOR_TYPES[file_type])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_tokenizer(writer: Any, tokenizer: ReferenceTokenizer, vocabulary: int) -> None:
    unused = vocabulary - len(tokenizer.tokens)
    if unused < 0:
        raise ValueError(f"{len(tokenizer.tokens)} tokens do not fit a vocabulary of {vocabulary}")
    controls = len(SPECIAL_TOKENS)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([*tokenizer.tokens, *(f"<|unused{i}|>" for i in range(unused))])
    writer.add_token_types(
        [TokenType.CONTROL] * controls
        + [TokenType.NORMAL] * (len(tokenizer.tokens) - controls)
        + [TokenType.UNUSED] * unused
    )
    writer.add_token_merges([f"{left} {right}" for left, right in tokenizer.merges])
    writer.add_bos_token_id(tokenizer.id_of(BOS))
    writer.add_eos_token_id(tokenizer.id_of(EOS))
    writer.add_eot_token_id(tokenizer.id_of(END))
    writer.add_pad_token_id(tokenizer.id_of(PAD))
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)


def _add_tensor(
    writer: Any, name: str, tensor: NDArray[np.float32], type_: GGMLQuantizationType
) -> None:
    values = np.ascontiguousarray(tensor, dtype=np.float32)
    if values.ndim == 1 or type_ is GGMLQuantizationType.F32:
        writer.add_tensor(name, values)
    elif type_ is GGMLQuantizationType.F16:
        writer.add_tensor(name, values.astype(np.float16))
    else:
        if name == "token_embd.weight":
            type_ = GGMLQuantizationType.Q8_0
        writer.add_tensor(name, gguf.quants.quantize(values, type_), raw_dtype=type_)


def interleave_heads(matrix: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """Reorder query or key rows from halves to neighbouring pairs.

    Training rotates a head's first half against its second; llama.cpp rotates neighbours. Without
    this, only short answers survive by luck.
    """
    rows = matrix.shape[0]
    pairs = matrix.reshape(heads, 2, rows // heads // 2, *matrix.shape[1:])
    return pairs.swapaxes(1, 2).reshape(matrix.shape)


def random_weights(
    architecture: Architecture, tokenizer: ReferenceTokenizer, seed: int = 0
) -> dict[str, NDArray[np.float32]]:
    """Return weights of a model that writes printable nonsense and never ends by itself.

    The output rows of control tokens and of bytes that are not printable ASCII are zero, so greedy
    decoding does not choose them: every token arrives as text.
    """
    generator = np.random.default_rng(seed)
    width, head = architecture.width, architecture.head_width

    def matrix(rows: int, columns: int) -> NDArray[np.float32]:
        scale = np.float32(columns**-0.5)
        return generator.standard_normal((rows, columns), dtype=np.float32) * scale

    output = matrix(architecture.vocabulary, width)
    for index in range(architecture.vocabulary):
        known = len(SPECIAL_TOKENS) <= index < len(tokenizer.tokens)
        if not (known and all(" " <= c <= "~" for c in tokenizer.decode([index]))):
            output[index] = 0.0
    weights = {
        "token_embd.weight": matrix(architecture.vocabulary, width),
        "output_norm.weight": np.ones(width, np.float32),
        "output.weight": output,
    }
    for layer in range(architecture.layers):
        weights |= {
            f"blk.{layer}.attn_norm.weight": np.ones(width, np.float32),
            f"blk.{layer}.attn_q.weight": matrix(architecture.heads * head, width),
            f"blk.{layer}.attn_k.weight": matrix(architecture.kv_heads * head, width),
            f"blk.{layer}.attn_v.weight": matrix(architecture.kv_heads * head, width),
            f"blk.{layer}.attn_output.weight": matrix(width, architecture.heads * head),
            f"blk.{layer}.ffn_norm.weight": np.ones(width, np.float32),
            f"blk.{layer}.ffn_gate.weight": matrix(architecture.feed_forward, width),
            f"blk.{layer}.ffn_up.weight": matrix(architecture.feed_forward, width),
            f"blk.{layer}.ffn_down.weight": matrix(width, architecture.feed_forward),
        }
    return weights


def write_random_gguf(
    path: Path,
    file_type: str = "f16",
    *,
    layers: int = 2,
    width: int = 64,
    heads: int = 2,
    kv_heads: int = 1,
    feed_forward: int = 128,
    vocabulary: int = 384,
    context: int = 4096,
    seed: int = 0,
    template: str = CHAT_TEMPLATE,
) -> None:
    """Write a model with random weights; the same arguments give the same bytes."""
    architecture = Architecture(layers, width, heads, kv_heads, feed_forward, vocabulary, context)
    budget = vocabulary - 256 - len(SPECIAL_TOKENS)
    tokenizer = ReferenceTokenizer(train_merges([RANDOM_TEXT], budget))
    weights = random_weights(architecture, tokenizer, seed)
    write_gguf(path, architecture, weights, tokenizer, file_type, f"random-{file_type}", template)


def main(arguments: list[str] | None = None) -> None:
    """Write a random model as the command line asks."""
    parser = argparse.ArgumentParser(description="Write a small GGUF with random weights.")
    parser.add_argument("out", type=Path, metavar="OUT.gguf")
    parser.add_argument("--type", choices=sorted(TENSOR_TYPES), default="f16")
    parser.add_argument("--context", type=int, default=4096, help="context length in tokens")
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--width", type=int, default=64, help="a multiple of 32")
    parser.add_argument("--heads", type=int, default=2)
    parser.add_argument("--kv-heads", type=int, default=1)
    parser.add_argument("--feed-forward", type=int, default=128, help="a multiple of 32")
    parser.add_argument("--vocabulary", type=int, default=384, help="tokens, at least 264")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args(arguments)
    write_random_gguf(
        chosen.out,
        chosen.type,
        layers=chosen.layers,
        width=chosen.width,
        heads=chosen.heads,
        kv_heads=chosen.kv_heads,
        feed_forward=chosen.feed_forward,
        vocabulary=chosen.vocabulary,
        context=chosen.context,
        seed=chosen.seed,
    )
    print(f"{chosen.out}: {chosen.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
