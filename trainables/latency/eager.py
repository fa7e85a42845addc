"""Plain eager PyTorch in fp32, as a Python service would run it."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from trainables.latency.protocol import Call


class EagerRuntime:
    """Runs the module itself in inference mode."""

    def prepare(self, model: nn.Module, example: Tensor) -> Call:
        """Return a call of the model, with channels last."""
        model = model.to(memory_format=torch.channels_last)
        if example.ndim == 4:
            example = example.to(memory_format=torch.channels_last)

        @torch.inference_mode()
        def run() -> Tensor:
            return cast("Tensor", model(example))

        return run
