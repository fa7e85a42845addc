"""Random crops with zero padding and horizontal flips, for whole batches at once.

Parameters are drawn on the CPU for the samples of all workers, and each worker takes its slice:
what happens to a sample does not depend on the number of workers, nor on the device.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True, eq=False)
class AugmentParameters:
    """One crop and one flip per sample.

    Attributes:
        top_px: [num_samples] int64, first row of the crop in the padded image.
        left_px: [num_samples] int64, first column, likewise.
        is_flipped: [num_samples] bool.
        padding_px: zero pixels on each side; the offsets go from 0 to twice this.
    """

    top_px: Tensor
    left_px: Tensor
    is_flipped: Tensor
    padding_px: int

    def take(self, samples: Tensor | slice) -> AugmentParameters:
        """Return the parameters of some samples."""
        return AugmentParameters(
            self.top_px[samples], self.left_px[samples], self.is_flipped[samples], self.padding_px
        )

    def to(self, device: torch.device) -> AugmentParameters:
        """Return the parameters on another device."""
        return AugmentParameters(
            self.top_px.to(device),
            self.left_px.to(device),
            self.is_flipped.to(device),
            self.padding_px,
        )


def draw_parameters(
    num_samples: int, *, padding_px: int, flip_probability: float, generator: torch.Generator
) -> AugmentParameters:
    """Draw crops and flips, uniform and independent by sample.

    The generator advances equally whatever the padding and the probability are.

    Args:
        num_samples: of all workers together.
        padding_px: >= 0; 0 leaves every sample in place.
        flip_probability: from 0 to 1.
        generator: on the CPU; is advanced.
    """
    uniform = torch.rand(3, num_samples, generator=generator, dtype=torch.float64)
    offsets = (uniform[:2] * (2 * padding_px + 1)).long()
    return AugmentParameters(offsets[0], offsets[1], uniform[2] < flip_probability, padding_px)


def apply(images: Tensor, parameters: AugmentParameters) -> Tensor:
    """Crop the padded images, then flip them.

    Args:
        images: [batch, channels, height, width] uint8; not modified.
        parameters: of these samples ([batch]), on the device of the images.

    Returns:
        Like `images`.
    """
    _, _, height, width = images.shape
    padding_px = parameters.padding_px
    if padding_px:
        padded = F.pad(images, (padding_px,) * 4)
        # A view of every crop there is: [batch, channels, top, left, height, width].
        crops = padded.unfold(2, height, 1).unfold(3, width, 1)
        samples = torch.arange(len(images), device=images.device)
        images = crops[samples, :, parameters.top_px, parameters.left_px]
    is_flipped = parameters.is_flipped[:, None, None, None]
    return torch.where(is_flipped, images.flip(-1), images)
