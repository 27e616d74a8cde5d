from __future__ import annotations

import json

import pytest

from minionbench.schema import json_schema
from tests.cli.calling import call


def test_the_schema_is_printed_as_the_code_has_it(capsys: pytest.CaptureFixture[str]) -> None:
    result = call(capsys, "schema")
    assert result.code == 0
    assert json.loads(result.out) == json_schema()
