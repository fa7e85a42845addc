"""MobileNets for small images: V2 (arXiv:1801.04381) and V3-small (arXiv:1905.02244).

Inverted residuals as in table 2 of each paper, with the first strides left out: an image is
halved three times, not five. `width` is the output of the first block and scales every other
number of channels alike; at 16 it is the paper's network. Channels are not rounded to multiples
of 8 as the papers do, so that every width is a network of its own: multiples of 16 are quickest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation, SqueezeExcitation

from trainables.models.conv_init import init_convolutions
from trainables.models.drop_path import drop_paths
from trainables.task import Task
from trainables.trial_config import TrialConfig

_PAPER_WIDTH = 16


class _Stage(NamedTuple):
    """One block, with the paper's numbers of channels."""

    expanded: int
    out: int
    stride: int = 1
    kernel: int = 3
    has_squeeze: bool = False
    activation: Callable[..., nn.Module] = nn.ReLU6

    def scaled(self, width: int) -> _Stage:
        expanded, out = (_scaled(channels, width) for channels in (self.expanded, self.out))
        return self._replace(expanded=expanded, out=out)


def _scaled(channels: int, width: int) -> int:
    return -(-channels * width // _PAPER_WIDTH)  # rounded up: never none


# Expansion factor, channels, blocks and first stride of each row of table 2.
_V2_ROWS = (
    (6, 24, 2, 1),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def _v2_stages() -> list[_Stage]:
    stages = [_Stage(32, 16)]
    for factor, out, num_blocks, stride in _V2_ROWS:
        for block in range(num_blocks):
            stages.append(_Stage(factor * stages[-1].out, out, stride if block == 0 else 1))
    return stages


_V3_STAGES = (
    _Stage(16, 16, 1, 3, True, nn.ReLU),
    _Stage(72, 24, 2, 3, False, nn.ReLU),
    _Stage(88, 24, 1, 3, False, nn.ReLU),
    _Stage(96, 40, 2, 5, True, nn.Hardswish),
    _Stage(240, 40, 1, 5, True, nn.Hardswish),
    _Stage(240, 40, 1, 5, True, nn.Hardswish),
    _Stage(120, 48, 1, 5, True, nn.Hardswish),
    _Stage(144, 48, 1, 5, True, nn.Hardswish),
    _Stage(288, 96, 2, 5, True, nn.Hardswish),
    _Stage(576, 96, 1, 5, True, nn.Hardswish),
    _Stage(576, 96, 1, 5, True, nn.Hardswish),
)


class _InvertedResidual(nn.Module):
    """Widen by 1x1, filter each channel, weigh the channels (V3), narrow by 1x1."""

    def __init__(self, in_channels: int, stage: _Stage, drop_path: nn.Module) -> None:
        super().__init__()
        expanded, activation = stage.expanded, stage.activation
        layers: list[nn.Module] = []
        if expanded != in_channels:
            layers.append(
                Conv2dNormActivation(in_channels, expanded, 1, activation_layer=activation)
            )
        layers.append(
            Conv2dNormActivation(
                expanded,
                expanded,
                stage.kernel,
                stage.stride,
                groups=expanded,
                activation_layer=activation,
            )
        )
        if stage.has_squeeze:
            # A quarter of the channels, in multiples of 8 (V3, section 5.3).
            squeezed = max(8, (expanded // 4 + 4) // 8 * 8)
            layers.append(SqueezeExcitation(expanded, squeezed, scale_activation=nn.Hardsigmoid))
        layers.append(Conv2dNormActivation(expanded, stage.out, 1, activation_layer=None))
        self.layers = nn.Sequential(*layers)
        self.has_shortcut = stage.stride == 1 and in_channels == stage.out
        self.drop_path = drop_path

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return x + self.drop_path(y) if self.has_shortcut else y


class MobileNet(nn.Module):
    """A stem, inverted residuals, a last 1x1 convolution, and a head.

    Args:
        stages: one a block, with this network's own numbers of channels.
        stem: from the image to the first block's input.
        last: from the last block to the features that are averaged.
        head: from the averaged features to the logits.
        stochastic_depth: of the last block.
    """

    def __init__(
        self,
        stages: list[_Stage],
        stem: Conv2dNormActivation,
        last: Conv2dNormActivation,
        head: nn.Module,
        stochastic_depth: float,
    ) -> None:
        super().__init__()
        self.stem = stem
        paths = drop_paths(stochastic_depth, len(stages))
        blocks: list[nn.Module] = []
        in_channels = stem.out_channels
        for stage, path in zip(stages, paths, strict=True):
            blocks.append(_InvertedResidual(in_channels, stage, path))
            in_channels = stage.out
        self.blocks = nn.Sequential(*blocks)
        self.last = last
        self.head = head
        init_convolutions(self)

    def forward(self, x: Tensor) -> Tensor:
        """Map [batch, channels, height, width] to [batch, num_classes] logits."""
        x = self.last(self.blocks(self.stem(x)))
        return self.head(x.mean((2, 3)))  # type: ignore[no-any-return]


def mobilenet_v2(config: TrialConfig, task: Task) -> MobileNet:
    """Build MobileNetV2: ReLU6, and inverted residuals without squeeze and excitation."""
    stages = [stage.scaled(config.width) for stage in _v2_stages()]
    features = _scaled(1280, config.width)
    return MobileNet(
        stages,
        Conv2dNormActivation(
            task.input_shape[0], _scaled(32, config.width), activation_layer=nn.ReLU6
        ),
        Conv2dNormActivation(stages[-1].out, features, 1, activation_layer=nn.ReLU6),
        nn.Sequential(nn.Dropout(config.dropout), nn.Linear(features, task.num_classes)),
        config.stochastic_depth,
    )


def mobilenet_v3(config: TrialConfig, task: Task) -> MobileNet:
    """Build MobileNetV3-small: squeeze and excitation, hard-swish, a hidden layer in the head."""
    stages = [stage.scaled(config.width) for stage in _V3_STAGES]
    features, hidden = _scaled(576, config.width), _scaled(1024, config.width)
    return MobileNet(
        stages,
        Conv2dNormActivation(
            task.input_shape[0], _scaled(16, config.width), activation_layer=nn.Hardswish
        ),
        Conv2dNormActivation(stages[-1].out, features, 1, activation_layer=nn.Hardswish),
        nn.Sequential(
            nn.Linear(features, hidden),
            nn.Hardswish(inplace=True),
            nn.Dropout(config.dropout),
            nn.Linear(hidden, task.num_classes),
        ),
        config.stochastic_depth,
    )
