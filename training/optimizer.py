"""Muon for the layers' matrices and Adam for everything else."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def orthogonal(matrices: Tensor) -> Tensor:
    """Push every singular value of a stack of matrices towards 1.

    Five Newton-Schulz steps in f32. Source: the Muon optimizer, K. Jordan and others, 2024.
    """
    x = matrices / (matrices.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    tall = x.shape[-2] > x.shape[-1]
    if tall:
        x = x.mT
    for _ in range(5):
        gram = x @ x.mT
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x.mT if tall else x


class Muon:
    """Momentum whose step is orthogonal, for the matrices inside the layers.

    Matrices of one shape are stepped together.
    """

    def __init__(self, matrices: list[nn.Parameter], momentum: float = 0.95) -> None:
        self.momentum = momentum
        self.groups: dict[tuple[int, ...], list[nn.Parameter]] = {}
        for matrix in matrices:
            self.groups.setdefault(tuple(matrix.shape), []).append(matrix)
        self.velocities = {
            shape: torch.zeros(len(group), *shape) for shape, group in self.groups.items()
        }

    def step(self, rate: float, decay: float = 0.01) -> None:
        """Move every matrix against its gradient."""
        with torch.no_grad():
            for shape, group in self.groups.items():
                gradients = torch.stack([_gradient(matrix) for matrix in group])
                velocity = self.velocities[shape]
                velocity.lerp_(gradients, 1 - self.momentum)
                steps = orthogonal(gradients.lerp(velocity, self.momentum))
                scale = rate * max(1.0, shape[0] / shape[1]) ** 0.5
                for matrix, step in zip(group, steps, strict=True):
                    matrix.mul_(1 - rate * decay).sub_(step, alpha=scale)


def _gradient(parameter: nn.Parameter) -> Tensor:
    if parameter.grad is None:
        raise RuntimeError("a parameter has no gradient: every one takes part in every step")
    return parameter.grad
