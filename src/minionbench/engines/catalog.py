"""From a model's name, `reference/q8_0` or `llamacpp/PATH.gguf` say, to a running engine."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec

from minionbench.engines.engine import Engine, EngineSettings
from minionbench.engines.providers import providers
from minionbench.errors import DeploymentError, UsageError
from minionbench.wire.secrecy import looks_like_key

REFERENCE_FORMATS = ("f16", "q8_0", "q4_0")
DEFAULT_REFERENCE_FORMAT = "q8_0"
SHORTEST_KEY = 16
"""What is shorter in a variable for a key is a placeholder, which may stand in a model's name."""
REFERENCE_FOLDER = Path(__file__).parent / "reference_model"

_HERE = ("reference", "llamacpp", "ollama")
_FORMS = (
    "reference/q8_0, llamacpp/PATH.gguf, ollama/NAME, openai/NAME, anthropic/NAME, deepseek/NAME, "
    "or any name with --url"
)


class ModelSpec(msgspec.Struct, frozen=True):
    """Which model, and who serves it.

    `provider` is `reference`, `llamacpp`, `ollama`, `url`, or a provider of remote models. `name`
    is the format for `reference`, the path for `llamacpp`, the model's name elsewhere; None only
    for `url`, where the server is to say it.
    """

    provider: str
    name: str | None

    @classmethod
    def parse(cls, text: str | None, *, url: str | None = None) -> ModelSpec:
        """The model that a user names.

        With a server's `url` the text is the model's name there, slashes included, or None. Without
        a provider, a name is Ollama's, and what ends in .gguf is a file.

        Raises:
            UsageError: no such provider or format, or nothing named; the message lists the forms.
                Or the name is a key, which is not repeated.
        """
        refuse_key(text)
        text = None if text is None else text.strip()
        if text is not None and not _is_utf8(text):
            raise UsageError(f"The model's name {text!a} is not valid UTF-8; rename the model")
        if url is not None:
            return cls("url", text or None)
        if not text:
            raise UsageError(f"No model is named; it is one of: {_FORMS}")
        provider, slash, name = text.partition("/")
        if provider == "reference":
            return cls("reference", _reference_format(name))
        if provider in _HERE or provider in providers().by_name:
            if not name:
                raise UsageError(f"{text!r} names a provider but no model; one of: {_FORMS}")
            return cls(provider, name)
        if text.endswith(".gguf"):
            return cls("llamacpp", text)
        if not slash:
            return cls("ollama", text)
        raise UsageError(f"There is no provider {provider!r}; a model is one of: {_FORMS}")

    @property
    def remote(self) -> bool:
        """Whether the model is one of a provider's, on somebody else's machine."""
        return self.provider not in (*_HERE, "url")

    @property
    def text(self) -> str:
        """`provider/name`, which parses to the same again (but for `url`: the name alone)."""
        if self.provider == "url":
            return self.name or ""
        return f"{self.provider}/{self.name}"

    @property
    def file(self) -> Path | None:
        """The model's file on this machine; None where a server has the model."""
        if self.provider == "reference":
            return REFERENCE_FOLDER / f"reference-{self.name}.gguf"
        if self.provider == "llamacpp" and self.name is not None:
            return Path(self.name).expanduser()
        return None


def refuse_key(text: str | None, environment: Mapping[str, str] = os.environ) -> None:
    """Refuses a model's name that is a key: by its looks, or the value of a provider's variable.

    Raises:
        UsageError: it is one; it is not repeated.
    """
    if text is None:
        return
    try:
        variables = [info.key_variable for info in providers().by_name.values()]
    except UsageError:
        variables = []  # a broken table is told of where a provider is looked for in it
    held = (environment.get(variable, "").strip() for variable in variables)
    if looks_like_key(text) or any(len(key) >= SHORTEST_KEY and key in text for key in held):
        raise UsageError(
            "What stands in the place of a model's name looks like a key, so it is neither used "
            "nor repeated here. Name the model, as openai/NAME; the key comes from its provider's "
            "variable, or from where --key-from says"
        )


@contextmanager
def open_engine(
    spec: ModelSpec,
    settings: EngineSettings,
    *,
    log_folder: Path,
    say: Callable[[str], None] = lambda text: None,
) -> Iterator[Engine]:
    """An engine with the model ready to answer; one that was started here ends with the block.

    The log of an engine started here is a new file in `log_folder`. `say` is told what takes long.

    Raises:
        UsageError: the model's file is not there or cannot be read, or a setting does not fit it.
        DeploymentError: the engine cannot serve the model; the message says what to do.
    """
    engine = _open(spec, settings, log_folder, say)
    try:
        yield engine
    finally:
        engine.stop()


def _open(
    spec: ModelSpec, settings: EngineSettings, log_folder: Path, say: Callable[[str], None]
) -> Engine:
    if spec.remote:
        from minionbench.engines.remote import open_remote

        return open_remote(spec.provider, spec.name or "", settings)
    if settings.url is not None:
        from minionbench.engines.attach import attach

        return attach(settings.url, spec.name if spec.provider == "url" else spec.text, settings)
    file = spec.file
    if file is not None:
        from minionbench.engines.llamacpp import start

        if spec.provider == "reference" and not file.exists():
            raise DeploymentError(
                f"The reference model {file.name} is not part of this installation; install "
                "minionbench again"
            )
        model = spec.text if spec.provider == "reference" else file.stem
        return start(file, model, settings, log_folder=log_folder)
    if spec.provider == "ollama" and spec.name is not None:
        from minionbench.engines.ollama import attach_ollama

        named = settings.ollama_host
        environment = os.environ if named is None else {**os.environ, "OLLAMA_HOST": named}
        return attach_ollama(spec.name, settings, environment, say=say)
    raise DeploymentError("The server's address is missing; give it with --url")


def _is_utf8(text: str) -> bool:
    """Whether a text from the command line was one: other bytes come as lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _reference_format(name: str) -> str:
    format_ = name.lower() or DEFAULT_REFERENCE_FORMAT
    if format_ == "fp16":
        format_ = "f16"
    if format_ not in REFERENCE_FORMATS:
        raise UsageError(
            f"The reference model has no format {name!r}; it has {', '.join(REFERENCE_FORMATS)}"
        )
    return format_
