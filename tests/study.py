"""Small workloads for the tests of whole runs."""

from __future__ import annotations

from collections.abc import Iterator

from minionbench.exchange import Limits, Message, Reference, Request


class Questions:
    """Short questions, each a different one."""

    version = 1

    def __init__(self, name: str = "balanced", *, output_tokens: int = 12) -> None:
        self.name = name
        self.source = f"test:{name}@1"
        self.output_tokens = output_tokens

    def requests(self, n: int, seed: int) -> Iterator[Request]:
        for i in range(n):
            yield Request(
                item_id=f"{self.name}/{seed}/{i}",
                messages=(Message("user", f"Question {i} of {seed}: what is {i} + {seed}?"),),
                limits=Limits(max_output_tokens=self.output_tokens, seed=1),
                source=self.source,
                input_tokens=12,
                reference=Reference(kind="number", value=str(i + seed)),
            )
