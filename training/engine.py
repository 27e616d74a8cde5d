"""The embedded engine in this process, for checking a model file; nothing here is measured."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import xllamacpp

from training.texts import Turn


class LoadedModel:
    """A model file in the engine: one slot, one thread, greedy."""

    def __init__(self, path: Path, context: int = 4096) -> None:
        parameters = xllamacpp.CommonParams()
        parameters.model.path = str(path)
        parameters.n_ctx = context
        parameters.n_parallel = 1
        parameters.cpuparams.n_threads = 1
        parameters.cpuparams_batch.n_threads = 1
        parameters.verbosity = -1
        parameters.ui = False
        self._server = xllamacpp.Server(parameters)
        self.complete([0], 1)  # closing a server that answered nothing can hang for ever

    def chat(self, turns: Sequence[Turn], limit: int) -> tuple[str, str]:
        """Return the answer to a conversation and why it ended: ``stop`` or ``length``."""
        messages = [{"role": role, "content": text} for role, text in turns]
        reply = self._post(
            "/v1/chat/completions",
            {"messages": messages, "temperature": 0, "max_tokens": limit, "cache_prompt": False},
        )
        choice = reply["choices"][0]
        return str(choice["message"].get("content") or ""), str(choice["finish_reason"])

    def complete(self, ids: Sequence[int], limit: int) -> list[int]:
        """Return the ids that follow a prompt of ids."""
        body = {"prompt": list(ids), "n_predict": limit, "temperature": 0, "return_tokens": True}
        return list(self._post("/completion", {**body, "cache_prompt": False})["tokens"])

    def tokenize(self, text: str) -> list[int]:
        """Return the ids of a text in which control tokens are plain text."""
        body = {"content": text, "add_special": False, "parse_special": False}
        return list(self._post("/tokenize", body)["tokens"])

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        request = urllib.request.Request(
            self._server.listening_address + path,
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request) as response:
            reply: dict[str, Any] = json.load(response)
        return reply
