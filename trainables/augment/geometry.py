"""Where pixels go: crops, flips, affine warps and blanked squares of whole batches at once.

An affine map is a [2, 3] matrix that gives, for each pixel of the result, the place in the image
that it is taken from. Both are (x, y), from -1 to 1 across the image, as `grid_sample` counts.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from trainables.augment.pixels import to_pixels


def crop(images: Tensor, offsets_px: Tensor, padding_px: int) -> Tensor:
    """Cut every image out of itself with a border of zeros around it.

    Args:
        images: [batch, channels, height, width]; not modified.
        offsets_px: [batch, 2] int64, top and left of the cut, from 0 to twice the padding.
        padding_px: width of the border.

    Returns:
        Like `images`, with channels last in memory.
    """
    batch, channels, height, width = images.shape
    padded = F.pad(images.permute(0, 2, 3, 1), (0, 0, *(padding_px,) * 4)).contiguous()
    _, padded_height, padded_width, _ = padded.shape
    # A view of every row of pixels there is, each of which is copied at once.
    rows = padded.flatten().unfold(0, width * channels, channels)
    first_rows = torch.arange(batch, device=images.device) * padded_height + offsets_px[:, 0]
    numbers = first_rows[:, None] + torch.arange(height, device=images.device)
    chosen = rows.index_select(0, (numbers * padded_width + offsets_px[:, 1:]).flatten())
    return chosen.view(batch, height, width, channels).permute(0, 3, 1, 2)


def flip(images: Tensor, is_flipped: Tensor) -> Tensor:
    """Mirror left and right where `is_flipped` ([batch] bool) says so; channels last in memory."""
    # Mirroring all and choosing is quicker than mirroring some.
    both = torch.cat([images, images.flip(-1)]).permute(0, 2, 3, 1)
    chosen = torch.arange(len(images), device=images.device) + len(images) * is_flipped
    return both.index_select(0, chosen).permute(0, 3, 1, 2)


def blank(images: Tensor, corners_px: Tensor, side_px: int, fill: Tensor) -> Tensor:
    """Fill one square of every image with a colour.

    Args:
        images: [batch, channels, height, width] uint8; not modified.
        corners_px: [batch, 2] int64, top and left of the square; it may stand out of the image.
        side_px: of the square.
        fill: [channels] from 0 to 255; is rounded.

    Returns:
        Like `images`.
    """
    height, width = images.shape[-2:]
    rows_px = torch.arange(height, device=images.device) - corners_px[:, :1]
    columns_px = torch.arange(width, device=images.device) - corners_px[:, 1:]
    is_row, is_column = ((px >= 0) & (px < side_px) for px in (rows_px, columns_px))
    is_blank = is_row[:, None, :, None] & is_column[:, None, None, :]
    return torch.where(is_blank, fill.round().to(images.dtype)[:, None, None], images)


def rotations(angles_degrees: Tensor, size_px: tuple[int, int]) -> Tensor:
    """Return the [..., 2, 3] maps of rotations around the centre, counter-clockwise.

    Args:
        angles_degrees: [...].
        size_px: height and width of the images.
    """
    radians = angles_degrees.double().deg2rad()
    cos, sin, zero = radians.cos(), radians.sin(), torch.zeros_like(radians)
    return _scaled([[cos, -sin, zero], [sin, cos, zero]], size_px)


def shears(x_slopes: Tensor, y_slopes: Tensor, size_px: tuple[int, int]) -> Tensor:
    """Return the [..., 2, 3] maps of shears that keep the left top corner, as torchvision's.

    Args:
        x_slopes: [...], to the left by so many pixels a row.
        y_slopes: [...], upwards by so many pixels a column; zero where `x_slopes` is not.
        size_px: height and width of the images.
    """
    height_px, width_px = size_px
    x, y = x_slopes.double(), y_slopes.double()
    one = torch.ones_like(x)
    return _scaled([[one, x, x * height_px / 2], [y, one, y * width_px / 2]], size_px)


def translations(x_px: Tensor, y_px: Tensor, size_px: tuple[int, int]) -> Tensor:
    """Return the [..., 2, 3] maps of moves by [...] pixels to the right and down."""
    x, y = x_px.double(), y_px.double()
    one, zero = torch.ones_like(x), torch.zeros_like(x)
    return _scaled([[one, zero, -x], [zero, one, -y]], size_px)


def _scaled(rows: list[list[Tensor]], size_px: tuple[int, int]) -> Tensor:
    """Return [..., 2, 3] float32 maps from -1 to 1, of maps in pixels from the centre."""
    height_px, width_px = size_px
    matrices = torch.stack([torch.stack(row, -1) for row in rows], -2)
    halves_px = torch.tensor([width_px / 2, height_px / 2, 1], dtype=torch.float64)
    return (matrices * halves_px / halves_px[:2, None]).float()


def warp(images: Tensor, maps: Tensor) -> Tensor:
    """Resample every image through its affine map: bilinear, with zeros outside.

    Args:
        images: [batch, channels, height, width] uint8; not modified.
        maps: [batch, 2, 3] float32.

    Returns:
        Like `images`, rounded.
    """
    height, width = images.shape[-2:]
    # By hand, not by `affine_grid`: a third of the time, and each sample's values don't depend on
    # the batch that it is in, as a matrix product's may.
    columns = maps[:, None, :, 0] * _centres(width, maps.device)
    rows = maps[:, None, :, 1] * _centres(height, maps.device) + maps[:, None, :, 2]
    grid = columns[:, None] + rows[:, :, None]
    warped = F.grid_sample(images.float(), grid, mode="bilinear", align_corners=False)
    return to_pixels(warped)


def _centres(num_px: int, device: torch.device) -> Tensor:
    """Return the [num_px, 1] centres of pixels, from -1 to 1 across the image."""
    return ((torch.arange(num_px, device=device) * 2 + 1) / num_px - 1)[:, None]
