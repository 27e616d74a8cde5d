"""Reads a GGUF model file's header: what model it is, and whether the file is whole.

Source: the GGUF specification (ggml repository, docs/gguf.md); sizes and names of types from
ggml.h and llama.h at llama.cpp b11549.
"""

from __future__ import annotations

import os
import re
import stat
import struct
from pathlib import Path
from typing import BinaryIO, NamedTuple, TypeAlias

import msgspec

from minionbench.engines.foreign import one_line
from minionbench.errors import UsageError
from minionbench.units import number_of

Value: TypeAlias = int | float | bool | str | None
"""A metadata value; None for an array, and for a text too long to matter."""

MAX_STRINGS = 4_000_000
"""Array texts accepted in one file; the largest vocabularies have 0.3 million tokens and 0.5
million merges, and a hostile file must not keep us counting."""
MAX_ENTRIES = 100_000
"""Metadata entries, and tensors, accepted in one file; real ones have tens, and thousands."""
MAX_NAME_BYTES = 1_024
"""Longest key or tensor name accepted; llama.cpp's own tensor names end at 64."""
MAX_TEXT_BYTES = 4_096
"""Longest metadata text that is kept; the texts wanted here are names."""
CHUNK_BYTES = 1 << 18
MAX_HEADER_BYTES = 1 << 29
"""Bytes read from one file at most; the headers of real models have some ten million."""

_STRING, _ARRAY = 8, 9
_SCALARS = {
    0: "B",
    1: "b",
    2: "H",
    3: "h",
    4: "I",
    5: "i",
    6: "f",
    7: "?",
    10: "Q",
    11: "q",
    12: "d",
}
"""Metadata type number to struct code."""

# fmt: off
TENSOR_TYPES: dict[int, tuple[str, int, int]] = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22), 7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34), 9: ("Q8_1", 32, 40),
    10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110), 12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210), 15: ("Q8_K", 256, 292),
    16: ("IQ2_XXS", 256, 66), 17: ("IQ2_XS", 256, 74), 18: ("IQ3_XXS", 256, 98),
    19: ("IQ1_S", 256, 50), 20: ("IQ4_NL", 32, 18), 21: ("IQ3_S", 256, 110),
    22: ("IQ2_S", 256, 82), 23: ("IQ4_XS", 256, 136), 24: ("I8", 1, 1), 25: ("I16", 1, 2),
    26: ("I32", 1, 4), 27: ("I64", 1, 8), 28: ("F64", 1, 8), 29: ("IQ1_M", 256, 56),
    30: ("BF16", 1, 2), 34: ("TQ1_0", 256, 54), 35: ("TQ2_0", 256, 66), 39: ("MXFP4", 32, 17),
    40: ("NVFP4", 64, 36), 41: ("Q1_0", 128, 18),
}
"""Tensor type number to name, weights per block, and bytes per block."""

FILE_TYPES: dict[int, str] = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K",
    11: "Q3_K_S", 12: "Q3_K_M", 13: "Q3_K_L", 14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S",
    17: "Q5_K_M", 18: "Q6_K", 19: "IQ2_XXS", 20: "IQ2_XS", 21: "Q2_K_S", 22: "IQ3_XS",
    23: "IQ3_XXS", 24: "IQ1_S", 25: "IQ4_NL", 26: "IQ3_S", 27: "IQ3_M", 28: "IQ2_S",
    29: "IQ2_M", 30: "IQ4_XS", 31: "IQ1_M", 32: "BF16", 36: "TQ1_0", 37: "TQ2_0", 38: "MXFP4_MOE",
    39: "NVFP4", 40: "Q1_0",
}
"""general.file_type to the name that people call the format by."""
# fmt: on


POOLINGS = (1, 2, 3)
"""Pooling types that give a text one vector: mean, first and last token. 0 is none, 4 ranks."""


class GgufInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What a model file says of itself."""

    architecture: str
    name: str | None
    context_length: int | None
    """Longest context in tokens that the model was made for; None where the file is silent."""
    parameter_count: int
    """Weights in all tensors, norms included."""
    quantization: str
    """`Q8_0`, `Q4_K_M`, `F16`, …: general.file_type, else the type of most weights."""
    file_size_bytes: int
    """Of all parts, where the model is split over several files."""
    layers: int | None
    has_chat_template: bool
    version: int
    """Of the GGUF format."""
    parts: int
    """Files that the model is split over; 1 for a whole one."""
    is_adapter: bool = False
    """Whether it is a LoRA adapter, which is nothing without a model below it."""
    embeds: bool = False
    """Whether it declares itself an embedding model: it says how the vectors of a text's tokens
    become that of the text."""


class _Tensor(NamedTuple):
    elements: int
    type: int
    offset: int

    @property
    def size_bytes(self) -> int:
        """0 for a type not known here: a file is never called cut off on a guess."""
        _, block, block_bytes = TENSOR_TYPES.get(self.type, ("", 1, 0))
        return -(-self.elements // block) * block_bytes


class _Header(NamedTuple):
    version: int
    metadata: dict[str, Value]
    tensors: list[_Tensor]
    size_bytes: int


def read_gguf(path: Path) -> GgufInfo:
    """Reads what a model file says of itself, and checks that nothing of it is missing.

    The weights themselves are not read. A model split over several files is named by its first,
    and all of them are looked at.

    Raises:
        UsageError: there is no such file, it cannot be read, is not a GGUF file of a version
            known here, is damaged, or ends before its tensor table says; the message says which.
    """
    headers = [_read_header(path)]
    parts = headers[0].metadata.get("split.count")
    if isinstance(parts, int) and parts > 1:
        headers += [_read_header(part) for part in _other_parts(path, headers[0], parts)]
    first = headers[0].metadata
    architecture = first.get("general.architecture")
    if not isinstance(architecture, str):
        raise UsageError(f"{path} does not name its architecture, so it is not a language model")
    tensors = [tensor for header in headers for tensor in header.tensors]
    if not tensors:
        raise UsageError(f"{path} holds no weights (a vocabulary only?); give a model file")
    return GgufInfo(
        architecture=one_line(architecture, 100),
        name=_text(first, "general.name"),
        context_length=_integer(first, f"{architecture}.context_length"),
        parameter_count=sum(tensor.elements for tensor in tensors),
        quantization=_quantization(first, tensors),
        file_size_bytes=sum(header.size_bytes for header in headers),
        layers=_integer(first, f"{architecture}.block_count"),
        has_chat_template="tokenizer.chat_template" in first,
        version=headers[0].version,
        parts=len(headers),
        is_adapter=first.get("general.type") == "adapter",
        embeds=first.get(f"{architecture}.pooling_type") in POOLINGS,
    )


def require_file(path: Path) -> int:
    """Size in bytes of a file that can be read.

    Raises:
        UsageError: there is none, it is a folder or no regular file, is empty, or must not be read.
    """
    try:
        status = path.stat()
    except FileNotFoundError as error:
        raise UsageError(f"There is no file {path}") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in the name
        raise UsageError(f"{path} cannot be read: {error}") from error
    if stat.S_ISDIR(status.st_mode):
        inside = sorted(p.name for p in path.glob("*.gguf"))[:5]
        hint = f"; it holds {', '.join(inside)}" if inside else ""
        raise UsageError(f"{path} is a folder{hint}: name the .gguf file itself")
    if not stat.S_ISREG(status.st_mode):
        raise UsageError(f"{path} is not a regular file")
    if not os.access(path, os.R_OK):
        raise UsageError(f"{path} must not be read by this user; see its permissions")
    if status.st_size == 0:
        raise UsageError(f"{path} is empty; the download may have failed")
    return status.st_size


def _text(metadata: dict[str, Value], key: str) -> str | None:
    value = metadata.get(key)
    return one_line(value) or None if isinstance(value, str) else None


def _integer(metadata: dict[str, Value], key: str) -> int | None:
    value = metadata.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _quantization(metadata: dict[str, Value], tensors: list[_Tensor]) -> str:
    file_type = metadata.get("general.file_type")
    if isinstance(file_type, int) and file_type & 1023 in FILE_TYPES:
        return FILE_TYPES[file_type & 1023]  # 1024 marks a type that was guessed
    weights: dict[int, int] = {}
    for tensor in tensors:
        weights[tensor.type] = weights.get(tensor.type, 0) + tensor.elements
    most = max(weights, key=lambda type_: weights[type_])
    return TENSOR_TYPES[most][0] if most in TENSOR_TYPES else f"type {most}"


_WANTED = re.compile(
    r"general\.(architecture|name|type|file_type|alignment)|split\.(count|no)|tokenizer\.chat_template"
    r"|.+\.(context_length|block_count|pooling_type)"
)
"""The metadata that is kept; the rest of a hostile file must not fill the memory."""
_PART = re.compile(r"(.+)-(\d{5})-of-(\d{5})(\.gguf)")


def _other_parts(path: Path, header: _Header, count: int) -> list[Path]:
    match = _PART.fullmatch(path.name)
    number = header.metadata.get("split.no")
    if match is None or number != 0 or int(match[3]) != count:
        raise UsageError(
            f"{path} is one of {count} parts of a model; name the first, "
            f"…-00001-of-{count:05}.gguf, with the others beside it under their own names"
        )
    return [
        path.with_name(f"{match[1]}-{part:05}-of-{match[3]}{match[4]}")
        for part in range(2, count + 1)
    ]


def _read_header(path: Path) -> _Header:
    size = require_file(path)
    try:
        with path.open("rb") as file:
            return _parse_header(path, _Reader(file, path, size))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error}") from error


def _parse_header(path: Path, reader: _Reader) -> _Header:
    magic = reader.take(4, "its first bytes") if reader.size >= 4 else b""
    if magic != b"GGUF":
        reader.seek(0)
        first = reader.take(min(8, reader.size), "its first bytes")
        raise UsageError(
            f"{path} is not a GGUF file: it begins with {first!r} ({_guess(first)}), not b'GGUF'"
        )
    version = reader.number("I", "its version")
    if version & 0xFFFF == 0:
        raise UsageError(f"{path} is a big-endian GGUF file, which is not supported here")
    if version not in (2, 3):
        raise UsageError(
            f"{path} is GGUF version {version}; versions 2 and 3 are supported. "
            "Get or convert a newer file of this model"
            if version < 2
            else f"{path} is GGUF version {version}, newer than the versions 2 and 3 known here"
        )
    tensor_count = reader.count("tensors")
    entry_count = reader.count("metadata entries")
    metadata: dict[str, Value] = {}
    for _ in range(entry_count):
        key = reader.text(MAX_NAME_BYTES, "a metadata key")
        value = reader.value(key)
        if _WANTED.fullmatch(key):
            metadata[key] = value
    tensors = [_parse_tensor(reader) for _ in range(tensor_count)]
    _check_whole(path, reader, metadata, tensors)
    return _Header(version, metadata, tensors, reader.size)


def _parse_tensor(reader: _Reader) -> _Tensor:
    reader.text(MAX_NAME_BYTES, "a tensor's name")
    dimensions = reader.number("I", "a tensor's shape")
    if dimensions > 4:
        raise UsageError(
            f"{reader.path} is damaged: a tensor has {dimensions} dimensions instead of at most 4"
        )
    elements = 1
    for _ in range(dimensions):
        elements *= reader.number("Q", "a tensor's shape")
    if elements >= 1 << 63:
        raise UsageError(f"{reader.path} is damaged: a tensor has {elements} weights")
    type_ = reader.number("I", "a tensor's type")
    return _Tensor(elements, type_, reader.number("Q", "a tensor's place"))


def _check_whole(
    path: Path, reader: _Reader, metadata: dict[str, Value], tensors: list[_Tensor]
) -> None:
    alignment = metadata.get("general.alignment", 32)
    if not isinstance(alignment, int) or alignment < 1:
        raise UsageError(f"{path} is damaged: its alignment is {alignment!r}")
    start = -(-reader.position // alignment) * alignment
    needed = max((start + t.offset + t.size_bytes for t in tensors), default=0)
    if needed > reader.size:
        missing = needed - reader.size
        raise UsageError(
            f"{path} is cut off: its tensors need {needed:,} bytes, the file has {reader.size:,}, "
            f"so {missing:,} ({100 * missing / needed:.1f} %) are missing. Download it again"
        )


def _guess(first: bytes) -> str:
    for magic, what in (
        (b"PK\x03\x04", "a zip archive or PyTorch file"),
        (b"\x1f\x8b", "a gzip archive"),
        (b"version ", "a Git LFS pointer: the file itself was not downloaded"),
        (b"<", "a web page"),
        (b"lmgg", "llama.cpp's old ggml format"),
        (b"tjgg", "llama.cpp's old ggml format"),
    ):
        if first.startswith(magic):
            return what
    if first[8:9] == b"{" or (len(first) == 8 and first[3:8] == bytes(5)):
        return "perhaps a safetensors file"
    return "an unknown format"


class _Reader:
    """A file read forwards in chunks, every length checked against the file's own size."""

    def __init__(self, file: BinaryIO, path: Path, size: int) -> None:
        self.path = path
        self.size = size
        self._file = file
        self._chunk = b""
        self._chunk_start = 0
        self._at = 0
        self._strings_left = MAX_STRINGS
        self._bytes_left = MAX_HEADER_BYTES

    @property
    def position(self) -> int:
        """Bytes from the start of the file."""
        return self._chunk_start + self._at

    def seek(self, position: int) -> None:
        """Goes to a byte; what is buffered there is kept."""
        at = position - self._chunk_start
        if 0 <= at <= len(self._chunk):
            self._at = at
        else:
            self._chunk, self._chunk_start, self._at = b"", position, 0

    def take(self, count: int, what: str) -> bytes:
        """The next `count` bytes."""
        if self._at + count > len(self._chunk):
            self._fill(count, what)
        self._at += count
        return self._chunk[self._at - count : self._at]

    def skip(self, count: int, what: str) -> None:
        """Goes `count` bytes on without reading them."""
        if self.position + count > self.size:
            self._cut_off(count, what)
        self.seek(self.position + count)

    def number(self, code: str, what: str) -> int:
        """The next little-endian integer of a struct code."""
        layout = f"<{code}"
        value = struct.unpack(layout, self.take(struct.calcsize(layout), what))[0]
        assert isinstance(value, int)
        return value

    def count(self, what: str) -> int:
        """The next 64-bit count of things, refused when it cannot be true."""
        count = self.number("Q", f"the number of {what}")
        if count > MAX_ENTRIES:
            raise UsageError(
                f"{self.path} is damaged: it claims {count:,} {what}, more than any model has"
            )
        return count

    def text(self, limit: int, what: str) -> str:
        """The next length and so many bytes of UTF-8."""
        length = self.number("Q", what)
        if length > limit:
            raise UsageError(
                f"{self.path} is damaged: {what} claims to be {length:,} bytes long "
                f"(byte {self.position:,})"
            )
        return self.take(length, what).decode("utf-8", "replace")

    def value(self, key: str) -> Value:
        """The next typed metadata value; arrays are passed over."""
        key = one_line(key, 100)
        what = f"the value of {key!r}"
        type_ = self.number("I", what)
        if type_ == _STRING:
            length = self.number("Q", what)
            if length <= MAX_TEXT_BYTES:
                return self.take(length, what).decode("utf-8", "replace")
            self.skip(length, what)
            return None
        if type_ == _ARRAY:
            self._skip_array(key, what)
            return None
        code = _SCALARS.get(type_)
        if code is None:
            raise UsageError(f"{self.path} is damaged: {key!r} has the unknown type {type_}")
        layout = f"<{code}"
        value: Value = struct.unpack(layout, self.take(struct.calcsize(layout), what))[0]
        return value

    def _skip_array(self, key: str, what: str) -> None:
        type_ = self.number("I", what)
        count = self.number("Q", what)
        if type_ in _SCALARS:
            self.skip(count * struct.calcsize(f"<{_SCALARS[type_]}"), what)
            return
        if type_ != _STRING:
            raise UsageError(f"{self.path} is damaged: {key!r} is an array of type {type_}")
        if count > self._strings_left:
            raise UsageError(
                f"{self.path} is damaged: {key!r} claims {count:,} texts, more than any model has"
            )
        self._strings_left -= count
        for _ in range(count):
            if self._at + 8 > len(self._chunk):
                self._fill(8, what)
            length = int.from_bytes(self._chunk[self._at : self._at + 8], "little")
            self._at += 8
            if self._at + length <= len(self._chunk):
                self._at += length
            else:
                self.skip(length, what)

    def _fill(self, count: int, what: str) -> None:
        position = self.position
        if position + count > self.size:
            self._cut_off(count, what)
        self._bytes_left -= max(count, CHUNK_BYTES)
        if self._bytes_left < 0:
            raise UsageError(
                f"{self.path} is damaged: its header is longer than {MAX_HEADER_BYTES:,} bytes"
            )
        self._file.seek(position)
        self._chunk = self._file.read(max(count, CHUNK_BYTES))
        self._chunk_start, self._at = position, 0
        if len(self._chunk) < count:  # the file shrank since its size was taken
            self._cut_off(count, what)

    def _cut_off(self, count: int, what: str) -> None:
        raise UsageError(
            f"{self.path} is cut off or damaged: it has {number_of(self.size, 'byte')}, and {what} "
            f"would end at byte {self.position + count:,}. Download it again"
        )
