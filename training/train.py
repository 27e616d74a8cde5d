"""Trains the reference model: every stage, one command, resumable.

    python -m training.train --work DIR [--workers 2] [--until STAGE]

Each worker is one process with one thread; gradients are averaged. Needs a CPU torch.
"""

from __future__ import annotations

import argparse
import os
import random
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed, multiprocessing
from torch.nn import functional

from training.batches import Batch
from training.gguf_file import Architecture
from training.initial_circuit import outline_lookup, raise_rope_base
from training.model import Llama
from training.optimizer import Muon
from training.stages import ARCHITECTURE, STAGES, Stage

EMBEDDING_RATE_SHARE = 0.15
"""Adam's rate for embeddings and norms as a share of Muon's."""

CHECKPOINT_STEPS = 100
LOG_STEPS = 25


class Trainer:
    """One worker's model and optimizers, the same in every worker after every step."""

    def __init__(self, shape: Architecture, workers: int) -> None:
        torch.manual_seed(0)
        self.model = Llama(shape)
        outline_lookup(self.model)
        self.workers = workers
        matrices = [p for p in self.model.blocks.parameters() if p.ndim == 2]
        inside = {id(matrix) for matrix in matrices}
        others = [p for p in self.model.parameters() if id(p) not in inside]
        self.muon = Muon(matrices)
        self.adam = torch.optim.AdamW(others, betas=(0.9, 0.98), weight_decay=0.0)

    def step(self, batch: Batch, rate: float) -> float:
        """Take one step on every worker's batch and return this worker's loss."""
        inputs, targets = batch.ids[:, :-1], batch.ids[:, 1:]
        chosen = batch.weights > 0
        with torch.autocast("cpu", torch.bfloat16):
            logits = self.model(inputs, chosen)
        losses = functional.cross_entropy(logits.float(), targets[chosen], reduction="none")
        weights = batch.weights[chosen]
        loss = (losses * weights).sum() / weights.sum()
        self.model.zero_grad()
        loss.backward()
        if self.workers > 1:
            self._average_gradients()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.muon.step(rate)
        for group in self.adam.param_groups:
            group["lr"] = rate * EMBEDDING_RATE_SHARE
        self.adam.step()
        answers = weights >= 1
        return float(losses[answers].detach().mean())

    def _average_gradients(self) -> None:
        gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        distributed.all_reduce(flat)
        flat /= self.workers
        start = 0
        for gradient in gradients:
            gradient.copy_(flat[start : start + gradient.numel()].view_as(gradient))
            start += gradient.numel()

    def state(self) -> dict[str, Any]:
        """Return everything a later start needs to go on."""
        return {
            "model": self.model.state_dict(),
            "adam": self.adam.state_dict(),
            "muon": list(self.muon.velocities.values()),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint's state."""
        self.model.load_state_dict(state["model"])
        self.adam.load_state_dict(state["adam"])
        velocities: list[Tensor] = state["muon"]
        for mine, saved in zip(self.muon.velocities.values(), velocities, strict=True):
            mine.copy_(saved)


def rate_at(stage: Stage, step: int) -> float:
    """Return a stage's learning rate: up over its first steps, level, then down to 2 %."""
    up = min(1.0, (step + 1) / stage.warmup)
    left = (stage.steps - step) / (stage.steps * stage.decay) if stage.decay else 1.0
    return stage.rate * up * max(0.02, min(1.0, left))


def run_worker(rank: int, workers: int, work: Path, until: str | None) -> None:
    """Train in one process; rank 0 writes the checkpoints and the log."""
    torch.set_num_threads(1)
    if workers > 1:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
        distributed.init_process_group(
            "gloo", init_method=f"file://{work}/meeting", rank=rank, world_size=workers
        )
    checkpoint = work / "checkpoint.pt"
    saved = torch.load(checkpoint, weights_only=False) if checkpoint.exists() else None
    shape = Architecture(**saved["architecture"]) if saved else ARCHITECTURE
    trainer = Trainer(shape, workers)
    at_stage, at_step, cpu_s = 0, 0, 0.0
    if saved:
        trainer.restore(saved["state"])
        at_stage, at_step, cpu_s = saved["stage"], saved["step"], saved["cpu_s"]
    if workers > 1:
        distributed.barrier()
    began_s = time.process_time() - cpu_s
    for index, stage in enumerate(STAGES):
        if index < at_stage:
            continue
        if stage.rope_base is not None and trainer.model.shape.rope_base != stage.rope_base:
            raise_rope_base(trainer.model, stage.rope_base)
        losses: dict[str, float] = {}
        for step in range(at_step if index == at_stage else 0, stage.steps):
            kind_random = random.Random(f"{stage.name} {step}")
            content = random.Random(f"{stage.name} {step} {rank}")
            kind, batch = stage.draw(kind_random, content)
            loss = trainer.step(batch, rate_at(stage, step))
            losses[kind] = losses.get(kind, loss) * 0.9 + loss * 0.1
            done = step + 1
            cpu_s = time.process_time() - began_s
            if rank == 0 and (done % LOG_STEPS == 0 or done == stage.steps):
                shown = " ".join(f"{kind} {loss:.3f}" for kind, loss in sorted(losses.items()))
                print(f"{stage.name} {done}/{stage.steps} cpu {cpu_s:.0f} s: {shown}", flush=True)
            if rank == 0 and (done % CHECKPOINT_STEPS == 0 or done == stage.steps):
                save(checkpoint, trainer, index, done, cpu_s)
        if rank == 0:
            save(work / f"after-{stage.name}.pt", trainer, index + 1, 0, cpu_s)
        if stage.name == until:
            break
    if workers > 1:
        distributed.destroy_process_group()


def save(path: Path, trainer: Trainer, stage: int, step: int, cpu_s: float) -> None:
    """Write a checkpoint, never half of one."""
    part = path.with_suffix(".part")
    torch.save(
        {
            "state": trainer.state(),
            "architecture": asdict(trainer.model.shape),
            "stage": stage,
            "step": step,
            "cpu_s": cpu_s,
        },
        part,
    )
    part.replace(path)


def load_model(path: Path) -> Llama:
    """Return the model of a checkpoint."""
    saved = torch.load(path, weights_only=False)
    model = Llama(Architecture(**saved["architecture"]))
    model.load_state_dict(saved["state"]["model"])
    model.eval()
    return model


def main(arguments: list[str] | None = None) -> None:
    """Train as the command line asks."""
    parser = argparse.ArgumentParser(description="Train the reference model.")
    parser.add_argument("--work", type=Path, required=True, help="folder of the checkpoints")
    parser.add_argument("--workers", type=int, default=2, help="processes of one thread each")
    parser.add_argument("--until", choices=[stage.name for stage in STAGES], default=None)
    chosen = parser.parse_args(arguments)
    chosen.work.mkdir(parents=True, exist_ok=True)
    (chosen.work / "meeting").unlink(missing_ok=True)
    run = (chosen.workers, chosen.work.resolve(), chosen.until)
    if chosen.workers == 1:
        run_worker(0, *run)
    else:
        multiprocessing.spawn(run_worker, args=run, nprocs=chosen.workers)


if __name__ == "__main__":
    main()
