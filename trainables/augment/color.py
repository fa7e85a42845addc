"""Brightness, contrast, saturation and hue: one matrix per sample, whatever is asked for.

A matrix [channels, channels + 1] is applied to each pixel's colours and, as one more input, the
mean grey of the whole image, which contrast is around.
"""

from __future__ import annotations

import torch
from torch import Tensor

from trainables.augment.pixels import to_pixels

# RGB to YIQ (NTSC 1953): grey, and a plane of colours in which hue is the angle.
_GREY = (0.299, 0.587, 0.114)
_YIQ = torch.tensor(
    [_GREY, [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]],
    dtype=torch.float64,
)
_TO_GREY, _TO_COLOR, _TO_QUARTER_TURN = (
    torch.linalg.inv(_YIQ) @ torch.tensor(part, dtype=torch.float64) @ _YIQ
    for part in (
        [[1, 0, 0], [0, 0, 0], [0, 0, 0]],
        [[0, 0, 0], [0, 1, 0], [0, 0, 1]],
        [[0, 0, 0], [0, 0, 1], [0, -1, 0]],
    )
)


def color_matrices(
    brightness: Tensor,
    contrast: Tensor,
    saturation: Tensor,
    hue_degrees: Tensor,
    *,
    channels: int,
) -> Tensor:
    """Return the matrices that change brightness, contrast, saturation and hue, in this order.

    Contrast is around the mean grey of the brightened image. Values between the steps are neither
    rounded nor clamped, which is where it differs from torchvision's functions in a row.

    Args:
        brightness: [...] factors; 1 changes nothing.
        contrast: [...] likewise.
        saturation: [...] likewise; of no effect on grey images.
        hue_degrees: [...] angle in the colour plane of YIQ, from red towards yellow; of no effect
            on grey images.
        channels: 1 or 3.

    Returns:
        [..., channels, channels + 1] float32, for `recolor`.
    """
    assert channels in (1, 3)
    brightness, contrast, saturation, hue = (
        value.double()[..., None, None] for value in (brightness, contrast, saturation, hue_degrees)
    )
    if channels == 3:
        radians = hue.deg2rad()
        turned = radians.cos() * _TO_COLOR + radians.sin() * _TO_QUARTER_TURN
        linear = brightness * contrast * (_TO_GREY + saturation * turned)
    else:
        linear = brightness * contrast
    # Grey itself is left alone by saturation and hue.
    of_mean = (brightness * (1 - contrast)).expand(*linear.shape[:-1], 1)
    return torch.cat([linear, of_mean], -1).float()


def recolor(images: Tensor, matrices: Tensor) -> Tensor:
    """Apply one colour matrix to each image.

    Args:
        images: [batch, channels, height, width] uint8; not modified.
        matrices: [batch, channels, channels + 1] float32, of `color_matrices`.

    Returns:
        Like `images`, clamped and rounded.
    """
    batch, channels, height, width = images.shape
    # Sums of whole numbers: the mean is the same whatever the batch and the device.
    means = images.sum((-2, -1)) / (height * width)
    if channels == 3:
        red, green, blue = _GREY
        means = means[:, :1] * red + means[:, 1:2] * green + means[:, 2:] * blue
    constant = matrices[:, :, channels:] * means[:, :, None]
    colors = images.reshape(batch, channels, -1).float()
    colors = torch.baddbmm(constant, matrices[:, :, :channels], colors)
    return to_pixels(colors).view(images.shape)
