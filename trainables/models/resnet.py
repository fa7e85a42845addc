"""Residual networks for small images (He et al. 2016, arXiv:1512.03385, section 4.2).

Three stages and depth 6n + 2 for the small ones; ResNet-18 with the stem of small images, a
3x3 convolution without pooling. Shortcuts that change shape are 1x1 projections (option B).
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class _Block(nn.Module):
    """Two 3x3 convolutions around a shortcut."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(out_channels)
        self.shortcut = nn.Sequential()
        if stride != 1 or in_channels != out_channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False),
                nn.BatchNorm2d(out_channels),
            )

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm1(self.conv1(x)), inplace=True)
        return F.relu(self.norm2(self.conv2(y)) + self.shortcut(x), inplace=True)


class ResNet(nn.Module):
    """Stages of residual blocks; each after the first halves the image and doubles the width.

    Args:
        num_blocks: per stage.
        width: channels of the first stage.
        in_channels: of the image.
        num_classes: of the logits.
    """

    def __init__(
        self, num_blocks: tuple[int, ...], width: int, in_channels: int, num_classes: int
    ) -> None:
        super().__init__()
        self.stem = nn.Conv2d(in_channels, width, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        blocks: list[nn.Module] = []
        channels = width
        for stage, num_stage_blocks in enumerate(num_blocks):
            for block in range(num_stage_blocks):
                stride = 2 if stage > 0 and block == 0 else 1
                blocks.append(_Block(channels, width << stage, stride))
                channels = width << stage
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(channels, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Map [batch, in_channels, height, width] to [batch, num_classes] logits."""
        x = F.relu(self.norm(self.stem(x)), inplace=True)
        # A plain mean: the backward of adaptive pooling is not deterministic on GPUs.
        return self.head(self.blocks(x).mean((2, 3)))  # type: ignore[no-any-return]


def resnet8(width: int, in_channels: int, num_classes: int) -> ResNet:
    """Build depth 8: one block in each of three stages."""
    return ResNet((1, 1, 1), width, in_channels, num_classes)


def resnet14(width: int, in_channels: int, num_classes: int) -> ResNet:
    """Build depth 14: two blocks in each of three stages."""
    return ResNet((2, 2, 2), width, in_channels, num_classes)


def resnet20(width: int, in_channels: int, num_classes: int) -> ResNet:
    """Build depth 20: three blocks in each of three stages; width 16 is the paper's."""
    return ResNet((3, 3, 3), width, in_channels, num_classes)


def resnet18(width: int, in_channels: int, num_classes: int) -> ResNet:
    """Build ResNet-18: two blocks in each of four stages; width 64 is the paper's."""
    return ResNet((2, 2, 2, 2), width, in_channels, num_classes)
