"""What goes wrong, in the words of each protocol: status, headers and body of a refused request.

Source: error tables of OpenAI, Anthropic, DeepSeek, vLLM, llama.cpp and Ollama, October 2026.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from minionbench.simulator.asked import Family, Refused
from minionbench.simulator.server_kind import ServerKind


class Kind(NamedTuple):
    """One thing that can go wrong."""

    status: int
    type: str
    """OpenAI's `type`."""
    code: str | None
    """OpenAI's `code`."""
    anthropic_type: str
    anthropic_status: int | None = None
    """None: the same status."""


_INVALID = "invalid_request_error"

KINDS: dict[str, Kind] = {
    "bad_request": Kind(400, _INVALID, None, _INVALID),
    "unsupported": Kind(400, _INVALID, "unsupported_parameter", _INVALID),
    "context_length": Kind(400, _INVALID, "context_length_exceeded", _INVALID),
    "content_filter": Kind(400, _INVALID, "content_filter", _INVALID),
    "unauthorized": Kind(401, _INVALID, "invalid_api_key", "authentication_error"),
    "payment": Kind(402, "unknown_error", "invalid_request_error", "billing_error"),
    "forbidden": Kind(403, _INVALID, "unsupported_country_region_territory", "permission_error"),
    "not_found": Kind(404, _INVALID, None, "not_found_error"),
    "model_not_found": Kind(404, _INVALID, "model_not_found", "not_found_error"),
    "method": Kind(405, _INVALID, "method_not_supported", _INVALID),
    "timeout": Kind(408, _INVALID, None, "timeout_error"),
    "conflict": Kind(409, _INVALID, None, _INVALID),
    "too_large": Kind(413, _INVALID, "request_too_large", "request_too_large"),
    "unprocessable": Kind(422, _INVALID, None, _INVALID),
    "rate_limit": Kind(429, "requests", "rate_limit_exceeded", "rate_limit_error"),
    "quota": Kind(429, "insufficient_quota", "insufficient_quota", "billing_error", 402),
    "server_error": Kind(500, "server_error", None, "api_error"),
    "bad_gateway": Kind(502, "server_error", None, "api_error"),
    "unavailable": Kind(503, "server_error", "service_unavailable", "api_error"),
    "overloaded": Kind(503, "server_error", "overloaded", "overloaded_error", 529),
    "gateway_timeout": Kind(504, "server_error", None, "timeout_error"),
}
"""By the name that `Refused` carries."""

_VLLM_TYPES = {400: "BadRequestError", 401: "AuthenticationError", 404: "NotFoundError"}
_LLAMACPP_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    404: "not_found_error",
    503: "unavailable_error",
}


def status_of(refused: Refused, family: Family) -> int:
    """The HTTP status."""
    if refused.status is not None:
        return refused.status
    kind = KINDS[refused.kind]
    if family == "anthropic" and kind.anthropic_status is not None:
        return kind.anthropic_status
    return kind.status


def error_fields(
    refused: Refused, family: Family, server: ServerKind, call_id: str
) -> dict[str, Any]:
    """The JSON object that says what went wrong, in a response or inside a stream."""
    kind, status = KINDS[refused.kind], status_of(refused, family)
    message = refused.message
    if family == "ollama":
        return {"error": message, **refused.facts}
    if family == "anthropic":
        error: dict[str, Any] = {"type": kind.anthropic_type, "message": message}
        return {"type": "error", "error": error, "request_id": call_id}
    if server in ("vllm", "sglang"):
        type_ = _VLLM_TYPES.get(status, "InternalServerError")
        error = {"message": message, "type": type_, "param": refused.param, "code": status}
    elif server == "llamacpp":
        type_ = _LLAMACPP_TYPES.get(status, "server_error")
        if refused.kind == "context_length":
            type_ = "exceed_context_size_error"
        error = {"code": status, "message": message, "type": type_, **refused.facts}
    else:
        error = {
            "message": message,
            "type": kind.type,
            "param": refused.param,
            "code": kind.code,
        }
    return {"error": error}


def refusal_response(
    refused: Refused, family: Family, server: ServerKind, call_id: str
) -> tuple[int, list[tuple[str, str]], bytes]:
    """Status, headers and body of the answer to a request that is refused."""
    headers = [("Content-Type", "application/json")]
    if refused.retry_after_s is not None:
        seconds = refused.retry_after_s
        headers.append(("Retry-After", str(max(1, round(seconds)))))
        if family == "openai" and seconds < 1:
            headers.append(("retry-after-ms", str(round(seconds * 1000))))
    body = msgspec.json.encode(error_fields(refused, family, server, call_id))
    return status_of(refused, family), headers, body
