"""Inputs of a model's shape, where their values don't matter."""

from __future__ import annotations

import torch
from torch import Tensor

from trainables.task import Task


def example_inputs(task: Task, batch_size: int, device: torch.device | str | None = None) -> Tensor:
    """Return random inputs of a task's models, from Torch's global generator.

    Returns:
        [batch_size, channels, height, width] float32 normal deviates, or [batch_size, tokens]
        int64 ids without padding.
    """
    shape = (batch_size, *task.input_shape)
    if task.vocab_size is None:
        return torch.randn(shape, device=device)
    return torch.randint(1, task.vocab_size, shape, device=device)
