"""The smallest convolutional network: for tests, first looks and slow processors."""

from __future__ import annotations

from torch import Tensor, nn

from trainables.models.conv_init import init_convolutions
from trainables.task import Task
from trainables.trial_config import TrialConfig


class SmallCNN(nn.Module):
    """Three 3x3 convolutions of `width`, twice and four times that; each halves the image.

    Args:
        config: its `width` and `dropout` are used.
        task: of images.
    """

    def __init__(self, config: TrialConfig, task: Task) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        in_channels = task.input_shape[0]
        for stage in range(3):
            channels = config.width << stage
            layers += [
                nn.Conv2d(in_channels, channels, 3, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(channels),
                nn.ReLU(inplace=True),
            ]
            in_channels = channels
        self.layers = nn.Sequential(*layers)
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(in_channels, task.num_classes)
        init_convolutions(self)

    def forward(self, x: Tensor) -> Tensor:
        """Map [batch, channels, height, width] to [batch, num_classes] logits."""
        return self.head(self.dropout(self.layers(x).mean((2, 3))))  # type: ignore[no-any-return]


small_cnn = SmallCNN
