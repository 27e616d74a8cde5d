"""Writes the shipped files from a trained checkpoint: three GGUFs and the model's card.

python -m training.publish CHECKPOINT.pt [--count N] [--out FOLDER] [--no-exam]
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from minionbench.workloads.tokenizer import reference_tokenizer
from training.card import card_text
from training.engine import LoadedModel
from training.evaluation import EXAM_SEED, TASKS, examine
from training.gguf_file import write_gguf
from training.model import gguf_weights
from training.parity import compare, continuations, perplexity
from training.stages import STAGES
from training.train import load_model

FORMATS = ("f16", "q8_0", "q4_0")
FOLDER = Path(__file__).parents[1] / "src" / "minionbench" / "engines" / "reference_model"
"""Where the package keeps the model."""


def write_files(checkpoint: Path, folder: Path) -> dict[str, Path]:
    """Write one GGUF per format and return their paths."""
    model = load_model(checkpoint)
    weights = gguf_weights(model)
    files = {format_: folder / f"reference-{format_}.gguf" for format_ in FORMATS}
    for format_, file in files.items():
        part = file.with_suffix(".part")
        write_gguf(part, model.shape, weights, reference_tokenizer(), format_)
        part.replace(file)
    return files


def facts(checkpoint: Path, files: dict[str, Path], count: int) -> dict[str, Any]:
    """Examine the files and return everything that the card states."""
    saved = torch.load(checkpoint, weights_only=False)
    model = load_model(checkpoint)
    expected = continuations(model, per_task=6)
    formats: dict[str, Any] = {}
    for format_, file in files.items():
        loaded = LoadedModel(file)
        parity = compare(expected, loaded)
        formats[format_] = {
            "file": file.name,
            "size_bytes": file.stat().st_size,
            "parity_equal": parity.equal,
            "parity_n": parity.n,
            "answer_perplexity": round(perplexity(model, file), 4),
            "tasks": {task: asdict(examine(loaded, task, count)) for task in TASKS},
        }
        print(f"{format_}: {json.dumps(formats[format_])}", flush=True)
    return {
        "name": "minionbench-reference",
        "architecture": {
            **asdict(model.shape),
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "tied_embeddings": True,
        },
        "training": {
            "stages": [{"name": name, "steps": steps} for name, steps in _steps_run(saved)],
            "cpu_s_per_worker": round(saved["cpu_s"]),
            "workers": saved.get("workers", 2),
        },
        "exam_seed": EXAM_SEED,
        "formats": formats,
    }


def _steps_run(saved: dict[str, Any]) -> list[tuple[str, int]]:
    """Return the stages that a checkpoint has behind it, with the steps of each."""
    run = [(stage.name, stage.steps) for stage in STAGES[: saved["stage"]]]
    if saved["step"]:
        run.append((STAGES[saved["stage"]].name, saved["step"]))
    return run


def main(arguments: list[str] | None = None) -> None:
    """Write the files and the card as the command line asks."""
    parser = argparse.ArgumentParser(description="Write the shipped model files and their card.")
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--count", type=int, default=100, help="items of each task")
    parser.add_argument("--out", type=Path, default=FOLDER)
    parser.add_argument("--no-exam", action="store_true", help="write the model files only")
    chosen = parser.parse_args(arguments)
    files = write_files(chosen.checkpoint, chosen.out)
    for file in files.values():
        print(f"{file.name}: {file.stat().st_size} bytes", flush=True)
    if chosen.no_exam:
        return
    stated = facts(chosen.checkpoint, files, chosen.count)
    (chosen.out / "card.json").write_text(json.dumps(stated, indent=1) + "\n", "utf-8")
    (chosen.out / "CARD.md").write_text(card_text(stated), "utf-8")


if __name__ == "__main__":
    main()
