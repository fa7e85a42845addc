"""The moving average of a model's weights, which is validated and shipped in their place."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from itertools import chain
from typing import Any, final

import torch
from torch import Tensor, nn


@final
class WeightAverage:
    """An exponential moving average (Morales-Brotons et al. 2024, arXiv:2411.18704).

    The decay of the n-th update, counted from 0, is min(decay, (1 + n) / (10 + n)), as in
    TensorFlow's ExponentialMovingAverage: with a constant one the random weights of the start
    would weigh on a short training to its end.

    The running statistics of batch norms are averaged like weights: those of the model belong to
    its latest weights, and don't fit the average. They are linear in the model's, so where workers
    average their statistics, those of `model` here must be averaged as well.

    Torch's AveragedModel does the same, but waits for the GPU at each update, to read its counter.

    Attributes:
        model: the average, in evaluation mode and without gradients.

    Args:
        model: in training, on its device; stays there, and is read at each update.
        decay: of the average, from 0 to 1.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self._decay = decay
        self._num_updates = 0
        pairs = list(zip(_tensors(self.model), _tensors(model), strict=True))
        self._averaged = [pair for pair in pairs if pair[0].is_floating_point()]
        self._copied = [pair for pair in pairs if not pair[0].is_floating_point()]

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights after a step."""
        decay = min(self._decay, (1 + self._num_updates) / (10 + self._num_updates))
        own, others = zip(*self._averaged, strict=True)
        torch._foreach_lerp_(own, others, 1 - decay)
        for counter, other in self._copied:
            counter.copy_(other)
        self._num_updates += 1

    def state_dict(self) -> dict[str, Any]:
        """Return all that a resume needs; its tensors are live, so save or copy them at once."""
        return {"model": self.model.state_dict(), "num_updates": self._num_updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over the average and its count of updates; the decay stays.

        Args:
            state: from `state_dict`, on any device; is copied.
        """
        self.model.load_state_dict(state["model"])
        self._num_updates = state["num_updates"]


def _tensors(model: nn.Module) -> Iterator[Tensor]:
    return chain(model.parameters(), model.buffers())
