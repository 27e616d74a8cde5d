"""Real files from the gguf package's writer, and files built byte by byte."""

from __future__ import annotations

import os
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import gguf as oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minionbench.engines import gguf
from minionbench.engines.gguf import GgufInfo, read_gguf
from minionbench.engines.llamacpp import LlamaCppEngine
from minionbench.engines.probe import ask
from minionbench.errors import UsageError
from minionbench.transport.http import Url
from tests.engines.support import only_as_root
from training.gguf_file import write_random_gguf

UINT32, STRING, ARRAY, UINT64 = 4, 8, 9, 10
F32, F16, Q8_0 = 0, 1, 8


def text(value: str) -> bytes:
    raw = value.encode()
    return struct.pack("<Q", len(raw)) + raw


def entry(key: str, type_: int, payload: bytes) -> bytes:
    return text(key) + struct.pack("<I", type_) + payload


def number(key: str, value: int) -> bytes:
    return entry(key, UINT32, struct.pack("<I", value))


ARCHITECTURE = entry("general.architecture", STRING, text("llama"))


def tensor(name: str, shape: tuple[int, ...], type_: int, offset: int) -> bytes:
    dims = b"".join(struct.pack("<Q", d) for d in shape)
    return text(name) + struct.pack("<I", len(shape)) + dims + struct.pack("<IQ", type_, offset)


def header(version: int, entries: list[bytes], tensors: list[bytes]) -> bytes:
    counts = struct.pack("<IQQ", version, len(tensors), len(entries))
    return b"GGUF" + counts + b"".join(entries) + b"".join(tensors)


def whole(entries: list[bytes], tensors: list[bytes], data_bytes: int) -> bytes:
    head = header(3, entries, tensors)
    return head + bytes(-len(head) % 32) + bytes(data_bytes)


def reading(folder: Path, content: bytes, name: str = "model.gguf") -> GgufInfo:
    path = folder / name
    path.write_bytes(content)
    return read_gguf(path)


def complaint(folder: Path, content: bytes) -> str:
    with pytest.raises(UsageError) as caught:
        reading(folder, content)
    assert str(folder / "model.gguf") in str(caught.value)
    return str(caught.value)


ONE_TENSOR = [tensor("token_embd.weight", (64, 2), F32, 0)]


def test_a_files_own_words_about_itself_are_read(tmp_path: Path) -> None:
    entries = [
        entry("general.name", STRING, text("Ein Modell")),
        ARCHITECTURE,
        number("llama.context_length", 2048),
        number("llama.block_count", 3),
        number("general.file_type", 15),
        entry("tokenizer.chat_template", STRING, text("{{ messages }}" * 1000)),
    ]
    info = reading(tmp_path, whole(entries, ONE_TENSOR, 512))
    assert info == GgufInfo(
        architecture="llama",
        name="Ein Modell",
        context_length=2048,
        parameter_count=128,
        quantization="Q4_K_M",
        file_size_bytes=(tmp_path / "model.gguf").stat().st_size,
        layers=3,
        has_chat_template=True,
        version=3,
        parts=1,
    )


def test_a_files_words_are_made_fit_to_print(tmp_path: Path) -> None:
    entries = [entry("general.name", STRING, text("\x1b[2Ja\nb")), ARCHITECTURE]
    assert reading(tmp_path, whole(entries, ONE_TENSOR, 512)).name == "[2Ja b"


def test_what_a_file_does_not_say_is_none(tmp_path: Path) -> None:
    info = reading(tmp_path, whole([ARCHITECTURE], ONE_TENSOR, 512))
    assert (info.name, info.context_length, info.layers) == (None, None, None)
    assert not info.has_chat_template


@pytest.mark.parametrize("format_", ["f16", "q8_0", "q4_0"])
def test_the_engine_and_the_reader_agree_about_a_written_model(
    tmp_path: Path, format_: str
) -> None:
    path = tmp_path / "model.gguf"
    write_random_gguf(path, format_, layers=3, context=1234)
    info = read_gguf(path)
    tensors = oracle.GGUFReader(path).tensors
    assert info.parameter_count == sum(int(t.n_elements) for t in tensors)
    assert (info.context_length, info.layers) == (1234, 3)
    assert info.quantization == format_.upper()
    assert info.file_size_bytes == path.stat().st_size


def test_the_engine_counts_the_same_parameters(engine: LlamaCppEngine) -> None:
    answer = ask(
        Url(engine.endpoint.base_url), "/models", key=engine.endpoint.key, timeout_s=20
    ).json()
    file = engine.facts.model_file
    assert file is not None
    assert answer["data"][0]["meta"]["n_params"] == file.parameter_count
    assert answer["data"][0]["meta"]["n_ctx_train"] == file.context_length


def test_types_are_those_of_the_gguf_package() -> None:
    theirs = {
        int(type_): (type_.name, *oracle.GGML_QUANT_SIZES[type_])
        for type_ in oracle.GGMLQuantizationType
    }
    assert theirs == gguf.TENSOR_TYPES
    names = {int(t): t.name for t in oracle.LlamaFileType if t.name != "GUESSED"}
    assert names.keys() == gguf.FILE_TYPES.keys()
    for value, name in gguf.FILE_TYPES.items():
        assert name == names[value].removeprefix("ALL_").removeprefix("MOSTLY_")


def test_without_a_file_type_the_type_of_most_weights_counts(tmp_path: Path) -> None:
    tensors = [tensor("norm", (32,), F32, 0), tensor("matrix", (64, 2), Q8_0, 128)]
    assert reading(tmp_path, whole([ARCHITECTURE], tensors, 512)).quantization == "Q8_0"


def test_a_type_from_the_future_is_named_by_its_number(tmp_path: Path) -> None:
    tensors = [tensor("matrix", (64, 2), 99, 0)]
    assert reading(tmp_path, whole([ARCHITECTURE], tensors, 0)).quantization == "type 99"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"PK\x03\x04" + bytes(40), "a zip archive"),
        (b"\x10\x27\x00\x00\x00\x00\x00\x00{", "safetensors"),
        (b"hello\n", r"b'hello\n'"),
        (b"GG", "b'GG'"),
    ],
)
def test_what_is_no_gguf_is_told_by_its_first_bytes(
    tmp_path: Path, content: bytes, said: str
) -> None:
    message = complaint(tmp_path, content)
    assert "is not a GGUF file" in message
    assert said in message


def test_an_empty_file_is_called_empty(tmp_path: Path) -> None:
    assert "is empty" in complaint(tmp_path, b"")


def test_a_missing_file_is_called_missing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="There is no file"):
        read_gguf(tmp_path / "none.gguf")


def test_of_a_folder_the_models_inside_are_named(tmp_path: Path) -> None:
    (tmp_path / "small.gguf").touch()
    with pytest.raises(UsageError, match=r"is a folder; it holds small\.gguf"):
        read_gguf(tmp_path)


def test_a_pipe_is_refused_without_waiting_for_a_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "model.gguf")
    with pytest.raises(UsageError, match="not a regular file"):
        read_gguf(tmp_path / "model.gguf")


@pytest.mark.skipif(only_as_root(), reason="this user may read everything")
def test_a_file_that_must_not_be_read_is_told_so(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF")
    path.chmod(0)
    with pytest.raises(UsageError, match="permissions"):
        read_gguf(path)


def test_old_new_and_big_endian_versions_are_told_apart(tmp_path: Path) -> None:
    assert "version 1;" in complaint(tmp_path, b"GGUF" + struct.pack("<IQQ", 1, 0, 0))
    assert "newer" in complaint(tmp_path, b"GGUF" + struct.pack("<IQQ", 4, 0, 0))
    assert "big-endian" in complaint(tmp_path, b"GGUF" + struct.pack(">IQQ", 3, 0, 0))


def test_missing_weights_are_counted_to_the_byte(tmp_path: Path) -> None:
    content = whole([ARCHITECTURE], ONE_TENSOR, 512)
    needed = len(content)
    message = complaint(tmp_path, content[:-100])
    assert f"need {needed:,} bytes" in message
    assert f"so 100 ({100 * 100 / needed:.1f} %) are missing" in message


def test_one_missing_byte_is_noticed(tmp_path: Path) -> None:
    content = whole([ARCHITECTURE], ONE_TENSOR, 512)
    assert reading(tmp_path, content).parameter_count == 128
    assert "so 1 (0.2 %) are missing" in complaint(tmp_path, content[:-1])


@given(cut=st.integers(min_value=0, max_value=10**9))
def test_no_cut_file_passes_for_a_whole_one(
    tmp_path_factory: pytest.TempPathFactory, model_file: Path, cut: int
) -> None:
    content = model_file.read_bytes()
    with pytest.raises(UsageError):
        reading(tmp_path_factory.getbasetemp(), content[: cut % len(content)], "cut.gguf")


@given(data=st.data())
def test_any_bytes_end_in_an_answer_or_a_clear_refusal(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    counts = struct.pack("<IQQ", 3, data.draw(st.integers(0, 5)), data.draw(st.integers(0, 5)))
    content = b"GGUF" + counts + data.draw(st.binary(max_size=200))
    try:
        reading(tmp_path_factory.getbasetemp(), content, "fuzz.gguf")
    except UsageError as error:
        assert "fuzz.gguf" in str(error)


@given(place=st.integers(0, 2000), value=st.integers(0, 255))
def test_a_flipped_byte_in_a_header_ends_in_an_answer_or_a_clear_refusal(
    tmp_path_factory: pytest.TempPathFactory, model_file: Path, place: int, value: int
) -> None:
    content = bytearray(model_file.read_bytes())
    content[place] = value
    try:
        reading(tmp_path_factory.getbasetemp(), bytes(content), "flipped.gguf")
    except UsageError as error:
        assert "flipped.gguf" in str(error)


def sparse(path: Path, head: bytes, size: int) -> Path:
    """A file of any size that takes no room on the disk."""
    with path.open("wb") as file:
        file.write(head)
        file.truncate(size)
    return path


LARGE = 1 << 40


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (b"GGUF" + struct.pack("<IQQ", 3, 1 << 60, 0), "tensors, more than any model"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1 << 60), "metadata entries, more than any model"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 1 << 39), "bytes long"),
        (
            header(3, [entry("tokens", ARRAY, struct.pack("<IQ", STRING, 1 << 36))], []),
            "texts, more than any model",
        ),
        (header(3, [entry("nested", ARRAY, struct.pack("<IQ", ARRAY, 5))], []), "array of type 9"),
        (header(3, [entry("odd", 77, b"")], []), "unknown type 77"),
        (
            header(3, [ARCHITECTURE], [tensor("t", (1 << 40, 1 << 40), F32, 0)]),
            "weights",
        ),
        (header(3, [ARCHITECTURE], [tensor("t", (1,) * 9, F32, 0)]), "9 dimensions"),
        (header(3, [number("general.alignment", 0)], []), "alignment is 0"),
        (
            header(3, [entry("long", ARRAY, struct.pack("<IQ", UINT64, 1 << 62))], []),
            "cut off or damaged",
        ),
    ],
)
def test_absurd_counts_and_lengths_are_refused_without_reading_on(
    tmp_path: Path, head: bytes, said: str
) -> None:
    path = sparse(tmp_path / "hostile.gguf", head, LARGE)
    tracemalloc.start()
    try:
        with pytest.raises(UsageError, match=said):
            read_gguf(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 << 20


def test_a_header_spread_over_a_huge_file_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gguf, "MAX_HEADER_BYTES", 1 << 25)
    # Each text leads on to the next, 1 MB further: every one of them costs a read of its own.
    path = tmp_path / "hostile.gguf"
    step = 1 << 20
    with path.open("wb") as file:
        file.write(header(3, [entry("texts", ARRAY, struct.pack("<IQ", STRING, 3_000_000))], []))
        start = file.tell()
        for index in range(gguf.MAX_HEADER_BYTES // gguf.CHUNK_BYTES + 2):
            file.seek(start + index * step)
            file.write(struct.pack("<Q", step - 8))
        file.truncate(1 << 42)
    with pytest.raises(UsageError, match="its header is longer than"):
        read_gguf(path)


def test_a_long_text_and_a_long_array_are_passed_over(tmp_path: Path) -> None:
    entries = [
        entry("noise.text", STRING, text("x" * 600_000)),
        entry("noise.tokens", ARRAY, struct.pack("<IQ", STRING, 3) + text("a" * 400_000) * 3),
        entry("noise.scores", ARRAY, struct.pack("<IQ", 6, 100_000) + bytes(400_000)),
        ARCHITECTURE,
        number("llama.context_length", 77),
    ]
    assert reading(tmp_path, whole(entries, ONE_TENSOR, 512)).context_length == 77


def test_a_file_without_weights_or_architecture_is_no_model(tmp_path: Path) -> None:
    assert "no weights" in complaint(tmp_path, whole([ARCHITECTURE], [], 0))
    assert "architecture" in complaint(tmp_path, whole([], ONE_TENSOR, 512))


def part(number_: int, count: int, tensors: list[bytes]) -> bytes:
    entries = [number("split.no", number_), number("split.count", count)]
    return whole([ARCHITECTURE, *entries] if number_ == 0 else entries, tensors, 512)


def test_a_split_model_is_the_sum_of_its_parts(tmp_path: Path) -> None:
    for index in range(2):
        (tmp_path / f"m-{index + 1:05}-of-00002.gguf").write_bytes(part(index, 2, ONE_TENSOR))
    info = read_gguf(tmp_path / "m-00001-of-00002.gguf")
    assert (info.parts, info.parameter_count) == (2, 256)
    assert info.file_size_bytes == sum(p.stat().st_size for p in tmp_path.iterdir())


def test_a_missing_or_wrong_part_of_a_split_model_is_told(tmp_path: Path) -> None:
    first = tmp_path / "m-00001-of-00002.gguf"
    first.write_bytes(part(0, 2, ONE_TENSOR))
    with pytest.raises(UsageError, match=r"There is no file .*m-00002-of-00002\.gguf"):
        read_gguf(first)
    second = tmp_path / "m-00002-of-00002.gguf"
    second.write_bytes(part(1, 2, ONE_TENSOR))
    with pytest.raises(UsageError, match=r"name the first, …-00001-of-00002\.gguf"):
        read_gguf(second)


def values() -> list[Any]:
    return [
        (0, "<B", 1), (1, "<b", -1), (2, "<H", 2), (3, "<h", -2), (5, "<i", -3), (6, "<f", 0.5),
        (7, "<?", True), (10, "<Q", 4), (11, "<q", -4), (12, "<d", 0.25),
    ]  # fmt: skip


@pytest.mark.parametrize(("type_", "layout", "value"), values())
def test_a_value_of_every_type_is_stepped_over_by_its_size(
    tmp_path: Path, type_: int, layout: str, value: Any
) -> None:
    entries = [entry("x", type_, struct.pack(layout, value)), ARCHITECTURE]
    assert reading(tmp_path, whole(entries, ONE_TENSOR, 512)).architecture == "llama"
