"""Which engine can serve what lies at a model's path, and why none can where that is so."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal, NamedTuple

from minionbench.engines.gguf import read_gguf, require_file
from minionbench.engines.hugging_face import INSTALL, HubServer, installed_server
from minionbench.errors import UsageError

_FIRST_PART = re.compile(r".+-00001-of-\d{5}\.gguf", re.IGNORECASE)
_LATER_PART = re.compile(r".+-\d{5}-of-\d{5}\.gguf", re.IGNORECASE)
_MOST_NAMED = 5
"""Files of a folder that a message lists."""


class Served(NamedTuple):
    """What the embedded engine is to load."""

    file: Path
    adapter: Path | None = None
    """LoRA adapter over the file's model."""

    @property
    def embeds(self) -> bool:
        """Whether the model declares itself an embedding model."""
        try:
            return read_gguf(self.file).embeds
        except UsageError:
            return False

    @property
    def size_bytes(self) -> int:
        """Of all files that have to be loaded.

        Raises UsageError when one of them is not there any more.
        """
        try:
            whole = read_gguf(self.file).file_size_bytes
        except UsageError:  # of a form not understood here: the engine has the last word
            whole = require_file(self.file)
        return whole + (0 if self.adapter is None else require_file(self.adapter))


class ServedByHub(NamedTuple):
    """What a server for models of Hugging Face's form is to load."""

    folder: Path
    server: HubServer

    @property
    def size_bytes(self) -> int:
        """Of the weights."""
        try:
            return sum(file.stat().st_size for file in self.folder.glob("*.safetensors"))
        except OSError as error:
            raise UsageError(f"{self.folder} cannot be looked at: {error.strerror}") from error


class NotServed(NamedTuple):
    """Why no engine here can serve the model."""

    status: Literal["skipped", "error"]
    """`skipped` where the model may be fine, `error` where something is wrong with it."""
    why: str


def serving(path: Path, base: Path | None) -> Served | ServedByHub | NotServed:
    """How the model at a path is served; `base` is what its entry's `base_model` names, if that is
    a path."""
    try:
        if path.is_dir():
            return _folder(path, base)
        return _file(path, base)
    except UsageError as error:
        return NotServed("error", str(error))
    except OSError as error:
        return NotServed("error", f"{path} cannot be looked at: {error.strerror}")


def _file(path: Path, base: Path | None) -> Served | ServedByHub | NotServed:
    require_file(path)
    if path.suffix.lower() == ".safetensors":
        return _hugging_face(path.parent)
    if path.suffix.lower() != ".gguf" and not _begins_as_gguf(path):
        return NotServed(
            "skipped",
            f"no engine here reads {path.name}: the embedded one takes GGUF files. Convert the "
            "model with llama.cpp's convert_hf_to_gguf.py",
        )
    if not _is_adapter(path):
        return Served(path)
    if base is None:
        return NotServed(
            "skipped",
            "it is a LoRA adapter, and its entry's base_model names no GGUF file to put it over",
        )
    below = serving(base, None)
    if isinstance(below, NotServed):
        return NotServed(below.status, f"the model below the adapter: {below.why}")
    if isinstance(below, ServedByHub):
        return NotServed(
            "skipped",
            "it is a GGUF LoRA adapter, and its base_model is no GGUF file: convert that with "
            "llama.cpp's convert_hf_to_gguf.py",
        )
    return Served(below.file, adapter=path)


def _is_adapter(path: Path) -> bool:
    try:
        return read_gguf(path).is_adapter
    except UsageError:  # damaged, or of a form not understood here: the engine says which
        return False


def _begins_as_gguf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"GGUF"


def _folder(folder: Path, base: Path | None) -> Served | ServedByHub | NotServed:
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() == ".gguf")
    whole = [path for path in files if not _LATER_PART.fullmatch(path.name)]
    whole += [path for path in files if _FIRST_PART.fullmatch(path.name)]
    if len(whole) == 1:
        return _file(whole[0], base)
    if files:
        named = ", ".join(path.name for path in (whole or files)[:_MOST_NAMED])
        return NotServed(
            "error", f"{folder} holds several models ({named}); let model_path name one of them"
        )
    if (folder / "adapter_config.json").is_file():
        return NotServed(
            "skipped",
            "it is a LoRA adapter of PEFT; the embedded engine takes it as GGUF: convert it with "
            "llama.cpp's convert_lora_to_gguf.py, and let base_model name the GGUF file below it",
        )
    if (folder / "config.json").is_file() or any(folder.glob("*.safetensors")):
        return _hugging_face(folder)
    return NotServed(
        "skipped",
        f"no engine here can serve {folder}: it holds no GGUF file, which is what the embedded "
        "engine takes, nor a model of Hugging Face's form",
    )


def _hugging_face(folder: Path) -> ServedByHub | NotServed:
    if not (folder / "config.json").is_file():
        return NotServed(
            "skipped",
            f"there is no config.json in {folder}, without which no engine can tell what model its "
            "safetensors are",
        )
    if not any(folder.glob("*.safetensors")):
        return NotServed(
            "skipped",
            f"there are no safetensors in {folder}, and weights of other forms are not loaded: "
            "they can hold programs",
        )
    server = installed_server()
    if server is None:
        return NotServed(
            "skipped",
            "its weights are safetensors, which the embedded engine does not read, and no other "
            f"engine is installed: {INSTALL}. Or convert the model with llama.cpp's "
            "convert_hf_to_gguf.py",
        )
    lacking = server.lacking
    if lacking:
        return NotServed(
            "skipped",
            f"its weights are safetensors, and {server.executable} lacks what its server needs: "
            f"install {' '.join(lacking)} beside it",
        )
    return ServedByHub(folder, server)
