"""The routes that are answered without the model's speaking: lists, health, tokens, embeddings."""

from __future__ import annotations

from typing import Any, TypeAlias

from minionbench.clock import utc_now
from minionbench.simulator import anthropic
from minionbench.simulator.asked import Body, Refused
from minionbench.simulator.catalogue import MODEL_BYTES, Catalogue, digest
from minionbench.simulator.counters import Counters
from minionbench.simulator.embedding import base64_floats, embedding
from minionbench.simulator.encoding import to_json
from minionbench.simulator.generation import Model
from minionbench.simulator.http import LAST_CHUNK, HttpRequest, chunk, head
from minionbench.simulator.routes import INQUIRIES
from minionbench.simulator.server_kind import ServerKind
from minionbench.simulator.settings import SimulatorSettings
from minionbench.simulator.steps import Step
from minionbench.simulator.tokens import count_tokens, prompt_tokens, token_id, tokens
from minionbench.units import NS_PER_MS

Found: TypeAlias = tuple[str, bytes] | list[Step]
"""Content type and body; or the steps of a response that comes in parts."""

OLLAMA_VERSION = "0.99.0"
ENGINE_VERSION = "0.99.0"
_JSON = "application/json"
_PULL_PARTS = 4
_PULL_GAP_NS = 20 * NS_PER_MS
_MODEL_PREFIX = "/v1/models/"


_PLAIN = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
_THINKING = _PLAIN + "{% if enable_thinking %}<think>{% endif %}"
"""Chat templates, as far as a reader looks for the switch of reasoning in them."""


class Inquiries:
    """Answers everything but the requests to generate."""

    def __init__(
        self,
        settings: SimulatorSettings,
        catalogue: Catalogue,
        model: Model,
        counters: Counters,
    ) -> None:
        self._settings = settings
        self._catalogue = catalogue
        self._model = model
        self._counters = counters

    def route(self, path: str) -> tuple[str, frozenset[ServerKind]] | None:
        """Method and servers of a route; None where there is none."""
        if path.startswith(_MODEL_PREFIX):
            return INQUIRIES["/v1/models"]
        return INQUIRIES.get(path)

    def answer(self, path: str, request: HttpRequest, body: Body, now_ns: int) -> Found:
        """The answer of a route that `route` knows.

        Raises Refused where the server would.
        """
        if path.startswith("/v1/models"):
            return _json(self._models(path, "anthropic-version" in request.headers))
        if path == "/api/v0/models":
            entries = self._catalogue.openai_list()["data"]
            return _json({"object": "list", "data": list(map(_lmstudio, entries))})
        if path.startswith("/api/"):
            return self._ollama(path, body, now_ns)
        match path:
            case "/v1/embeddings":
                return _json(self._embeddings(body))
            case "/v1/messages/count_tokens":
                return _json({"input_tokens": self._count(body)})
            case "/tokenize":
                return _json(self._tokenize(body))
            case "/metrics":
                return "text/plain; version=0.0.4; charset=utf-8", self._counters.text().encode()
            case "/reset_prefix_cache" | "/flush_cache":
                self._model.cache.clear()
                return "text/plain", b"Cache flushed.\n" if path == "/flush_cache" else b""
            case "/health" if self._settings.server != "llamacpp":
                return "text/plain", b""
            case "/":
                return "text/plain; charset=utf-8", b"Ollama is running"
        return _json(self._about_engine(path))

    def _models(self, path: str, in_anthropic_words: bool) -> dict[str, Any]:
        catalogue = self._catalogue
        anthropic_words = in_anthropic_words or self._settings.server == "anthropic"
        if path == "/v1/models":
            return catalogue.anthropic_list() if anthropic_words else catalogue.openai_list()
        model = catalogue.find(path.removeprefix(_MODEL_PREFIX))
        return (
            catalogue.anthropic_entry(model) if anthropic_words else catalogue.openai_entry(model)
        )

    def _ollama(self, path: str, body: Body, now_ns: int) -> Found:
        catalogue = self._catalogue
        match path:
            case "/api/tags":
                return _json(catalogue.tags())
            case "/api/ps":
                return _json(catalogue.loaded(now_ns, utc_now()))
            case "/api/version":
                return _json({"version": OLLAMA_VERSION})
            case "/api/show":
                return _json(catalogue.show(_name(body)))
            case "/api/pull":
                return self._pull(body)
            case "/api/embed":
                return _json(self._embed(body))
        catalogue.find(_name(body), ollama=True)
        size = self._settings.embedding_dimensions
        return _json({"embedding": embedding(body.text("prompt") or "", size)})

    def _pull(self, body: Body) -> Found:
        """Progress lines, a part at a time; the model is there at once."""
        model = self._catalogue.pull(_name(body))
        if not body.flag("stream", True):
            return _json({"status": "success"})
        layer = f"sha256:{digest(model)}"
        lines: list[dict[str, Any]] = [{"status": "pulling manifest"}]
        for part in range(_PULL_PARTS + 1):
            line = {"status": f"pulling {digest(model)[:12]}", "digest": layer}
            lines.append(
                {**line, "total": MODEL_BYTES, "completed": MODEL_BYTES * part // _PULL_PARTS}
            )
        for status in ("verifying sha256 digest", "writing manifest", "success"):
            lines.append({"status": status})
        fields = [("Content-Type", "application/x-ndjson"), ("Transfer-Encoding", "chunked")]
        steps = [Step(0, head(200, fields))]
        for number, line in enumerate(lines):
            steps.append(Step(number * _PULL_GAP_NS, chunk(to_json(line) + b"\n")))
        end_ns = len(lines) * _PULL_GAP_NS
        return [*steps, Step(end_ns, LAST_CHUNK, then="end", kind="close")]

    def _embed(self, body: Body) -> dict[str, Any]:
        name = _name(body)
        self._catalogue.find(name, ollama=True)
        texts = body.texts("input")
        size = body.whole("dimensions", 1) or self._settings.embedding_dimensions
        return {
            "model": name,
            "embeddings": [embedding(text, size) for text in texts],
            "total_duration": NS_PER_MS,
            "prompt_eval_count": sum(map(count_tokens, texts)),
        }

    def _embeddings(self, body: Body) -> dict[str, Any]:
        name = body.need_text("model")
        self._catalogue.find(name)
        texts = body.texts("input")
        if not texts:
            raise Refused("bad_request", "Missing required parameter: 'input'.", param="input")
        size = body.whole("dimensions", 1) or self._settings.embedding_dimensions
        coded = body.text("encoding_format") == "base64"
        vectors = [embedding(text, size) for text in texts]
        count = sum(map(count_tokens, texts))
        return {
            "object": "list",
            "model": name,
            "data": [
                {
                    "object": "embedding",
                    "index": index,
                    "embedding": base64_floats(vector) if coded else vector,
                }
                for index, vector in enumerate(vectors)
            ],
            "usage": {"prompt_tokens": count, "total_tokens": count},
        }

    def _count(self, body: Body) -> int:
        fields = {"max_tokens": 1, **body.fields}
        asked = anthropic.read(Body(fields), "any")
        self._catalogue.find(asked.model)
        return len(prompt_tokens(asked.turns))

    def _tokenize(self, body: Body) -> dict[str, Any]:
        text = body.text("content")
        found = tokens((body.text("prompt") or "") if text is None else text)
        ids = [token_id(token) for token in found]
        if self._settings.server == "llamacpp":
            if body.flag("with_pieces", False):
                pairs = zip(ids, found, strict=True)
                return {"tokens": [{"id": number, "piece": piece} for number, piece in pairs]}
            return {"tokens": ids}
        model = self._settings.models[0]
        return {"count": len(ids), "max_model_len": model.context_tokens, "tokens": ids}

    def _about_engine(self, path: str) -> Any:
        model, slots = self._settings.models[0], self._settings.slots or 1
        match path:
            case "/health":
                return {"status": "ok"}
            case "/version":
                return {"version": ENGINE_VERSION}
            case "/props":
                return {
                    "default_generation_settings": {"n_ctx": model.context_tokens},
                    "total_slots": slots,
                    "model_alias": model.name,
                    "model_path": f"{model.name}.gguf",
                    "chat_template": _PLAIN if model.reasoning == "none" else _THINKING,
                    "build_info": "b0-simulated",
                    "is_sleeping": False,
                }
            case "/slots":
                busy = self._counters.running
                return [
                    {"id": number, "n_ctx": model.context_tokens, "is_processing": number < busy}
                    for number in range(slots)
                ]
            case "/get_model_info":
                return {"model_path": model.name, "is_generation": True}
        return {"version": ENGINE_VERSION, "model_path": model.name}


def _json(value: Any) -> tuple[str, bytes]:
    return _JSON, to_json(value)


def _lmstudio(entry: dict[str, Any]) -> dict[str, Any]:
    return {**entry, "type": "llm", "state": "loaded", "arch": "simulated"}


def _name(body: Body) -> str:
    name = body.text("model") or body.text("name")
    if not name:
        raise Refused("bad_request", "model is required")
    return name
