"""What a latency runtime is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

Call = Callable[[], Tensor | NDArray[np.float32]]
"""Runs a model once on one example, to its end, and returns its [batch, num_classes] logits."""


class Runtime(Protocol):
    """Turns a model into what would be shipped."""

    def prepare(self, model: nn.Module, example: Tensor) -> Call:
        """Return a call that runs the model on the example.

        Shapes are static. The runtime uses as many threads as `torch.get_num_threads()`.

        Args:
            model: in evaluation mode; may be modified.
            example: as `trainables.models.example` makes one.

        Raises:
            LatencyError: if the runtime can't run the model; names the operator if there is one.
            InputError: if a tool is missing.
        """
