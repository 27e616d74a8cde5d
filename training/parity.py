"""Checks that the engine continues prompts as torch does, for each format.

python -m training.parity CHECKPOINT.pt FILE.gguf …
"""

from __future__ import annotations

import argparse
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import gguf
import torch
from torch.nn import functional

from minionbench.workloads import chat, finance, maths
from minionbench.workloads.tokenizer import BOS, END, EOS, reference_tokenizer
from training.engine import LoadedModel
from training.evaluation import EXAM_SEED, items
from training.model import Llama
from training.texts import Turn
from training.train import load_model

NEW_TOKENS = 24
"""Tokens compared per prompt."""

PROMPT_TASKS = (
    "prefill, 600 tokens",
    "balanced, the fact",
    "decode, the answer",
    "facts",
    "sums held out",
    "copying",
    "look-up, 10 entries",
    "CoVe, plan",
    "ranking, the whole order",
    "worker JSON, stated",
)


@dataclass(frozen=True)
class Parity:
    """How many prompts the engine continued with the very tokens that torch chose."""

    equal: int
    n: int


def prompts(per_task: int) -> Iterator[list[int]]:
    """Return prompts of every kind, and some of random characters, as ids."""
    for task in PROMPT_TASKS:
        for item in items(task, per_task):
            yield prompt_ids(item.turns)
    draw = random.Random("parity")
    for _ in range(per_task):
        yield prompt_ids([("user", "".join(draw.choices("abcdefgh 0123456789,.?+é", k=40)))])


def prompt_ids(turns: Sequence[Turn]) -> list[int]:
    """Return the ids of a conversation up to where the assistant's turn begins."""
    tokenizer = reference_tokenizer()
    ids = [tokenizer.id_of(BOS)]
    for role, text in turns:
        ids += [tokenizer.id_of(f"<|{role}|>"), *tokenizer.encode(text), tokenizer.id_of(END)]
    return [*ids, tokenizer.id_of("<|assistant|>")]


def greedy(model: Llama, prompt: Sequence[int], limit: int) -> list[int]:
    """Return the most likely ids after a prompt, up to the end of the turn."""
    tokenizer = reference_tokenizer()
    ends = {tokenizer.id_of(END), tokenizer.id_of(EOS)}
    ids = list(prompt)
    with torch.no_grad():
        for _ in range(limit):
            last = torch.zeros(1, len(ids), dtype=torch.bool)
            last[0, -1] = True
            following = int(model(torch.tensor([ids]), last)[0].argmax())
            if following in ends:
                break
            ids.append(following)
    return ids[len(prompt) :]


def compare(expected: Sequence[tuple[list[int], list[int]]], model: LoadedModel) -> Parity:
    """Count the prompts that the engine continues as expected."""
    tokenizer = reference_tokenizer()
    ends = {tokenizer.id_of(END), tokenizer.id_of(EOS)}
    equal = 0
    for prompt, continued in expected:
        got = [id_ for id_ in model.complete(prompt, NEW_TOKENS) if id_ not in ends]
        equal += got == continued
    return Parity(equal, len(expected))


def continuations(model: Llama, per_task: int) -> list[tuple[list[int], list[int]]]:
    """Return each prompt with torch's continuation of it."""
    return [(prompt, greedy(model, prompt, NEW_TOKENS)) for prompt in prompts(per_task)]


def perplexity(shape_of: Llama, file: Path, per_workload: int = 15) -> float:
    """Return the perplexity of held-out answers of the workloads, from a file's own weights.

    exp of the mean negative log-likelihood per token of the right answers, the end of the turn
    included. Computed in torch from the dequantised weights.
    """
    model = from_gguf(shape_of, file)
    tokenizer = reference_tokenizer()
    total, n = 0.0, 0
    for maker in (finance, chat, maths):
        for index in range(per_workload):
            item = maker.example(EXAM_SEED, index, tokenizer.count)
            prompt = prompt_ids([(m.role, m.content) for m in item.messages])
            answer = [*tokenizer.encode(item.solution), tokenizer.id_of(END)]
            with torch.no_grad():
                logits = model(torch.tensor([prompt + answer[:-1]]))[0, len(prompt) - 1 :]
            loss = functional.cross_entropy(logits, torch.tensor(answer), reduction="sum")
            total += float(loss)
            n += len(answer)
    return math.exp(total / n)


def from_gguf(shape_of: Llama, file: Path) -> Llama:
    """Return a model with the weights of a file, and the shape of another model."""
    weights = {
        tensor.name: torch.tensor(
            gguf.quants.dequantize(tensor.data, tensor.tensor_type).reshape(
                [int(size) for size in reversed(tensor.shape)]
            )
        )
        for tensor in gguf.GGUFReader(file).tensors
    }
    model = Llama(shape_of.shape)
    with torch.no_grad():
        model.embedding.weight.copy_(weights["token_embd.weight"])
        model.norm.scale.copy_(weights["output_norm.weight"])
        for layer, block in enumerate(model.blocks):
            for name, parameter, heads in (
                ("attn_norm", block.attention_norm.scale, 0),
                ("attn_q", block.query.weight, model.shape.heads),
                ("attn_k", block.key.weight, model.shape.kv_heads),
                ("attn_v", block.value.weight, 0),
                ("attn_output", block.output.weight, 0),
                ("ffn_norm", block.feed_forward_norm.scale, 0),
                ("ffn_gate", block.gate.weight, 0),
                ("ffn_up", block.up.weight, 0),
                ("ffn_down", block.down.weight, 0),
            ):
                tensor = weights[f"blk.{layer}.{name}.weight"]
                if heads:
                    pairs = tensor.reshape(heads, -1, 2, tensor.shape[1])
                    tensor = pairs.swapaxes(1, 2).reshape(tensor.shape)
                parameter.copy_(tensor)
    model.eval()
    return model


def main(arguments: list[str] | None = None) -> None:
    """Print parity and perplexity of model files against a checkpoint."""
    parser = argparse.ArgumentParser(description="Compare model files in the engine with torch.")
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE.gguf")
    parser.add_argument("--per-task", type=int, default=10)
    chosen = parser.parse_args(arguments)
    model = load_model(chosen.checkpoint)
    expected = continuations(model, chosen.per_task)
    for file in chosen.files:
        parity = compare(expected, LoadedModel(file))
        print(
            f"{file.name}: {parity.equal}/{parity.n} prompts continued as torch does, "
            f"perplexity of held-out answers {perplexity(model, file):.3f}"
        )


if __name__ == "__main__":
    main()
