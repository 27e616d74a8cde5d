"""The models of a simulator, as the lists of each protocol show them; and which are loaded."""

from __future__ import annotations

from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from minionbench.simulator.asked import Refused
from minionbench.simulator.ollama import KEEP_ALIVE_S
from minionbench.simulator.server_kind import ServerKind
from minionbench.simulator.settings import SimulatedModel, SimulatorSettings
from minionbench.units import NS_PER_S

CREATED_S = 1_767_225_600
"""2026-01-01, when every simulated model was made."""
CREATED = "2026-01-01T00:00:00Z"
MODEL_BYTES = 2_000_000_000
_OWNERS: dict[ServerKind, str] = {
    "openai": "system",
    "deepseek": "deepseek",
    "ollama": "library",
    "vllm": "vllm",
    "sglang": "sglang",
    "llamacpp": "llamacpp",
    "lmstudio": "organization_owner",
}


class Catalogue:
    """The models by name."""

    def __init__(self, settings: SimulatorSettings) -> None:
        self._settings = settings
        self._models = {model.name: model for model in settings.models}
        self._installed = {model.name for model in settings.models if model.installed}
        self._loaded_until_ns: dict[str, int | None] = {}
        """None: for ever."""

    def find(self, name: str, *, ollama: bool = False) -> SimulatedModel:
        """The model of that name; in Ollama's world `name` is `name:latest`.

        Raises Refused when there is none, or it is not installed.
        """
        known = self._known(name, ollama=ollama)
        if known is None and self._settings.any_model:
            known = self._settings.models[0]
        if known is not None and known.name in self._installed:
            return known
        server = self._settings.server
        if ollama or server == "ollama":
            raise Refused("model_not_found", f"model '{name}' not found")
        if server == "anthropic":
            raise Refused("model_not_found", f"model: {name}")
        access = "" if server in ("vllm", "sglang") else " or you do not have access to it"
        raise Refused(
            "model_not_found", f"The model `{name}` does not exist{access}.", param="model"
        )

    def _known(self, name: str, *, ollama: bool) -> SimulatedModel | None:
        if not ollama:
            return self._models.get(name)
        full = full_name(name)
        return next((m for m in self._models.values() if full_name(m.name) == full), None)

    def pull(self, name: str) -> SimulatedModel:
        """Installs a model of the library.

        Raises Refused when there is none of that name.
        """
        model = self._known(name, ollama=True)
        if model is None:
            raise Refused("server_error", "pull model manifest: file does not exist")
        self._installed.add(model.name)
        return model

    @property
    def installed(self) -> list[SimulatedModel]:
        """The models that can be asked, in the settings' order."""
        return [model for model in self._models.values() if model.name in self._installed]

    def load(self, model: SimulatedModel, keep_alive_s: float | None, now_ns: int) -> bool:
        """Keeps a model in memory until so long after now; whether it was not there before."""
        was_loaded = self.is_loaded(model, now_ns)
        kept_s = KEEP_ALIVE_S if keep_alive_s is None else keep_alive_s
        if kept_s == 0:
            self._loaded_until_ns.pop(model.name, None)
        else:
            self._loaded_until_ns[model.name] = (
                None if kept_s < 0 else now_ns + int(kept_s * NS_PER_S)
            )
        return not was_loaded

    def is_loaded(self, model: SimulatedModel, now_ns: int) -> bool:
        """Whether a model is in memory."""
        if model.name not in self._loaded_until_ns:
            return False
        until_ns = self._loaded_until_ns[model.name]
        return until_ns is None or until_ns > now_ns

    def openai_entry(self, model: SimulatedModel) -> dict[str, Any]:
        """A model in OpenAI's list."""
        server = self._settings.server
        entry: dict[str, Any] = {
            "id": full_name(model.name) if server == "ollama" else model.name,
            "object": "model",
            "created": CREATED_S,
            "owned_by": _OWNERS.get(server, "simulated"),
        }
        if server in ("vllm", "sglang"):
            entry |= {"root": model.name, "parent": None, "max_model_len": model.context_tokens}
        if server == "llamacpp":
            entry["meta"] = {"n_ctx_train": model.context_tokens, "size": MODEL_BYTES}
        return entry

    def openai_list(self) -> dict[str, Any]:
        """GET /v1/models."""
        return {"object": "list", "data": [self.openai_entry(m) for m in self.installed]}

    def anthropic_entry(self, model: SimulatedModel) -> dict[str, Any]:
        """A model in Anthropic's list."""
        return {
            "type": "model",
            "id": model.name,
            "display_name": model.name,
            "created_at": CREATED,
            "lifecycle": "active",
            "max_input_tokens": model.context_tokens,
            "max_tokens": model.max_output_tokens,
        }

    def anthropic_list(self) -> dict[str, Any]:
        """GET /v1/models with Anthropic's header."""
        entries = [self.anthropic_entry(model) for model in self.installed]
        names = [entry["id"] for entry in entries]
        return {
            "data": entries,
            "has_more": False,
            "first_id": names[0] if names else None,
            "last_id": names[-1] if names else None,
        }

    def tags(self) -> dict[str, Any]:
        """GET /api/tags."""
        return {"models": [self._tag(model) for model in self.installed]}

    def _tag(self, model: SimulatedModel) -> dict[str, Any]:
        name = full_name(model.name)
        return {
            "name": name,
            "model": name,
            "modified_at": CREATED,
            "size": MODEL_BYTES,
            "digest": digest(model),
            "details": details(model),
        }

    def loaded(self, now_ns: int, utc: datetime) -> dict[str, Any]:
        """GET /api/ps."""
        models = []
        for model in self.installed:
            if not self.is_loaded(model, now_ns):
                continue
            until_ns = self._loaded_until_ns[model.name]
            left_s = 3e9 if until_ns is None else (until_ns - now_ns) / NS_PER_S
            entry = self._tag(model)
            del entry["modified_at"]
            models.append(
                {
                    **entry,
                    "expires_at": (utc + timedelta(seconds=left_s)).isoformat(),
                    "size_vram": MODEL_BYTES,
                    "context_length": model.context_tokens,
                }
            )
        return {"models": models}

    def show(self, name: str) -> dict[str, Any]:
        """POST /api/show.

        Raises Refused when there is no such model.
        """
        model = self.find(name, ollama=True)
        capabilities = ["completion"]
        if model.reasoning != "none":
            capabilities.append("thinking")
        return {
            "modelfile": f"FROM {model.name}\n",
            "parameters": "",
            "template": "{{ .Prompt }}",
            "details": details(model),
            "model_info": {
                "general.architecture": "simulated",
                "general.parameter_count": 3_000_000_000,
                "simulated.context_length": model.context_tokens,
            },
            "capabilities": capabilities,
            "modified_at": CREATED,
        }


def full_name(name: str) -> str:
    """A name with its tag."""
    return name if ":" in name else f"{name}:latest"


def digest(model: SimulatedModel) -> str:
    """A digest of a model's name, as Ollama has of its files."""
    return sha256(model.name.encode()).hexdigest()


def details(model: SimulatedModel) -> dict[str, Any]:
    """Ollama's `details`."""
    return {
        "parent_model": "",
        "format": "gguf",
        "family": "simulated",
        "families": ["simulated"],
        "parameter_size": "3.0B",
        "quantization_level": "Q4_K_M",
    }
