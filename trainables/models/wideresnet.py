"""Wide residual networks (Zagoruyko and Komodakis 2016, arXiv:1605.07146).

Three groups of pre-activation blocks and depth 6n + 4; `width` is that of the first group, 16 k
for the paper's widening factor k (WRN-28-10 has width 160).
"""

from __future__ import annotations

from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from trainables.models.conv_init import init_convolutions
from trainables.models.drop_path import drop_paths
from trainables.task import Task
from trainables.trial_config import TrialConfig

_STEM_CHANNELS = 16


class _Block(nn.Module):
    """Norm, ReLU and a 3x3 convolution, twice, with dropout in between (section 2.4)."""

    def __init__(
        self, in_channels: int, channels: int, stride: int, dropout: float, drop_path: nn.Module
    ) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.shortcut: nn.Conv2d | None = None
        if stride != 1 or in_channels != channels:
            self.shortcut = nn.Conv2d(in_channels, channels, 1, stride, bias=False)
        self.drop_path = drop_path

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm1(x), inplace=True)
        # A projection starts from the activation, as in the authors' code.
        shortcut = x if self.shortcut is None else self.shortcut(y)
        y = F.relu(self.norm2(self.conv1(y)), inplace=True)
        y = self.conv2(self.dropout(y))
        return self.drop_path(y) + shortcut  # type: ignore[no-any-return]


class WideResNet(nn.Module):
    """Three groups of blocks; each after the first halves the image and doubles the width.

    Args:
        config: its `width` is that of the first group.
        task: of images.
        num_blocks: per group.
    """

    def __init__(self, config: TrialConfig, task: Task, *, num_blocks: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(task.input_shape[0], _STEM_CHANNELS, 3, padding=1, bias=False)
        paths = iter(drop_paths(config.stochastic_depth, 3 * num_blocks))
        blocks: list[nn.Module] = []
        in_channels = _STEM_CHANNELS
        for group in range(3):
            channels = config.width << group
            for index in range(num_blocks):
                stride = 2 if group > 0 and index == 0 else 1
                blocks.append(_Block(in_channels, channels, stride, config.dropout, next(paths)))
                in_channels = channels
        self.blocks = nn.Sequential(*blocks)
        self.norm = nn.BatchNorm2d(in_channels)
        self.head = nn.Linear(in_channels, task.num_classes)
        init_convolutions(self)

    def forward(self, x: Tensor) -> Tensor:
        """Map [batch, channels, height, width] to [batch, num_classes] logits."""
        x = F.relu(self.norm(self.blocks(self.stem(x))), inplace=True)
        return self.head(x.mean((2, 3)))  # type: ignore[no-any-return]


wideresnet10 = partial(WideResNet, num_blocks=1)
wideresnet16 = partial(WideResNet, num_blocks=2)
wideresnet28 = partial(WideResNet, num_blocks=4)
