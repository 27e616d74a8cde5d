"""Models of Hugging Face's form, and programs on the PATH that serve them."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

STUB = Path(__file__).with_name("hub_stub.py")


def install(folder: Path, *names: str) -> dict[str, str]:
    """Puts programs of these names into a folder; the environment that finds them there alone."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        program = folder / name
        program.write_text(f"#!{sys.executable}\n{STUB.read_text()}")
        program.chmod(0o755)
    return {**os.environ, "PATH": f"{folder}{os.pathsep}/usr/bin{os.pathsep}/bin"}


def model(folder: Path, **wish: Any) -> Path:
    """A model's folder whose server does as wished."""
    folder.mkdir()
    config = {"architectures": ["LlamaForCausalLM"], "max_position_embeddings": 2048, "stub": wish}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").write_bytes(bytes(3 * 2**20))
    return folder


def told(folder: Path, what: str) -> Any:
    """What the server of a model wrote down of its command line or environment."""
    return json.loads((folder / f"{what}.json").read_text())
