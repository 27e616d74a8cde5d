"""A call becomes an HTTP request: what every dialect does alike."""

from __future__ import annotations

from typing import Any

import msgspec

from minionbench.errors import UsageError
from minionbench.exchange import Call, Endpoint
from minionbench.transport.http import Url, request_bytes
from minionbench.wire.reasoning import generated_tokens

_encode = msgspec.json.Encoder().encode

LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens", "n_predict", "num_predict")
"""Names under which the protocols take the most that is to be generated."""
_WITHIN = "options"
"""Object of a body in which Ollama has its limit."""


def post(
    endpoint: Endpoint, target: str, body: dict[str, Any], headers: tuple[tuple[str, str], ...]
) -> bytes:
    """`POST` of a JSON body; `target` is appended to the path of the endpoint's base URL.

    The endpoint's `extra_body` is merged in last, objects within objects too, and its headers stand
    in the place of ours of the same name: a user can override anything.

    Raises UsageError for what HTTP or JSON cannot carry.
    """
    given = {name.lower() for name, _ in endpoint.headers}
    ours = (("Content-Type", "application/json"), ("User-Agent", "minionbench"), *headers)
    kept = [(name, value) for name, value in ours if name.lower() not in given]
    try:
        payload = _encode(merged(body, endpoint.extra_body))
    except UnicodeEncodeError as error:
        raise UsageError("A message holds half a character, which UTF-8 cannot carry") from error
    url = Url(endpoint.base_url)
    return request_bytes("POST", url, target, (*kept, *endpoint.headers), payload)


def event_stream_headers(endpoint: Endpoint) -> tuple[tuple[str, str], ...]:
    """That an event stream is wanted, and the key as a bearer's token where there is one."""
    return (("Accept", "text/event-stream"), *bearer(endpoint))


def bearer(endpoint: Endpoint) -> tuple[tuple[str, str], ...]:
    """The header with the key; none without a key."""
    if endpoint.key is None:
        return ()
    return (("Authorization", f"Bearer {endpoint.key.reveal()}"),)


def merged(body: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any]:
    """Both objects; the extra one goes before, field by field where both have an object."""
    both = dict(body)
    for name, value in extra.items():
        ours = both.get(name)
        if isinstance(ours, dict) and isinstance(value, dict):
            value = merged(ours, value)
        both[name] = value
    return both


def own_limits(extra_body: dict[str, Any]) -> list[Any]:
    """Every limit on generated tokens that a user's own fields set, whatever its value."""
    within = extra_body.get(_WITHIN)
    fields = (extra_body, within if isinstance(within, dict) else {})
    return [body[name] for body in fields for name in LIMITS if name in body]


def with_one_token(extra_body: dict[str, Any]) -> dict[str, Any]:
    """The user's own fields for a trial: each limit on generated tokens that they set is 1."""
    once = {name: 1 if name in LIMITS else value for name, value in extra_body.items()}
    within = once.get(_WITHIN)
    return once | {_WITHIN: with_one_token(within)} if isinstance(within, dict) else once


def chat_messages(call: Call) -> list[dict[str, str]]:
    """The messages with their roles, as every chat protocol has them."""
    return [{"role": message.role, "content": message.content} for message in call.messages]


def sampling(call: Call, endpoint: Endpoint) -> dict[str, Any]:
    """Temperature and seed, as far as they are set and the server takes them."""
    fields: dict[str, Any] = {}
    if endpoint.manners.temperature:
        fields["temperature"] = call.limits.temperature
    if endpoint.manners.seed and call.limits.seed is not None:
        fields["seed"] = call.limits.seed
    return fields


def length(call: Call, endpoint: Endpoint) -> dict[str, Any]:
    """How much an OpenAI-compatible server is to generate, by the names that it takes."""
    manners = endpoint.manners
    fields: dict[str, Any] = {}
    most = generated_tokens(call.limits, endpoint)
    if most is not None:
        fields[manners.max_tokens_field] = most
    forced = call.limits.forced_output_tokens
    if forced is not None:
        if manners.ignores_end:
            fields["ignore_eos"] = True
        if manners.min_tokens_field is not None:
            fields[manners.min_tokens_field] = forced
    return fields


def json_schema_format(call: Call, endpoint: Endpoint) -> dict[str, Any]:
    """The `response_format` of OpenAI's protocols that binds the answer to the call's schema."""
    if call.schema is None or not endpoint.manners.schema:
        return {}
    schema = {"name": "answer", "strict": True, "schema": call.schema}
    return {"response_format": {"type": "json_schema", "json_schema": schema}}
