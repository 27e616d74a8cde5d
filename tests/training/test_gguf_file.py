"""Random model files: the engine loads them, and they are what was asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFReader

from minionbench.workloads.tokenizer import ReferenceTokenizer
from training.engine import LoadedModel
from training.gguf_file import (
    Architecture,
    interleave_heads,
    main,
    random_weights,
    write_gguf,
    write_random_gguf,
)


def integer(reader: GGUFReader, key: str) -> int:
    """Return an integer of a file's metadata."""
    field = reader.get_field(key)
    assert field is not None
    return int(field.contents())


@pytest.mark.parametrize("file_type", ["f16", "q8_0", "q4_0"])
def test_the_engine_runs_a_random_model_of_each_type(tmp_path: Path, file_type: str) -> None:
    file = tmp_path / "random.gguf"
    write_random_gguf(file, file_type, context=1024)
    text, ended = LoadedModel(file, context=512).chat([("user", "Say something.")], 12)
    assert ended == "length"
    assert text.isascii() and text.isprintable() and text


def test_the_command_writes_what_its_flags_say(tmp_path: Path) -> None:
    file = tmp_path / "random.gguf"
    main([str(file), "--type", "q8_0", "--context", "8192", "--layers", "3", "--width", "96"])
    reader = GGUFReader(file)
    assert integer(reader, "llama.context_length") == 8192
    assert integer(reader, "llama.block_count") == 3
    assert integer(reader, "llama.embedding_length") == 96
    types = {tensor.name: tensor.tensor_type.name for tensor in reader.tensors}
    assert types["blk.2.ffn_up.weight"] == "Q8_0"
    assert types["blk.2.ffn_norm.weight"] == "F32"


def test_the_same_arguments_give_the_same_bytes(tmp_path: Path) -> None:
    one, other, different = (tmp_path / name for name in ("one", "other", "different"))
    write_random_gguf(one, seed=3)
    write_random_gguf(other, seed=3)
    write_random_gguf(different, seed=4)
    assert one.read_bytes() == other.read_bytes()
    assert one.read_bytes() != different.read_bytes()


def test_fewer_bits_make_a_smaller_file(tmp_path: Path) -> None:
    sizes = []
    for file_type in ("f32", "f16", "q8_0", "q4_0"):
        write_random_gguf(tmp_path / file_type, file_type)
        sizes.append((tmp_path / file_type).stat().st_size)
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) == 4


def test_rows_of_a_head_are_interleaved_from_its_halves() -> None:
    rows = np.arange(8, dtype=np.float32).reshape(8, 1)
    assert interleave_heads(rows, heads=2).ravel().tolist() == [0, 2, 1, 3, 4, 6, 5, 7]


def test_a_vocabulary_too_small_for_the_tokenizer_is_refused(tmp_path: Path) -> None:
    shape = Architecture(1, 32, 1, 1, 32, 100, 64)
    tokenizer = ReferenceTokenizer([])
    with pytest.raises(ValueError, match="263 tokens do not fit a vocabulary of 100"):
        write_gguf(tmp_path / "x", shape, random_weights(shape, tokenizer), tokenizer)
