"""Registries for tests, and processes that work on them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent


def entry(version: str, **fields: Any) -> dict[str, Any]:
    """An entry as the prototype of the registry wrote it."""
    return {
        "version": version,
        "base_model": "llama",
        "distilled_from": None,
        "quantization": "4bit",
        "model_path": None,
        "timestamp": "2025-01-02T03:04:05",
        "metrics": {"loss": 0.5},
        "active": False,
        "last_good": False,
        "commit_hash": "abc",
    } | fields


def write(folder: Path, *entries: Any) -> Path:
    """A registry of these entries, as the prototype wrote it."""
    path = folder / "registry.json"
    path.write_text(json.dumps(list(entries), indent=2))
    return path


def read(path: Path) -> list[Any]:
    """What stands in a registry."""
    entries = json.loads(path.read_bytes())
    assert isinstance(entries, list)
    return entries


def marks(path: Path) -> dict[str, str]:
    """Each version's marks: `a` for active, `g` for last good."""
    return {
        fields["version"]: ("a" if fields["active"] else "") + ("g" if fields["last_good"] else "")
        for fields in read(path)
    }


def python(code: str, *arguments: str) -> subprocess.Popen[str]:
    """A process of its own that runs this code."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
