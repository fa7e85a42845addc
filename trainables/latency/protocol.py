"""What a latency runtime is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from torch import Tensor, nn


class Runtime(Protocol):
    """Turns a model into what would be shipped."""

    def prepare(self, model: nn.Module, example: Tensor) -> Callable[[], None]:
        """Return a call that runs the model once on the example, to its end.

        Args:
            model: may be modified.
            example: as `trainables.models.example` makes one.
        """
