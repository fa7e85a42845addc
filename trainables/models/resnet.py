"""Residual networks for small images (He et al. 2016, arXiv:1512.03385).

ResNet-8 to 56 are those of section 4.2: three stages and depth 6n + 2. ResNet-18, 34 and 50 are
those of table 1 with the stem of small images, a 3x3 convolution without pooling. Shortcuts that
change shape are 1x1 projections (option B), also where the paper takes option A.
"""

from __future__ import annotations

from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from trainables.models.conv_init import init_convolutions
from trainables.models.drop_path import drop_paths
from trainables.task import Task
from trainables.trial_config import TrialConfig


class _Block(nn.Module):
    """Two 3x3 convolutions around a shortcut."""

    expansion = 1

    def __init__(self, in_channels: int, channels: int, stride: int, drop_path: nn.Module) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        self.shortcut = _shortcut(in_channels, channels, stride)
        self.drop_path = drop_path

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm1(self.conv1(x)), inplace=True)
        y = self.norm2(self.conv2(y))
        return F.relu(self.drop_path(y) + self.shortcut(x), inplace=True)


class _Bottleneck(nn.Module):
    """A 3x3 convolution between two of 1x1, the last of which widens fourfold."""

    expansion = 4

    def __init__(self, in_channels: int, channels: int, stride: int, drop_path: nn.Module) -> None:
        super().__init__()
        out_channels = channels * self.expansion
        self.conv1 = nn.Conv2d(in_channels, channels, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, stride, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        self.conv3 = nn.Conv2d(channels, out_channels, 1, bias=False)
        self.norm3 = nn.BatchNorm2d(out_channels)
        self.shortcut = _shortcut(in_channels, out_channels, stride)
        self.drop_path = drop_path

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm1(self.conv1(x)), inplace=True)
        y = F.relu(self.norm2(self.conv2(y)), inplace=True)
        y = self.norm3(self.conv3(y))
        return F.relu(self.drop_path(y) + self.shortcut(x), inplace=True)


def _shortcut(in_channels: int, out_channels: int, stride: int) -> nn.Sequential:
    if stride == 1 and in_channels == out_channels:
        return nn.Sequential()
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 1, stride, bias=False),
        nn.BatchNorm2d(out_channels),
    )


class ResNet(nn.Module):
    """Stages of residual blocks; each after the first halves the image and doubles the width.

    Args:
        config: its `width` is that of the first stage, before a bottleneck widens it.
        task: of images.
        num_blocks: per stage.
        block: the kind of block.
    """

    def __init__(
        self,
        config: TrialConfig,
        task: Task,
        *,
        num_blocks: tuple[int, ...],
        block: type[_Block | _Bottleneck] = _Block,
    ) -> None:
        super().__init__()
        self.stem = nn.Conv2d(task.input_shape[0], config.width, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(config.width)
        paths = iter(drop_paths(config.stochastic_depth, sum(num_blocks)))
        blocks: list[nn.Module] = []
        in_channels = config.width
        for stage, num_stage_blocks in enumerate(num_blocks):
            for index in range(num_stage_blocks):
                stride = 2 if stage > 0 and index == 0 else 1
                blocks.append(block(in_channels, config.width << stage, stride, next(paths)))
                in_channels = (config.width << stage) * block.expansion
        self.blocks = nn.Sequential(*blocks)
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(in_channels, task.num_classes)
        init_convolutions(self)

    def forward(self, x: Tensor) -> Tensor:
        """Map [batch, channels, height, width] to [batch, num_classes] logits."""
        x = F.relu(self.norm(self.stem(x)), inplace=True)
        # A plain mean: the backward of adaptive pooling is not deterministic on GPUs.
        x = self.blocks(x).mean((2, 3))
        return self.head(self.dropout(x))  # type: ignore[no-any-return]


resnet8 = partial(ResNet, num_blocks=(1, 1, 1))
resnet14 = partial(ResNet, num_blocks=(2, 2, 2))
resnet20 = partial(ResNet, num_blocks=(3, 3, 3))  # the paper's width of these six is 16
resnet32 = partial(ResNet, num_blocks=(5, 5, 5))
resnet44 = partial(ResNet, num_blocks=(7, 7, 7))
resnet56 = partial(ResNet, num_blocks=(9, 9, 9))
resnet18 = partial(ResNet, num_blocks=(2, 2, 2, 2))  # the paper's width of these three is 64
resnet34 = partial(ResNet, num_blocks=(3, 4, 6, 3))
resnet50 = partial(ResNet, num_blocks=(3, 4, 6, 3), block=_Bottleneck)
