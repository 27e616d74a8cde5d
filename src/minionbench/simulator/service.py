"""From a request to its answer: route, key, limits, faults, and the model behind them."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from random import Random
from typing import Any, NamedTuple

import msgspec

from minionbench.clock import utc_now
from minionbench.errors import UsageError
from minionbench.simulator.allowance import Allowance
from minionbench.simulator.asked import Asked, Body, Refused
from minionbench.simulator.breaking import alter, break_pull, break_whole, instead
from minionbench.simulator.catalogue import Catalogue
from minionbench.simulator.counters import Counters
from minionbench.simulator.encoding import Served
from minionbench.simulator.faults import (
    HEADER,
    Fault,
    drawn_faults,
    faults_in_prompt,
    read_faults,
    refusal_of,
)
from minionbench.simulator.generation import Generated, Model, check_reasoning
from minionbench.simulator.http import HttpRequest, sized
from minionbench.simulator.inquiries import Inquiries
from minionbench.simulator.job import AnswerJob, Job, LinesJob
from minionbench.simulator.log import Entry
from minionbench.simulator.refusal import refusal_response
from minionbench.simulator.routes import ANSWER_ROUTES, OPEN, family_of, route_of
from minionbench.simulator.settings import SimulatedModel, SimulatorSettings
from minionbench.simulator.steps import Step
from minionbench.units import NS_PER_MS

_SOFTWARE = {
    "vllm": "uvicorn",
    "sglang": "uvicorn",
    "llamacpp": "llama.cpp",
    "openai": "cloudflare",
    "anthropic": "cloudflare",
}


class Immediate(NamedTuple):
    """A response that leaves at once."""

    data: bytes


class Service:
    """Answers the requests of one simulator; no socket and no clock in it."""

    def __init__(self, settings: SimulatorSettings, now_ns: int) -> None:
        self._settings = settings
        self.faults: tuple[tuple[str, float], ...] = settings.faults
        """What may be changed while requests are answered."""
        self._random = Random(f"{settings.seed}|faults")
        self._allowance = Allowance(settings.limits, now_ns)
        self._model = Model(settings)
        self._catalogue = Catalogue(settings)
        self.counters = Counters(settings)
        self._inquiries = Inquiries(settings, self._catalogue, self._model, self.counters)

    def handle(self, request: HttpRequest, entry: Entry, now_ns: int) -> Immediate | Job:
        """The answer to a request; a refusal is an answer too. Fills in the entry."""
        server = self._settings.server
        family = family_of(request.path, request.headers)
        path = route_of(request.path, server)
        call_id = f"{self._settings.seed & 0xFFFF:04x}{entry.number:016x}"
        try:
            self._check_key(path, request)
            if path in ANSWER_ROUTES:
                self._allowance.admit(now_ns)
            faults = _understood(lambda: read_faults(request.headers.get(HEADER, "")))
            entry.faults = tuple(map(str, faults))
            self._refuse(faults, request, stream=True)
            headers = self._headers(family, call_id, now_ns)
            if path in ANSWER_ROUTES:
                return self._answer(path, request, entry, call_id, headers, faults, now_ns)
            return self._inquire(path, request, entry, headers, faults, now_ns)
        except Refused as refused:
            name = call_id if family != "anthropic" else f"req_{call_id}"
            status, more, body = refusal_response(refused, family, server, name)
            entry.status, entry.outcome = status, "refused"
            headers = self._headers(family, call_id, now_ns)
            return Immediate(sized(status, [*headers, *more], body))

    def _headers(self, family: str, call_id: str, now_ns: int) -> list[tuple[str, str]]:
        server = self._settings.server
        headers = []
        if server in _SOFTWARE:
            headers.append(("Server", _SOFTWARE[server]))
        if family == "anthropic":
            headers.append(("request-id", f"req_{call_id}"))
            return headers + self._allowance.headers("anthropic", now_ns, utc_now())
        if family == "openai" and server in ("any", "openai", "deepseek"):
            headers.append(("x-request-id", f"req_{call_id}"))
            return headers + self._allowance.headers("openai", now_ns, utc_now())
        return headers

    def _answer(
        self,
        path: str,
        request: HttpRequest,
        entry: Entry,
        call_id: str,
        headers: list[tuple[str, str]],
        faults: list[Fault],
        now_ns: int,
    ) -> Immediate | Job:
        route = ANSWER_ROUTES[path]
        if self._settings.server not in route.servers:
            raise _no_route(request)
        if request.method != "POST":
            raise Refused("method", f"Not allowed to {request.method} on {path}.")
        body = Body(json_object(request.body))
        if self._settings.keep_requests:
            entry.request = body.fields
        asked = route.read(body, self._settings.server)
        entry.model, entry.stream = asked.model, asked.stream
        faults = [*faults, *_understood(lambda: faults_in_prompt(asked.last_text)), *self._drawn()]
        entry.faults = tuple(map(str, faults))
        self._refuse(faults, request, stream=asked.stream)
        if (step := instead(faults)) is not None:
            return LinesJob(entry, iter((step,)), faults)
        model = self._catalogue.find(asked.model, ollama=route.family == "ollama")
        generated = self._generate(asked, model, faults, now_ns)
        self._note(entry, generated)
        self._allowance.use_tokens(generated.prompt_tokens + generated.output_tokens, now_ns)
        now = utc_now()
        served = Served(
            asked=asked,
            generated=generated,
            server=self._settings.server,
            call_id=call_id,
            created_s=int(now.timestamp()),
            created=now.isoformat().replace("+00:00", "Z"),
        )
        job = AnswerJob(entry, served, route.encoder, self._settings, headers, faults)
        job.needs_slot = generated.finish not in ("load", "unload")
        return job

    def _generate(
        self, asked: Asked, model: SimulatedModel, faults: Sequence[Fault], now_ns: int
    ) -> Generated:
        check_reasoning(asked, model, self._settings.server)
        loads = False
        if asked.route in ("ollama_chat", "generate"):
            loads = self._catalogue.load(model, asked.keep_alive_s, now_ns)
            if not asked.turns:
                finish = "unload" if asked.keep_alive_s == 0 else "load"
                loaded = Generated(finish=finish)  # type: ignore[arg-type]
                loaded.load_ns = self._load_ns() if loads and finish == "load" else 0
                return loaded
        generated = self._model.generate(asked, model)
        generated.load_ns = self._load_ns() if loads else 0
        generated.pace = model.pace
        alter(generated, faults)
        return generated

    def _load_ns(self) -> int:
        return int(self._settings.load_ms * NS_PER_MS)

    def _note(self, entry: Entry, generated: Generated) -> None:
        entry.status = 200
        entry.finish = generated.finish
        entry.prompt_tokens = generated.prompt_tokens
        entry.cached_tokens = generated.cached_tokens
        entry.reasoning_tokens = len(generated.reasoning)
        entry.text_tokens = len(generated.text)

    def _inquire(
        self,
        path: str,
        request: HttpRequest,
        entry: Entry,
        headers: list[tuple[str, str]],
        faults: list[Fault],
        now_ns: int,
    ) -> Immediate | Job:
        method, servers = self._inquiries.route(path) or ("", frozenset())
        if self._settings.server not in servers:
            raise _no_route(request)
        wanted = "GET" if request.method == "HEAD" else request.method
        if wanted != method:
            raise Refused("method", f"Not allowed to {request.method} on {path}.")
        if path != "/metrics":
            faults = [*faults, *self._drawn()]
        entry.faults = tuple(map(str, faults))
        self._refuse(faults, request, stream=path == "/api/pull")
        if (step := instead(faults)) is not None:
            return LinesJob(entry, iter((step,)), faults)
        fields = json_object(request.body) if method == "POST" and request.body else {}
        if self._settings.keep_requests and method == "POST":
            entry.request = fields
        found = self._inquiries.answer(path, request, Body(fields), now_ns)
        entry.status = 200
        if not isinstance(found, tuple):
            return LinesJob(entry, break_pull(found, faults), faults)
        kind, body = found
        fields_of_head = [*headers, ("Content-Type", kind)]
        data = sized(200, fields_of_head, body)
        if request.method == "HEAD":
            data = data.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
        if faults:
            step = Step(0, data, then="end", kind="close")
            return LinesJob(entry, break_whole(iter((step,)), faults, fields_of_head), faults)
        entry.outcome = "answered"
        return Immediate(data)

    def _check_key(self, path: str, request: HttpRequest) -> None:
        key = self._settings.api_key
        if key is None or path in OPEN:
            return
        given = key_of(request)
        if not hmac.compare_digest(given.encode(), key.reveal().encode()):
            message = "Incorrect API key provided." if given else "You didn't provide an API key."
            raise Refused("unauthorized", message)

    def _drawn(self) -> list[Fault]:
        return drawn_faults(self.faults, self._random)

    def _refuse(self, faults: Sequence[Fault], request: HttpRequest, *, stream: bool) -> None:
        for fault in faults:
            refused = refusal_of(fault, key_of(request), stream=stream)
            if refused is not None:
                raise refused


def _understood(read: Any) -> list[Fault]:
    try:
        faults: list[Fault] = read()
    except UsageError as error:
        raise Refused("bad_request", str(error), param=HEADER) from error
    return faults


def _no_route(request: HttpRequest) -> Refused:
    return Refused("not_found", f"Invalid URL ({request.method} {request.path})")


def key_of(request: HttpRequest) -> str:
    """The key that a request carries; empty where it has none."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and key:
        return key.strip()
    return request.headers.get("x-api-key", "")


def json_object(body: bytes) -> dict[str, Any]:
    """A body's JSON object.

    Raises Refused when it is none.
    """
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Refused("bad_request", "We could not parse the JSON body of your request.") from error
