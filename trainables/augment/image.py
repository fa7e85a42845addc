"""Augmentation of images, for whole batches at once.

Random numbers are drawn on the CPU for the samples of all workers, and each worker takes its
slice: what happens to a sample does not depend on the number of workers, nor on the device.

The order is that of AutoAugment on CIFAR (Cubuk et al. 2019, arXiv:1805.09501, section 4): crop and
flip, then operations on geometry and colour, then cutout, so that nothing moves or recolours the
blanked square. Mixing comes after normalisation (`trainables.augment.mix`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from trainables.augment.color import color_matrices, recolor
from trainables.augment.geometry import blank, crop, flip, rotations, warp
from trainables.augment.randaugment import RandAugmentDraws, draw_randaugment, randaugment
from trainables.trial_config import TrialConfig

_GREATEST_HUE_DEGREES = 90


@dataclass(frozen=True, eq=False, kw_only=True)
class ImageDraws:
    """What was drawn for each sample; None for what is off.

    Attributes:
        padding_px: zero pixels on each side before the crop.
        cutout_px: side of the blanked square.
        offsets_px: [num_samples, 2] int64, top and left of the crop in the padded image.
        is_flipped: [num_samples] bool.
        rotations: [num_samples, 2, 3] affine maps.
        matrices: [num_samples, channels, channels + 1] of the colour jitter.
        randaugment: two operations per sample.
        corners_px: [num_samples, 2] int64, top and left of the blanked square; it may stand out
            of the image.
    """

    padding_px: int
    cutout_px: int
    offsets_px: Tensor | None = None
    is_flipped: Tensor | None = None
    rotations: Tensor | None = None
    matrices: Tensor | None = None
    randaugment: RandAugmentDraws | None = None
    corners_px: Tensor | None = None

    def take(self, samples: Tensor | slice) -> ImageDraws:
        """Return the draws of some samples.

        Args:
            samples: a slice, or positions on the CPU.
        """
        return self._changed(
            lambda part: part[samples] if isinstance(part, Tensor) else part.take(samples)
        )

    def to(self, device: torch.device) -> ImageDraws:
        """Return the draws on another device."""
        return self._changed(lambda part: part.to(device))

    def _changed(self, change: Callable[[Any], Any]) -> ImageDraws:
        parts = {
            name: change(part)
            for name, part in vars(self).items()
            if isinstance(part, Tensor | RandAugmentDraws)
        }
        return replace(self, **parts)


def draw(
    config: TrialConfig,
    num_samples: int,
    image_shape: tuple[int, int, int],
    generator: torch.Generator,
) -> ImageDraws:
    """Draw all that `augment` needs, independently for each sample.

    Every option has a generator of its own, so a change of one changes nothing in the others.

    Args:
        config: its fields from `crop_padding_px` to `randaugment_magnitude` count; 0 is off.
        num_samples: of all workers together.
        image_shape: channels (1 or 3), height, width.
        generator: on the CPU; is advanced, equally whatever the config.
    """
    channels, height_px, width_px = image_shape
    size_px = (height_px, width_px)
    seeds = torch.randint(2**63 - 1, (6,), generator=generator).tolist()
    crops, flips, angles, jitters, operations, squares = (
        torch.Generator().manual_seed(seed) for seed in seeds
    )
    parts: dict[str, Any] = {}
    if config.crop_padding_px:
        num_offsets = 2 * config.crop_padding_px + 1
        parts["offsets_px"] = torch.randint(num_offsets, (num_samples, 2), generator=crops)
    if config.flip_probability:
        parts["is_flipped"] = torch.rand(num_samples, generator=flips) < config.flip_probability
    if config.rotation_degrees:
        uniform = 2 * torch.rand(num_samples, generator=angles) - 1
        parts["rotations"] = rotations(config.rotation_degrees * uniform, size_px)
    if config.color_jitter:
        parts["matrices"] = _draw_jitter(config.color_jitter, num_samples, channels, jitters)
    if config.randaugment_magnitude:
        parts["randaugment"] = draw_randaugment(
            config.randaugment_magnitude, num_samples, image_shape, operations
        )
    if config.cutout_px:
        # The middle is anywhere in the image, as in the paper: squares at its border are cut off.
        uniform = torch.rand(num_samples, 2, generator=squares)
        middles_px = (uniform * torch.tensor(size_px)).long()
        parts["corners_px"] = middles_px - config.cutout_px // 2
    return ImageDraws(padding_px=config.crop_padding_px, cutout_px=config.cutout_px, **parts)


def _draw_jitter(
    strength: float, num_samples: int, channels: int, generator: torch.Generator
) -> Tensor:
    """Return [num_samples, channels, channels + 1] matrices for `recolor`."""
    uniform = 2 * torch.rand(4, num_samples, generator=generator) - 1
    brightness, contrast, saturation = 1 + strength * uniform[:3]
    hue_degrees = strength * _GREATEST_HUE_DEGREES * uniform[3]
    return color_matrices(brightness, contrast, saturation, hue_degrees, channels=channels)


def augment(images: Tensor, draws: ImageDraws, *, fill: Tensor | None = None) -> Tensor:
    """Crop, flip, rotate, jitter colours, apply RandAugment, and blank a square, in this order.

    Args:
        images: [batch, channels, height, width] uint8, 1 or 3 channels; not modified.
        draws: of these samples ([batch]), on the device of the images.
        fill: [channels] from 0 to 255, of the blanked square, on the same device; must be given
            where `cutout_px` is on. The mean of the data becomes zero when normalised, as DeVries
            and Taylor 2017 (arXiv:1708.04552, section 3.2) have it.

    Returns:
        Like `images`; they themselves where nothing was drawn.
    """
    assert images.dtype == torch.uint8
    if draws.offsets_px is not None:
        images = crop(images, draws.offsets_px, draws.padding_px)
    if draws.is_flipped is not None:
        images = flip(images, draws.is_flipped)
    if draws.rotations is not None:
        images = warp(images, draws.rotations)
    if draws.matrices is not None:
        images = recolor(images, draws.matrices)
    if draws.randaugment is not None:
        images = randaugment(images, draws.randaugment)
    if draws.corners_px is not None:
        assert fill is not None
        images = blank(images, draws.corners_px, draws.cutout_px, fill)
    return images
