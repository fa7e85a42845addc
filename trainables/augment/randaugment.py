"""RandAugment (Cubuk et al. 2020, arXiv:1909.13719) for whole batches.

Every sample gets two operations, drawn with repetition from torchvision's list of 14 and applied
in the order drawn, at torchvision's magnitudes with random signs, bilinear, with zeros outside.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms.v2 import functional as vision

from trainables.augment.color import color_matrices, recolor
from trainables.augment.geometry import rotations, shears, translations, warp
from trainables.augment.pixels import to_pixels

NUM_OPERATIONS = 2
"""Of a sample; torchvision's default."""

_GREATEST_MAGNITUDE = 30


class Kind(IntEnum):
    """How an operation is done; those of one kind differ in a number or matrix per sample."""

    IDENTITY = 0
    WARP = 1
    RECOLOR = 2
    SHARPEN = 3
    POSTERIZE = 4
    SOLARIZE = 5
    AUTO_CONTRAST = 6
    EQUALIZE = 7


OPERATIONS = {
    "Identity": Kind.IDENTITY,
    "ShearX": Kind.WARP,
    "ShearY": Kind.WARP,
    "TranslateX": Kind.WARP,
    "TranslateY": Kind.WARP,
    "Rotate": Kind.WARP,
    "Brightness": Kind.RECOLOR,
    "Color": Kind.RECOLOR,
    "Contrast": Kind.RECOLOR,
    "Sharpness": Kind.SHARPEN,
    "Posterize": Kind.POSTERIZE,
    "Solarize": Kind.SOLARIZE,
    "AutoContrast": Kind.AUTO_CONTRAST,
    "Equalize": Kind.EQUALIZE,
}
"""By torchvision's names, in its order."""

_KINDS = torch.tensor(list(OPERATIONS.values()))


@dataclass(frozen=True, eq=False)
class RandAugmentDraws:
    """Two operations per sample.

    Attributes:
        operations: [num_samples, 2] int64, positions in `OPERATIONS`; always on the CPU, as a
            batch is put into groups by it, and a GPU would have to be waited for.
        maps: [num_samples, 2, 2, 3], what `warp` takes; of use for `WARP` only, as the next ones
            for their kinds.
        matrices: [num_samples, 2, channels, channels + 1], what `recolor` takes.
        sharpness: [num_samples, 2] factors; 1 changes nothing.
        magnitude: from 1 to 30; equal for all samples.
    """

    operations: Tensor
    maps: Tensor
    matrices: Tensor
    sharpness: Tensor
    magnitude: int

    def take(self, samples: Tensor | slice) -> RandAugmentDraws:
        """Return the draws of some samples; their positions lie on the CPU."""
        return RandAugmentDraws(
            self.operations[samples],
            self.maps[samples],
            self.matrices[samples],
            self.sharpness[samples],
            self.magnitude,
        )

    def to(self, device: torch.device) -> RandAugmentDraws:
        """Return the draws on another device, but for the operations."""
        return RandAugmentDraws(
            self.operations,
            self.maps.to(device),
            self.matrices.to(device),
            self.sharpness.to(device),
            self.magnitude,
        )


def draw_randaugment(
    magnitude: int,
    num_samples: int,
    image_shape: tuple[int, int, int],
    generator: torch.Generator,
) -> RandAugmentDraws:
    """Draw two operations with their signs for each sample.

    Args:
        magnitude: from 1 to 30, of all operations that have one.
        num_samples: of all workers together.
        image_shape: channels (1 or 3), height, width.
        generator: on the CPU; is advanced, equally whatever the magnitude.
    """
    shape = (num_samples, NUM_OPERATIONS)
    operations = torch.randint(len(OPERATIONS), shape, generator=generator)
    signs = torch.randint(2, shape, generator=generator)
    channels, height_px, width_px = image_shape
    strengths = torch.tensor([magnitude, -magnitude], dtype=torch.float64) / _GREATEST_MAGNITUDE
    return RandAugmentDraws(
        operations,
        _maps(strengths, (height_px, width_px))[operations, signs],
        _matrices(strengths, channels)[operations, signs],
        (1 + 0.9 * strengths).float()[signs],
        magnitude,
    )


def _maps(strengths: Tensor, size_px: tuple[int, int]) -> Tensor:
    """Return the [operations, signs, 2, 3] maps at [signs] strengths from -1 to 1."""
    height_px, width_px = size_px
    zero = torch.zeros_like(strengths)
    maps = {
        "ShearX": shears(0.3 * strengths, zero, size_px),
        "ShearY": shears(zero, 0.3 * strengths, size_px),
        "TranslateX": translations((150 / 331 * width_px * strengths).trunc(), zero, size_px),
        "TranslateY": translations(zero, (150 / 331 * height_px * strengths).trunc(), size_px),
        "Rotate": rotations(30 * strengths, size_px),
    }
    identity = rotations(zero, size_px)
    return torch.stack([maps.get(name, identity) for name in OPERATIONS])


def _matrices(strengths: Tensor, channels: int) -> Tensor:
    """Return the [operations, signs, channels, channels + 1] matrices, likewise."""
    one, factors = torch.ones_like(strengths), 1 + 0.9 * strengths
    changed = {
        "Brightness": (factors, one, one),
        "Contrast": (one, factors, one),
        "Color": (one, one, factors),
    }
    return torch.stack(
        [
            color_matrices(*changed.get(name, (one, one, one)), 0 * one, channels=channels)
            for name in OPERATIONS
        ]
    )


def randaugment(images: Tensor, draws: RandAugmentDraws) -> Tensor:
    """Apply the operations drawn, the first of every sample and then the second.

    Args:
        images: [batch, channels, height, width] uint8, 1 or 3 channels; not modified.
        draws: of these samples, on the device of the images.

    Returns:
        Like `images`.
    """
    for place in range(NUM_OPERATIONS):
        kinds = _KINDS[draws.operations[:, place]]
        counts = torch.bincount(kinds, minlength=len(Kind)).tolist()
        order = kinds.argsort()
        groups = torch.split(order.to(images.device, non_blocking=True), counts)
        changed = [
            _apply(kind, images.index_select(0, group), draws, group, place)
            for kind, group in zip(Kind, groups, strict=True)
            if len(group)
        ]
        back = order.argsort().to(images.device, non_blocking=True)
        images = torch.cat(changed).index_select(0, back)
    return images


def _apply(
    kind: Kind, images: Tensor, draws: RandAugmentDraws, samples: Tensor, place: int
) -> Tensor:
    """Apply the operation of a kind to the images of `samples`, which drew it in that place."""
    changed: Tensor
    match kind:
        case Kind.IDENTITY:
            changed = images
        case Kind.WARP:
            changed = warp(images, draws.maps[samples, place])
        case Kind.RECOLOR:
            changed = recolor(images, draws.matrices[samples, place])
        case Kind.SHARPEN:
            changed = _sharpen(images, draws.sharpness[samples, place])
        case Kind.POSTERIZE:
            changed = vision.posterize(images, round(8 - 4 * draws.magnitude / _GREATEST_MAGNITUDE))
        case Kind.SOLARIZE:
            changed = vision.solarize(images, 255 * (1 - draws.magnitude / _GREATEST_MAGNITUDE))
        case Kind.AUTO_CONTRAST:
            changed = vision.autocontrast(images)
        case Kind.EQUALIZE:
            changed = vision.equalize(images)
    return changed


def _sharpen(images: Tensor, factors: Tensor) -> Tensor:
    """Move away from a blurred image (factors > 1) or towards it, as PIL; borders stay.

    torchvision's function takes one factor for all, and waits for the GPU.
    """
    if min(images.shape[-2:]) < 3:
        return images
    floats = images.float()
    inner = floats[:, :, 1:-1, 1:-1]
    # PIL's kernel: 5 in the middle, 1 for each of the eight around it.
    blurred = F.avg_pool2d(floats, 3, stride=1).mul_(9).add_(inner * 4).div_(13)
    inner.sub_(blurred).mul_(factors[:, None, None, None]).add_(blurred)
    return to_pixels(floats)
