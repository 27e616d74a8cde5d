"""The simulator's tokenizer, and its chat template.

A token is up to six letters or up to three digits or one other sign, each with the one space
before it, or a single white-space character. Joined, the tokens are the text again. The template
puts a turn between `<|role|>` and `<|end|>` and ends with `<|assistant|>`: two tokens per turn
and one per prompt.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from zlib import crc32

_TOKEN = re.compile(r" ?[^\W\d_]{1,6}| ?\d{1,3}| ?[^\w\s]|_|\s")
VOCABULARY = 128_000
"""Token ids are below this."""


def tokens(text: str) -> list[str]:
    """The tokens of a text; joined they are the text."""
    return _TOKEN.findall(text)


def count_tokens(text: str) -> int:
    """How many tokens a text has."""
    return len(tokens(text))


def token_id(token: str) -> int:
    """A number for a token; different tokens may share one."""
    return crc32(token.encode("utf-8", "surrogatepass")) % VOCABULARY


def prompt_tokens(turns: Iterable[tuple[str, str]]) -> list[str]:
    """The tokens of a conversation of (role, text), put into the template."""
    prompt = []
    for role, text in turns:
        prompt.append(f"<|{role}|>")
        prompt.extend(tokens(text))
        prompt.append("<|end|>")
    prompt.append("<|assistant|>")
    return prompt
