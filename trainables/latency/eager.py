"""Plain eager PyTorch in fp32, as a Python service would run it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


class EagerRuntime:
    """Runs the module itself in inference mode."""

    def prepare(self, model: nn.Module, example: Tensor) -> Callable[[], None]:
        """Return a call of the model, in evaluation mode and with channels last."""
        model = model.eval().to(memory_format=torch.channels_last)
        if example.ndim == 4:
            example = example.to(memory_format=torch.channels_last)

        @torch.inference_mode()
        def run() -> None:
            model(example)

        return run
