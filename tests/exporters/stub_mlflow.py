"""A server that holds callers to the rules of MLflow's REST API, as its own server does."""

from __future__ import annotations

import json
import math
import posixpath
import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.exporters.stub_server import Answer, Asked

KEY = re.compile(r"[\w\-. :/]*", re.ASCII)


class Refusal(Exception):
    """A rule was broken."""

    def __init__(self, message: str, code: str = "INVALID_PARAMETER_VALUE", status: int = 400):
        super().__init__(message)
        self.code = code
        self.status = status


def check(rule: bool, message: str) -> None:
    if not rule:
        raise Refusal(message)


class MlflowStub:
    """Experiments and runs in memory."""

    def __init__(self, token: str | None = None) -> None:
        self.token = token
        self.experiments: dict[str, str] = {}
        self.runs: dict[str, dict[str, Any]] = {}
        self.batches: list[dict[str, Any]] = []
        self.refuse: str | None = None
        """A path that always fails."""

    def __call__(self, asked: Asked) -> Answer:
        try:
            if self.token and asked.headers.get("authorization") != f"Bearer {self.token}":
                raise Refusal("who are you", "UNAUTHENTICATED", 401)
            parts = urlsplit(asked.path)
            name = parts.path.removeprefix("/api/2.0/mlflow/")
            if self.refuse == name:
                raise Refusal(f"broken {asked.headers.get('authorization')}", "INTERNAL_ERROR", 500)
            body = json.loads(asked.body) if asked.body else {}
            ways = {
                ("POST", "experiments/create"): self.create_experiment,
                ("POST", "runs/create"): self.create_run,
                ("POST", "runs/log-batch"): self.log_batch,
                ("POST", "runs/update"): self.update_run,
            }
            if asked.method == "GET" and name == "experiments/get-by-name":
                answer = self.by_name(parse_qs(parts.query)["experiment_name"][0])
            else:
                answer = ways[asked.method, name](body)
            return 200, json.dumps(answer).encode(), {}
        except KeyError as missing:
            refusal = Refusal(f"no such thing: {missing}", "ENDPOINT_NOT_FOUND", 404)
        except Refusal as broken:
            refusal = broken
        told = {"error_code": refusal.code, "message": str(refusal)}
        return refusal.status, json.dumps(told).encode(), {}

    def create_experiment(self, body: dict[str, Any]) -> dict[str, Any]:
        if body["name"] in self.experiments:
            raise Refusal("Experiment already exists", "RESOURCE_ALREADY_EXISTS")
        self.experiments[body["name"]] = str(len(self.experiments) + 1)
        return {"experiment_id": self.experiments[body["name"]]}

    def by_name(self, name: str) -> dict[str, Any]:
        about = {"experiment_id": self.experiments[name], "lifecycle_stage": "active"}
        return {"experiment": about}

    def create_run(self, body: dict[str, Any]) -> dict[str, Any]:
        check(body["experiment_id"] in self.experiments.values(), "no such experiment")
        run_id = f"run{len(self.runs)}"
        tags = {tag["key"]: tag["value"] for tag in body["tags"]}
        for name, value in tags.items():
            self.check_key(name)
            check(len(value) <= 5000, "tag too long")
        self.runs[run_id] = {
            "name": body["run_name"],
            "tags": tags,
            "params": {},
            "metrics": {},
            "status": "RUNNING",
        }
        return {"run": {"info": {"run_id": run_id}}}

    def log_batch(self, body: dict[str, Any]) -> dict[str, Any]:
        run = self.runs[body["run_id"]]
        metrics, params, tags = (body[kind] for kind in ("metrics", "params", "tags"))
        check(len(metrics) <= 1000, "at most 1000 metrics")
        check(len(params) <= 100, "at most 100 params")
        check(len(tags) <= 100, "at most 100 tags")
        check(len(metrics) + len(params) + len(tags) <= 1000, "at most 1000 in total")
        check(len(json.dumps(body)) <= 1_000_000, "at most 1 MB")
        for metric in metrics:
            self.check_key(metric["key"])
            check(math.isfinite(metric["value"]), "a number")
            check(isinstance(metric["timestamp"], int) and metric["timestamp"] > 1e12, "in ms")
            check(isinstance(metric["step"], int), "a step")
            run["metrics"][metric["key"]] = metric["value"]
        for param in params:
            self.check_key(param["key"])
            check(isinstance(param["value"], str) and len(param["value"]) <= 500, "param value")
            check(param["key"] not in run["params"], "params cannot be changed")
            run["params"][param["key"]] = param["value"]
        self.batches.append(body)
        return {}

    def update_run(self, body: dict[str, Any]) -> dict[str, Any]:
        check(body["status"] in ("FINISHED", "FAILED", "KILLED"), "unknown status")
        check(isinstance(body["end_time"], int), "end time in ms")
        self.runs[body["run_id"]]["status"] = body["status"]
        return {"run_info": {}}

    def check_key(self, key: str) -> None:
        check(0 < len(key) <= 250, "length of a key")
        check(KEY.fullmatch(key) is not None, f"signs in {key!r}")
        plain = posixpath.normpath(key)
        check(plain == key and plain != "." and not plain.startswith(("..", "/")), "no path")
