"""A trained model with its preprocessing, and its way out of an exported folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from torch import Tensor, nn

from trainables.data.dataset import ImageData, SplitData
from trainables.data.device import normalisation
from trainables.export import CONFIG_FILE, WEIGHTS_FILE
from trainables.models import create_model
from trainables.task import Task
from trainables.trial_config import TrialConfig


class PixelModel(nn.Module):
    """A model of images that takes pixels as decoders give them.

    Args:
        model: takes floats of mean 0 and deviation 1.
        mean: [channels], of the training part, with pixels from 0 to 1.
        std: likewise.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, model: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.model = model
        scale, shift = normalisation(mean, std)
        self.register_buffer("scale", scale.view(1, -1, 1, 1), persistent=False)
        self.register_buffer("shift", shift.view(1, -1, 1, 1), persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """Map [batch, channels, height, width] uint8 to [batch, num_classes] logits."""
        return cast("Tensor", self.model(pixels.to(self.scale.dtype) * self.scale + self.shift))


def with_preprocessing(model: nn.Module, data: SplitData) -> nn.Module:
    """Return a model that takes pixels; one of texts takes token ids, and stays as it is."""
    if isinstance(data, ImageData):
        return PixelModel(model, data.mean, data.std).eval()
    return model


def load_exported(folder: Path) -> nn.Module:
    """Return the model of an exported folder, in evaluation mode.

    Returns:
        A module from [batch, channels, height, width] uint8 pixels, or [batch, tokens] int64 ids,
        to [batch, num_classes] logits.
    """
    from safetensors.torch import load_file

    told: dict[str, Any] = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    task = Task.from_dict(told["task"])
    model = create_model(TrialConfig.from_dict(told["config"]), task).eval()
    model.load_state_dict(load_file(folder / WEIGHTS_FILE))
    if task.kind == "text":
        return model
    images = told["preprocessing"]
    return PixelModel(model, images["mean"], images["std"]).eval()
