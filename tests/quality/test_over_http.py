"""Both procedures driven by the runner, against a scripted model behind a real server."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from minionbench.deployments.deployment import Deployment
from minionbench.deployments.single import Local
from minionbench.exchange import Endpoint, Manners, Request
from minionbench.load import ClosedLoop
from minionbench.metrics.value import MetricValue
from minionbench.quality.cove import ChainOfVerification
from minionbench.quality.cove_drawn import built_in_pairs
from minionbench.quality.cove_score import cove_pass_rate
from minionbench.quality.retrieval import ListwiseReranker, PointwiseReranker
from minionbench.quality.retrieval_score import retrieval_score
from minionbench.records import RequestRecord
from minionbench.runner import Phased, Runner, StopSwitch
from minionbench.transport.loop import Transport
from tests.quality import test_retrieval_score as retrieval
from tests.quality.scripted import perfect


@contextmanager
def serving(
    model: Callable[[str], str], likeliest: Callable[[str], dict[str, float]] | None = None
) -> Iterator[str]:
    """A server that streams what a scripted model says to the last message.

    Where it is asked for them, it gives the probabilities of the first tokens by `likeliest`.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            prompt = asked["messages"][-1]["content"]
            said = model(prompt)
            first = {"index": 0, "delta": {"content": said}, "finish_reason": None}
            if likeliest is not None and asked.get("logprobs"):
                top = [
                    {"token": token, "logprob": math.log(share), "bytes": None}
                    for token, share in likeliest(prompt).items()
                ]
                assert len(top) <= asked["top_logprobs"]
                first["logprobs"] = {"content": [{"token": said, "top_logprobs": top}]}
            events = [
                {"choices": [first]},
                {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
                {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 2}},
            ]
            stream = "".join(f"data: {json.dumps(event)}\n\n" for event in events)
            body = f"{stream}data: [DONE]\n\n".encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Keeps quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def run(
    url: str, deployment: Deployment, requests: Iterable[Request], manners: Manners | None = None
) -> list[RequestRecord]:
    """The records of a closed loop of two streams."""
    endpoint = Endpoint(url, "scripted", manners=manners)
    with Transport() as transport:
        runner = Runner(deployment, {"local": endpoint}, transport, [], stop=StopSwitch())
        phase = Phased(
            cell="quality",
            phase="measured",
            repeat=0,
            requests=tuple(enumerate(requests)),
            load=ClosedLoop(concurrency=2),
        )
        return runner.run(phase)[0]


def test_verification_runs_like_any_other_request_and_its_questions_are_asked_at_once() -> None:
    pairs = built_in_pairs(number=7)
    with serving(perfect(pairs.pairs)) as url:
        records = run(url, ChainOfVerification(Local()), pairs.requests())
        base = run(url, Local(), pairs.base_requests())
    value = cove_pass_rate(pairs.pairs, records, base)
    assert value.value == 100
    assert value.metadata["base_accuracy"]["value"] == 100
    assert value.metadata["spent"]["prompt_tokens"] == 7 * value.metadata["spent"]["calls"]
    for record in records:
        planned = {call.reply.planned_ns for call in record.calls if call.round == 2}
        assert len(planned) == 1
        assert [call.round for call in record.calls] == sorted(call.round for call in record.calls)


def test_reranking_runs_like_any_other_request() -> None:
    task = retrieval.HAND
    first = {"red": "red two", "blue": "blue two"}

    def model(prompt: str) -> str:
        wanted = first[retrieval.QUERY.findall(prompt)[-1]]
        shown = retrieval.PASSAGE.findall(prompt)
        return next((f"[{number}]" for number, text in shown if text == wanted), "[1]")

    with serving(model) as url:
        records = run(url, ListwiseReranker(Local()), task.requests())
    assert (
        retrieval_score(task, records).value
        == retrieval_score(task, retrieval.hand("d:b", "d:d")).value
    )


def test_pointwise_takes_the_probabilities_of_a_server_that_tells_them() -> None:
    task, reranker = retrieval.HAND, PointwiseReranker(Local())

    def asked(first: str, *, tells: bool) -> MetricValue:
        def judged(prompt: str) -> dict[str, float]:
            passage = prompt.partition("\n")[0].removeprefix("Passage: ")
            return {"Yes": 0.6, "No": 0.4} if passage.endswith(first) else {"No": 0.5, "Yes": 0.5}

        with serving(lambda prompt: "Yes", judged) as url:
            records = run(url, reranker, task.requests(), Manners(logprobs=tells))
        return retrieval_score(task, records, settings=reranker.settings)

    by_words = asked("two", tells=False)
    assert by_words.metadata["settings"]["relevance"] == "the word Yes or No"
    assert by_words.value == by_words.metadata["as_shown"]["ndcg_at_10"]
    for first, order in (("one", ("d:a", "d:c")), ("two", ("d:b", "d:d"))):
        by_odds = asked(first, tells=True)
        assert by_odds.metadata["settings"]["relevance"] == "log-probabilities of Yes and No"
        assert by_odds.value == retrieval_score(task, retrieval.hand(*order)).value
