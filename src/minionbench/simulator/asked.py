"""A request for an answer, the same whichever protocol it came in; and a request refused."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, TypeAlias

import msgspec

Route: TypeAlias = Literal[
    "chat", "completions", "responses", "messages", "ollama_chat", "generate"
]
Family: TypeAlias = Literal["openai", "anthropic", "ollama"]
"""Whose way of saying what went wrong."""


def words(text: str) -> frozenset[str]:
    """The words of a text, as a set of names is written here."""
    return frozenset(text.split())


class Turn(NamedTuple):
    """One message of a conversation."""

    role: str
    text: str


class Asked(msgspec.Struct, kw_only=True):
    """What is wanted of the model."""

    route: Route
    model: str
    turns: tuple[Turn, ...]
    raw: bool = False
    """Whether the text goes to the model without a chat template."""
    stream: bool = False
    usage_in_stream: bool = True
    max_tokens: int | None = None
    """Most tokens, reasoning included; None for the model's own limit."""
    min_tokens: int = 0
    ignore_eos: bool = False
    stop: tuple[str, ...] = ()
    seed: int | None = None
    schema: dict[str, Any] | None = None
    json: bool = False
    """Whether any JSON object is wanted, of no schema."""
    reasoning: bool | None = None
    """None: as the model does by itself."""
    effort: str | None = None
    reasoning_tokens: int | None = None
    """Most tokens of reasoning; None for no such limit."""
    reasoning_shown: bool = True
    """False where the request wants the reasoning left out."""
    cache: bool = True
    cache_turns: int | None = None
    """Turns at the beginning that may be read from and written to the cache; None for all."""
    cache_salt: str = ""
    context_tokens: int | None = None
    """The context that the request sets (Ollama's `num_ctx`); None for the model's own."""
    truncate: bool = False
    """Whether a prompt longer than the context is cut without a word, as Ollama does."""
    keep_alive_s: float | None = None
    """How long the model stays loaded (Ollama); None for its default, below 0 for ever."""
    thinking: str | None = None
    """Anthropic's `thinking.type` as given."""
    sampling: float | None = None
    """The temperature as given."""
    max_tokens_deprecated: bool = False
    """Whether the limit came under OpenAI's old name."""
    padded: bool = False
    """Whether events are padded against reading token lengths off them (`obfuscation`)."""

    @property
    def last_text(self) -> str:
        """Text of the last turn; empty where there is none."""
        return self.turns[-1].text if self.turns else ""

    @property
    def system_text(self) -> str:
        """The system messages, joined."""
        return "\n".join(turn.text for turn in self.turns if turn.role in ("system", "developer"))


class Refused(Exception):
    """A request that is answered with an error.

    `kind` is a row of the table in `refusal.py`, which has the words of each protocol for it.
    """

    def __init__(
        self,
        kind: str,
        message: str,
        *,
        param: str | None = None,
        status: int | None = None,
        retry_after_s: float | None = None,
        facts: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.param = param
        self.status = status
        """None: as the table has it."""
        self.retry_after_s = retry_after_s
        self.facts = facts or {}
        """Further fields of the error, where the protocol has them."""


class Body:
    """A request's JSON object, its fields asked for by name and kind.

    A field of another kind than wanted raises Refused; one that is null counts as absent.
    """

    def __init__(self, fields: dict[str, Any]) -> None:
        self.fields = fields

    def __contains__(self, name: str) -> bool:
        return self.fields.get(name) is not None

    def text(self, name: str) -> str | None:
        """A string."""
        value: str | None = self._of(name, str, "a string")
        return value

    def need_text(self, name: str) -> str:
        """A string that has to be there and is not empty."""
        value = self.text(name)
        if not value:
            raise Refused("bad_request", f"Missing required parameter: '{name}'.", param=name)
        return value

    def flag(self, name: str, otherwise: bool) -> bool:
        """A boolean."""
        value = self._of(name, bool, "a boolean")
        return otherwise if value is None else value

    def whole(self, name: str, least: int = 0) -> int | None:
        """A whole number of at least `least`."""
        value = self.fields.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            raise _wrong_kind(name, "an integer", value)
        if value < least:
            raise Refused(
                "bad_request",
                f"Invalid '{name}': integer below minimum value. Expected a value >= {least}, "
                f"but got {value} instead.",
                param=name,
            )
        return value

    def number(self, name: str, least: float, most: float) -> float | None:
        """A number between the two."""
        value = self.fields.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise _wrong_kind(name, "a number", value)
        if not least <= value <= most:
            raise Refused(
                "bad_request",
                f"Invalid '{name}': expected a value between {least} and {most}, got {value}.",
                param=name,
            )
        return float(value)

    def part(self, name: str) -> Body:
        """An object; empty where there is none."""
        return Body(self._of(name, dict, "an object") or {})

    def array(self, name: str) -> list[Any] | None:
        """An array."""
        value: list[Any] | None = self._of(name, list, "an array")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """A string or an array of strings."""
        value = self.fields.get(name)
        if value is None:
            return ()
        if isinstance(value, str):
            return (value,)
        if isinstance(value, list) and all(isinstance(one, str) for one in value):
            return tuple(value)
        raise _wrong_kind(name, "a string or an array of strings", value)

    def refuse_unknown(self, known: frozenset[str]) -> None:
        """Raises Refused when there is a field of another name."""
        for name in self.fields:
            if name not in known:
                raise Refused(
                    "bad_request", f"Unrecognized request argument supplied: {name}", param=name
                )

    def _of(self, name: str, kind: type[Any], what: str) -> Any:
        value = self.fields.get(name)
        if value is None or isinstance(value, kind):
            return value
        raise _wrong_kind(name, what, value)


def _wrong_kind(name: str, what: str, value: object) -> Refused:
    return Refused(
        "bad_request",
        f"Invalid type for '{name}': expected {what}, but got {type(value).__name__} instead.",
        param=name,
    )


def content_text(content: Any, where: str) -> str:
    """The text of a message's content: a string, or the text parts of a list of parts."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise Refused("bad_request", f"Invalid type for '{where}'.", param=where)
    texts = []
    for part in content:
        text = part.get("text") if isinstance(part, dict) else None
        if isinstance(text, str):
            texts.append(text)
    return "".join(texts)
