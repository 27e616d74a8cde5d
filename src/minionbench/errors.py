"""Exceptions of a harness that failed; a request that failed is data, never one of these.

    MinionbenchError
    ├── UsageError        wrong flag, name, file or value        exit code 2
    │   └── SchemaError   a document that breaks the schema      exit code 2
    ├── SetupError        something needed is not there          exit code 3
    │   ├── DeploymentError   an engine or server cannot serve   exit code 3
    │   └── MeterError        a meter cannot be read             exit code 3
    └── NotComparable     two results that must not be compared  exit code 2

Each message says what happened and what to do about it. The command line prints the message
without a traceback and leaves with the class's exit code.
"""

from __future__ import annotations


class MinionbenchError(Exception):
    """A failure of the harness or its input that a user can act on."""

    exit_code = 1


class UsageError(MinionbenchError):
    """The user asked for something that cannot be: a wrong flag, name, file or value."""

    exit_code = 2


class SchemaError(UsageError):
    """A document or registry does not have the form that its schema states.

    `path` is where in the document, as `candidates.0.metrics.latency_ms`; None when the file as
    a whole is meant (it is not JSON, say).
    """

    def __init__(self, message: str, path: str | None = None) -> None:
        super().__init__(message if path is None else f"{path}: {message}")
        self.path = path


class SetupError(MinionbenchError):
    """Something that the run needs is missing on this machine."""

    exit_code = 3


class DeploymentError(SetupError):
    """An engine could not be started, or a server could not be made to serve the model."""


class MeterError(SetupError):
    """A meter that the user asked for cannot be read."""


class NotComparable(MinionbenchError):
    """Two results differ in something that makes their comparison meaningless."""

    exit_code = 2
