"""Reading data sets: each fault is named with its file and line, and text stays text."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minionbench.errors import SchemaError, UsageError
from minionbench.workloads.jsonl import Line, Lines, as_decimal, identities, read_lines, shown


def written(folder: Path, data: bytes) -> Path:
    path = folder / "set.jsonl"
    path.write_bytes(data)
    return path


def test_lines_keep_their_numbers_when_empty_ones_are_left_out(tmp_path: Path) -> None:
    data = b'{"a": 1}\n\n   \n{"a": 2}\r\n'
    read = read_lines(written(tmp_path, data))
    assert [(line.number, line.fields) for line in read.lines] == [(1, {"a": 1}), (4, {"a": 2})]
    assert read.sha256 == hashlib.sha256(data).hexdigest()


def test_a_gzipped_file_and_a_byte_order_mark_are_read(tmp_path: Path) -> None:
    zipped = written(tmp_path, gzip.compress(b'\xef\xbb\xbf{"a": "\xc3\xa9"}'))
    assert read_lines(zipped).lines[0].fields == {"a": "é"}


def test_line_separators_inside_a_text_do_not_end_the_line(tmp_path: Path) -> None:
    read = read_lines(written(tmp_path, '{"a": "x\u2028y\x85z"}\n'.encode()))
    assert read.lines[0].fields["a"] == "x\u2028y\x85z"


@pytest.mark.parametrize(
    "raw",
    [
        b"{",
        b"plain words",
        b'{"a": NaN}',
        b'{"a": "\\ud800"}',
        b'{"a": "\xff"}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"\x00",
    ],
)
def test_a_line_that_is_not_json_is_named(tmp_path: Path, raw: bytes) -> None:
    path = written(tmp_path, b'{"a": 1}\n' + raw + b"\n")
    with pytest.raises(SchemaError, match=r"set\.jsonl, line 2: one JSON object per line"):
        read_lines(path)


@pytest.mark.parametrize(
    ("raw", "what"), [(b"[1]", "a list"), (b"3", "a number"), (b'"x"', "text")]
)
def test_a_line_that_is_no_object_is_named(tmp_path: Path, raw: bytes, what: str) -> None:
    with pytest.raises(SchemaError, match=rf"line 1: a JSON object was expected.*{what}"):
        read_lines(written(tmp_path, raw))


@pytest.mark.parametrize("data", [b"", b"\n\n", b"\xef\xbb\xbf"])
def test_an_empty_file_is_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(SchemaError, match="holds no line"):
        read_lines(written(tmp_path, data))


def test_a_broken_gzip_file_is_refused(tmp_path: Path) -> None:
    whole = gzip.compress(b'{"a": 1}' * 50)
    for data in (whole[:-9], whole[:12] + b"xxxx" + whole[16:]):
        with pytest.raises(SchemaError, match="broken gzip"):
            read_lines(written(tmp_path, data))


def test_a_missing_file_and_a_folder_are_usage_errors(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.jsonl does not exist"):
        read_lines(tmp_path / "none.jsonl")
    with pytest.raises(UsageError, match="is a folder"):
        read_lines(tmp_path)
    with pytest.raises(UsageError, match="cannot be read"):
        read_lines("null\x00byte")


def test_a_device_which_may_never_end_is_not_read() -> None:
    with pytest.raises(UsageError, match="is a device"):
        read_lines("/dev/null")


def test_a_field_that_is_not_text_is_named_with_what_it_is() -> None:
    line = Line("f.jsonl", 7, {"number": 3, "empty": " ", "none": None, "flag": True, "o": {}})
    for name, what in (
        ("number", "is a number"),
        ("empty", "is empty"),
        ("none", "is missing"),
        ("other", "is missing"),
        ("flag", "is a truth value"),
        ("o", "is an object"),
    ):
        with pytest.raises(SchemaError, match=rf"f\.jsonl, line 7: .*{name}.*{what}"):
            line.text(name)


def test_names_are_unique_short_and_printable() -> None:
    def named(*given: object) -> Lines:
        lines = [Line("f", number, {"id": name}) for number, name in enumerate(given, 1)]
        return Lines("f", "0" * 64, tuple(lines))

    assert identities(named("a", None, 12), "id") == ["a", "line 2", "12"]
    for given_names, message in (
        (("a", "b", "a"), "line 3: id 'a' was used in line 1 already"),
        (("a\nb",), "printable"),
        (("",), "printable"),
        (("x" * 201,), "printable"),
        ((True,), "truth value"),
        (([],), "a list"),
    ):
        with pytest.raises(SchemaError, match=message):
            identities(named(*given_names), "id")


def test_text_in_a_message_is_escaped_and_shortened() -> None:
    assert shown("a\x1b[31mb") == "'a\\x1b[31mb'"
    assert len(shown("x" * 1000)) < 70


@pytest.mark.parametrize(
    ("text", "decimal"),
    [
        ("1,234.50", "1234.50"),
        (" -3 ", "-3"),
        ("+7", "7"),
        (".5", "0.5"),
        ("-.5", "-0.5"),
        ("10,000,000", "10000000"),
        ("", None),
        ("-", None),
        (".", None),
        ("5.", None),
        ("--5", None),
        ("1e9", None),
        ("٣", None),
        ("²", None),
        ("twelve", None),
        ("3 apples", None),
    ],
)
def test_a_number_is_read_in_its_decimal_form(text: str, decimal: str | None) -> None:
    assert as_decimal(text) == decimal


@given(st.integers(-(10**12), 10**12))
def test_separators_do_not_change_a_number(number: int) -> None:
    assert as_decimal(f"{number:,}") == str(number)


@given(st.text())
def test_any_text_is_a_plain_number_or_none(text: str) -> None:
    decimal = as_decimal(text)
    assert decimal is None or float(decimal) == float(text.strip().replace(",", ""))
