"""A program in the place of `vllm` and `transformers`: it takes their command lines, loads nothing,
and answers with OpenAI's API. What `stub` in the model's config.json says, it does.
"""

import http.server
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

WORDS = ("one", " two", " three", " four")


def option(name: str, otherwise: str | None = None) -> str | None:
    return sys.argv[sys.argv.index(name) + 1] if name in sys.argv else otherwise


def main() -> None:
    assert sys.argv[1] == "serve"
    folder = Path(sys.argv[2])
    wish = json.loads((folder / "config.json").read_text()).get("stub", {})
    (folder / "argv.json").write_text(json.dumps(sys.argv))
    (folder / "environment.json").write_text(json.dumps(dict(os.environ)))
    if wish.get("child"):
        # In a session of its own, as a worker that wants to survive.
        child = subprocess.Popen(
            [sys.executable, "-c", "import signal; signal.pause()"], start_new_session=True
        )
        (folder / "child.pid").write_text(str(child.pid))
    if wish.get("deaf"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if wish.get("vram_mb") and "NVML_STUB" in os.environ:
        used = wish["vram_mb"] * 2**20
        said = f"gpu Stub {2**34}\ncompute 0 {os.getpid()} {used} 0\n"
        Path(os.environ["NVML_STUB"]).write_text(said)
    if wish.get("crash"):
        print("ValueError: these weights fit no model", file=sys.stderr)
        sys.exit(3)
    key = os.environ.get("VLLM_API_KEY")

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            ready = self.path == "/health" and not wish.get("never_ready")
            self.say(200 if ready else 503, b"{}")

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if key is not None and self.headers["Authorization"] != f"Bearer {key}":
                self.say(401, b'{"error": {"message": "no key"}}')
            elif self.path != "/v1/chat/completions":
                self.say(404, b'{"detail": "Not Found"}')
            elif body["model"] != option("--served-model-name", sys.argv[2]):
                self.say(400, b'{"error": {"message": "pinned to another model"}}')
            elif wish.get("refuse"):
                self.say(400, b'{"error": {"message": "there is no chat template"}}')
            elif wish.get("dies_at") and len(str(body)) > wish["dies_at"]:
                os.kill(os.getpid(), signal.SIGSEGV)
            else:
                self.answer(body)

        def answer(self, body: dict[str, Any]) -> None:
            said = WORDS[: body.get("max_tokens", len(WORDS))]
            usage = {"prompt_tokens": 7, "completion_tokens": len(said), "total_tokens": 11}
            head = {"id": "1", "object": "chat.completion.chunk", "model": body["model"]}
            if not body.get("stream"):
                self.say(200, json.dumps({**head, "choices": [], "usage": usage}).encode())
                return
            deltas = [{"role": "assistant"}, *({"content": word} for word in said)]
            choices: list[dict[str, Any]] = [{"index": 0, "delta": delta} for delta in deltas]
            choices.append({"index": 0, "delta": {}, "finish_reason": "stop"})
            events = [{**head, "choices": [choice]} for choice in choices]
            events[-1]["usage"] = usage
            lines = [f"data: {json.dumps(event)}\n\n" for event in events]
            # transformers leaves the closing mark out.
            done = [] if "transformers" in sys.argv[0] else ["data: [DONE]\n\n"]
            self.say(200, "".join([*lines, *done]).encode(), "text/event-stream")

        def say(self, status: int, body: bytes, kind: str = "application/json") -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            """Says nothing."""

    address = (option("--host") or "", int(option("--port") or 0))
    http.server.ThreadingHTTPServer(address, Handler).serve_forever()


if __name__ == "__main__":
    main()
