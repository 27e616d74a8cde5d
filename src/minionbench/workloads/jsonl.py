"""Reading the lines of a data set from a file.

Whatever a line holds is text: it is checked for its type, never executed or used as a path, and
shown in a message only in escaped and shortened form.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import zlib
from collections.abc import Iterable
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from minionbench.errors import SchemaError, UsageError

GZIP_MAGIC = b"\x1f\x8b"
UTF8_MARK = b"\xef\xbb\xbf"
"""With which some editors begin a file."""
LONGEST_ID = 200
LARGEST_BYTES = 2 * 2**30
"""A data set's text in memory, unpacked; a larger one would not fit beside what is measured."""
SHOWN = 60
"""Characters of a data set's text that a message shows at most."""


class Line(NamedTuple):
    """One JSON object of a data set and where it stands."""

    file: str
    number: int
    fields: dict[str, Any]
    kind: str = "line"
    """What the number counts: lines, or the rows of a table."""

    def error(self, message: str) -> SchemaError:
        """An error that names the file and the line."""
        return SchemaError(f"{self.file}, {self.kind} {self.number}: {message}")

    def text(self, name: str) -> str:
        """The text in a field.

        Raises:
            SchemaError: the field is missing, not a text, or empty.
        """
        return checked_text(self, name, self.fields.get(name))


def checked_text(line: Line, name: str, value: object) -> str:
    """The value of a field if it is a text that is not empty.

    Raises:
        SchemaError: it is not.
    """
    if value is None:
        raise line.error(f"the field {name} is missing; a text was expected.")
    if not isinstance(value, str):
        raise line.error(f"{name} was expected to be a text, but is {json_type(value)}.")
    if not value.strip():
        raise line.error(f"{name} is empty.")
    return value


class Lines(NamedTuple):
    """All objects of a file, and the SHA-256 of its bytes."""

    file: str
    sha256: str
    lines: tuple[Line, ...]


def read_lines(path: str | PathLike[str]) -> Lines:
    """Read a file of JSON Lines, plain or gzipped; empty lines are left out.

    Raises:
        UsageError: the file cannot be read.
        SchemaError: a line is not a JSON object, or there is none; it names the line.
    """
    return json_lines(read_file(path))


class File(NamedTuple):
    """A data set's file: its name as the user gave it, the SHA-256 of its bytes, its content."""

    name: str
    sha256: str
    content: bytes
    """Unpacked where the file is gzipped."""


def read_file(path: str | PathLike[str]) -> File:
    """Read a file, plain or gzipped.

    Raises:
        UsageError: it cannot be read, or is too large.
        SchemaError: it is a broken gzip file.
    """
    file = str(path)
    try:
        if Path(path).is_char_device() or Path(path).is_block_device():
            # /dev/zero never ends.
            raise UsageError(f"{file} is a device; name the data set's file.")
        if Path(path).stat().st_size > LARGEST_BYTES:
            raise too_large(file)
        data = Path(path).read_bytes()
    except FileNotFoundError as error:
        raise UsageError(f"The data set {file} does not exist.") from error
    except IsADirectoryError as error:
        raise UsageError(f"{file} is a folder; name the data set's file.") from error
    except (OSError, ValueError) as error:
        raise UsageError(f"The data set {file} cannot be read: {error}.") from error
    digest = hashlib.sha256(data).hexdigest()
    if data.startswith(GZIP_MAGIC):
        try:
            with gzip.GzipFile(fileobj=io.BytesIO(data)) as packed:
                data = packed.read(LARGEST_BYTES + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise SchemaError(f"{file} is a broken gzip file: {error}.") from error
        if len(data) > LARGEST_BYTES:
            raise too_large(file)
    return File(file, digest, data)


def too_large(file: str) -> UsageError:
    """The error of a data set that does not fit into memory."""
    return UsageError(
        f"{file} holds more than {LARGEST_BYTES // 2**30} GB of text; name a part of the data set."
    )


def json_lines(file: File) -> Lines:
    """The lines of a file of JSON Lines; empty ones are left out.

    Raises:
        SchemaError: a line is not a JSON object, or there is none; it names the line.
    """
    lines = tuple(_parsed(file.name, file.content.removeprefix(UTF8_MARK).split(b"\n")))
    if not lines:
        raise SchemaError(f"{file.name} holds no line; one JSON object per line was expected.")
    return Lines(file.name, file.sha256, lines)


def identities(lines: Lines, field: str) -> list[str]:
    """What each line calls itself in a field, or its line number where it does not.

    Raises:
        SchemaError: a name is not short printable text, or is used twice.
    """
    names: dict[str, int] = {}
    for line in lines.lines:
        given = line.fields.get(field)
        if given is not None and (isinstance(given, bool) or not isinstance(given, str | int)):
            raise line.error(
                f"{field} was expected to be a text or a whole number, but is {json_type(given)}."
            )
        name = f"line {line.number}" if given is None else str(given)
        if not name.isprintable() or not 0 < len(name) <= LONGEST_ID:
            raise line.error(f"{field} was expected to be 1 to {LONGEST_ID} printable characters.")
        if name in names:
            raise line.error(
                f"{field} {shown(name)} was used in {line.kind} {names[name]} already."
            )
        names[name] = line.number
    return list(names)


def own_id(file: str, source: str, item_id: str) -> str:
    """What an item's id says after its source.

    Raises UsageError when the source is not the one of this file.
    """
    own = item_id.removeprefix(f"{source}/")
    if own == item_id:
        raise UsageError(
            f"{shown(item_id)} is not an item of {file}, whose ids begin with {source}/: the file "
            "has other content than the one that the item was drawn from."
        )
    return own


def no_item(file: str, item_id: str) -> UsageError:
    """The error of an id that names nothing in a file."""
    return UsageError(f"{file} has no item {shown(item_id)}.")


def _parsed(file: str, raw_lines: Iterable[bytes]) -> Iterable[Line]:
    for number, raw in enumerate(raw_lines, 1):
        if raw.strip():
            yield json_line(file, number, raw)


def json_line(file: str, number: int, raw: bytes | str, kind: str = "line") -> Line:
    """A line that is a JSON object.

    Raises:
        SchemaError: it is none.
    """
    try:
        fields = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SchemaError(
            f"{file}, {kind} {number}: one JSON object per line was expected, but this line "
            f"is not JSON ({error}). Is the file JSON Lines?"
        ) from error
    if not isinstance(fields, dict):
        raise SchemaError(
            f"{file}, {kind} {number}: a JSON object was expected, but this is {json_type(fields)}."
        )
    return Line(file, number, fields, kind)


def json_type(value: object) -> str:
    """What a JSON value is, for a message."""
    match value:
        case None:
            return "null"
        case bool():
            return "a truth value"
        case int() | float():
            return "a number"
        case str():
            return "a text"
        case list():
            return "a list"
        case _:
            return "an object"


def shown(text: str) -> str:
    """A data set's text for a message: escaped and shortened."""
    return ascii(text if len(text) <= SHOWN else text[: SHOWN - 1] + "…")


def as_decimal(text: str) -> str | None:
    """A number such as `1,234.50` in decimal form without separators; None for other text."""
    plain = text.strip().replace(",", "")
    digits = plain.removeprefix("-").removeprefix("+")
    whole, _, part = digits.partition(".")
    if not digits.isascii() or not (whole + part).isdigit() or (part == "" and "." in digits):
        return None
    sign = "-" if plain.startswith("-") else ""
    return sign + (digits if whole else f"0{digits}")
