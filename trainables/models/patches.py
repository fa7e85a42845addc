"""The embedding of an image's patches, for the models that work on patches."""

from __future__ import annotations

import math

from torch import nn

from trainables.errors import InputError
from trainables.task import Task
from trainables.trial_config import TrialConfig


def patch_embedding(config: TrialConfig, task: Task) -> nn.Conv2d:
    """Build the map from [batch, channels, height, width] to `config.width` channels a patch.

    Raises:
        InputError: if the patches don't tile the image.
    """
    channels, height, width = task.input_shape
    if height % config.patch_px or width % config.patch_px:
        raise InputError(
            f"patch_px must divide the image ({height} x {width}) px, got {config.patch_px}; "
            f"choose a divisor of {math.gcd(height, width)}"
        )
    return nn.Conv2d(channels, config.width, config.patch_px, stride=config.patch_px)
