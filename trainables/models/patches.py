"""The embedding of an image's patches, for the models that work on patches."""

from __future__ import annotations

from torch import nn

from trainables.task import Task
from trainables.trial_config import TrialConfig


def patch_embedding(config: TrialConfig, task: Task) -> nn.Conv2d:
    """Build the map from [batch, channels, height, width] to `config.width` channels a patch.

    That patches tile the image is `TrialConfig.check_task`'s to look at.
    """
    return nn.Conv2d(task.input_shape[0], config.width, config.patch_px, stride=config.patch_px)
