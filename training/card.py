"""The reference model's card as a page, from its facts."""

from __future__ import annotations

from typing import Any

HEAD = """# The reference model

A language model of {millions:.2f} million parameters, trained from scratch for minionbench, so
that the program measures a real model in a real engine on any machine at once. It is no use for
anything else: it knows its own invented world and the formats below, and nothing of ours.

The figures of this page are in `card.json` too; `training/README.md` says how to make it again.

## Architecture

Llama: {layers} layers, width {width}, {heads} heads of {head_width}, feed-forward {feed_forward},
RMS norm, rotary positions (base {rope_base:,.0f}), tied embeddings, vocabulary {vocabulary:,}
(byte-level BPE, digits never merged), context {context:,} tokens, trained at up to about 1,900.

## Data and training

All text is generated from seeds and invented: the built-in workloads (financial reports with
questions, assistant conversations, maths problems with worked solutions), look-ups in lists,
facts of 24 countries, two-digit sums, copying, and the formats of Chain-of-Verification, listwise
ranking, relevance and worker JSON. No text of the exam was trained on: its workload seed is
{exam_seed:,}, training's begin at 1,000,000, and one sum in ten was held out. (Facts are the
exception: a fact that was never told cannot be known.)

Stages and their steps:
{stages}.
{cpu_minutes:.0f} CPU minutes in each of {workers} processes of one thread. Two heads of each of the
first two layers start as the outline of a look-up circuit (`training/initial_circuit.py`).

## Files

| format | size | greedy output equal to torch's | perplexity of held-out answers |
|---|---|---|---|
"""

TASKS_HEAD = """
In q4_0 the embeddings are q8_0. Perplexity is computed in torch from the file's dequantised
weights; everything else is the engine's own output, greedy, with a natural end.

## Accuracy

Right answers among {n} of each task (facts: 48), judged as `training/evaluation.py` says: by the
value for prefill, decode and the fact of balanced, by the whole answer elsewhere. An answer that
does not end by itself is wrong. At n = 50 the 95 % interval of 50 % is about ±14 points.

| task | {formats} |
|---|{rule}|
"""

LIMITS = """
## What it cannot do

- Where a rate above is low, its answers have the right form and mostly the wrong content: it names
  the line that was asked for and gives another line's value, or goes on calculating from a wrong
  number. Speed, lengths and natural ends can be measured on it; its accuracy says little more
  than that formats differ.
- Anything outside its training text: general knowledge, other phrasing of the questions, other
  languages, other layouts of tables. On real data sets its answers are wrong.
- Differences of large numbers in reports (one question in twenty), and most comparisons.
- Look-up over more than about 2,000 tokens: it still answers, but was not trained for it.
- Safety, truthfulness or instruction following in any general sense.
"""


def card_text(facts: dict[str, Any]) -> str:
    """Return the card."""
    shape, training, formats = facts["architecture"], facts["training"], facts["formats"]
    text = HEAD.format(
        **shape,
        millions=shape["parameters"] / 1e6,
        head_width=shape["width"] // shape["heads"],
        exam_seed=facts["exam_seed"],
        stages=", ".join(f"{stage['name']} {stage['steps']}" for stage in training["stages"]),
        cpu_minutes=training["cpu_s_per_worker"] / 60,
        workers=training["workers"],
    )
    for name, stated in formats.items():
        text += (
            f"| {name} | {stated['size_bytes']:,} bytes | {stated['parity_equal']} of "
            f"{stated['parity_n']} prompts | {stated['answer_perplexity']:.3f} |\n"
        )
    tasks = {task: None for stated in formats.values() for task in stated["tasks"]}
    counts = [score["n"] for stated in formats.values() for score in stated["tasks"].values()]
    text += TASKS_HEAD.format(
        n=max(counts), formats=" | ".join(formats), rule="|".join("---" for _ in formats)
    )
    for task in tasks:
        rates = [_rate(stated["tasks"][task]) for stated in formats.values()]
        text += f"| {task} | {' | '.join(rates)} |\n"
    return text + LIMITS


def _rate(score: dict[str, int]) -> str:
    return f"{100 * score['right'] / score['n']:.0f} %"
