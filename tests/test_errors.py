"""The tree of exceptions: each leaves with the exit code that the command line promises."""

from __future__ import annotations

import inspect

import pytest

from minionbench import errors
from minionbench.errors import (
    DeploymentError,
    MeterError,
    MinionbenchError,
    NotComparable,
    SchemaError,
    SetupError,
    UsageError,
)

CLASSES = [value for _, value in inspect.getmembers(errors, inspect.isclass)]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (MinionbenchError("x"), 1),
        (UsageError("x"), 2),
        (SchemaError("x"), 2),
        (SetupError("x"), 3),
        (DeploymentError("x"), 3),
        (MeterError("x"), 3),
        (NotComparable("x"), 2),
    ],
)
def test_each_exception_has_its_exit_code(error: MinionbenchError, code: int) -> None:
    assert error.exit_code == code


@pytest.mark.parametrize("kind", CLASSES)
def test_every_exception_belongs_to_the_one_tree_and_is_drawn_in_it(
    kind: type[Exception],
) -> None:
    assert issubclass(kind, MinionbenchError)
    assert errors.__doc__ is not None
    assert kind.__name__ in errors.__doc__


def test_a_schema_error_begins_with_where_it_is() -> None:
    error = SchemaError("must be a number", "candidates.0.metrics.latency_ms")
    assert str(error) == "candidates.0.metrics.latency_ms: must be a number"
    assert error.path == "candidates.0.metrics.latency_ms"


def test_a_schema_error_of_a_whole_file_has_no_path() -> None:
    error = SchemaError("not JSON")
    assert str(error) == "not JSON"
    assert error.path is None
