"""ConvMixer (Trockman and Kolter 2022, arXiv:2201.09792): patches mixed by convolutions."""

from __future__ import annotations

from torch import Tensor, nn

from trainables.models.drop_path import drop_paths
from trainables.models.patches import patch_embedding
from trainables.task import Task
from trainables.trial_config import TrialConfig

_KERNEL = 5  # patches; the paper's 9 is for grids of 32 x 32


class _Block(nn.Module):
    """Mix the places of each channel, around a shortcut, then the channels of each place."""

    def __init__(self, width: int, drop_path: nn.Module) -> None:
        super().__init__()
        self.places = nn.Sequential(
            nn.Conv2d(width, width, _KERNEL, groups=width, padding="same"),
            nn.GELU(),
            nn.BatchNorm2d(width),
        )
        self.channels = nn.Sequential(nn.Conv2d(width, width, 1), nn.GELU(), nn.BatchNorm2d(width))
        self.drop_path = drop_path

    def forward(self, x: Tensor) -> Tensor:
        return self.channels(x + self.drop_path(self.places(x)))  # type: ignore[no-any-return]


class ConvMixer(nn.Module):
    """Embedded patches, then `depth` blocks that keep width and grid.

    Args:
        config: `width` channels, `depth` blocks, patches of `patch_px`.
        task: of images.

    Raises:
        InputError: if the patches don't tile the image.
    """

    def __init__(self, config: TrialConfig, task: Task) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            patch_embedding(config, task), nn.GELU(), nn.BatchNorm2d(config.width)
        )
        paths = drop_paths(config.stochastic_depth, config.depth)
        self.blocks = nn.Sequential(*(_Block(config.width, path) for path in paths))
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(config.width, task.num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Map [batch, channels, height, width] to [batch, num_classes] logits."""
        x = self.blocks(self.stem(x)).mean((2, 3))
        return self.head(self.dropout(x))  # type: ignore[no-any-return]


convmixer = ConvMixer
