"""A small Vision Transformer (Dosovitskiy et al. 2021, arXiv:2010.11929).

The head sees the mean over patches, not a class token: simpler, and no worse (Beyer et al. 2022,
arXiv:2205.01580).
"""

from __future__ import annotations

from torch import Tensor, nn

from trainables.models.encoder import Encoder, init_transformer
from trainables.models.patches import patch_embedding
from trainables.task import Task
from trainables.trial_config import TrialConfig


class ViT(nn.Module):
    """Embedded patches through a Transformer encoder.

    Args:
        config: `width` is the embedding; `depth` blocks of `heads`; patches of `patch_px`.
        task: of images.

    Raises:
        InputError: if the patches don't tile the image.
    """

    def __init__(self, config: TrialConfig, task: Task) -> None:
        super().__init__()
        self.patches = patch_embedding(config, task)
        _, height, width = task.input_shape
        self.encoder = Encoder(config, (height // config.patch_px) * (width // config.patch_px))
        self.head = nn.Linear(config.width, task.num_classes)
        init_transformer(self)

    def forward(self, x: Tensor) -> Tensor:
        """Map [batch, channels, height, width] to [batch, num_classes] logits."""
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        return self.head(self.encoder(tokens).mean(1))  # type: ignore[no-any-return]


vit = ViT
