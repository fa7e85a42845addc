"""Images as a worse camera, light or connection would deliver them.

Names and amounts of CIFAR-10-C (Hendrycks & Dietterich 2019, arXiv:1903.12261, and its
`make_cifar_c.py`), but for the occlusion.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import cast

import numpy as np
import torch
import torchvision.transforms.v2.functional as tv
from PIL import Image
from torch import Tensor

from trainables.errors import InputError

SEVERITIES = (1, 2, 3, 4, 5)

_GREY = 128


def _gaussian_noise(images: Tensor, sigma: float, generator: torch.Generator) -> Tensor:
    # torchvision's takes no generator.
    noise = torch.randn(images.shape, generator=generator, device=generator.device)
    return _to_uint8(images + 255 * sigma * noise.to(images.device))


def _gaussian_blur(images: Tensor, sigma_px: float, generator: torch.Generator) -> Tensor:
    # Four sigmas, as scikit-image has it, but mirrored at the edges.
    radius = min(round(4 * sigma_px), min(images.shape[2:]) - 1)
    blurred = tv.gaussian_blur(images, [2 * radius + 1] * 2, [sigma_px] * 2)
    return cast("Tensor", blurred)


def _brightness(images: Tensor, rise: float, generator: torch.Generator) -> Tensor:
    """Raise the value of HSV, which scales the channels alike; black becomes grey."""
    value = images.amax(1, keepdim=True).float()
    raised = (value + 255 * rise).clamp(max=255)
    return _to_uint8(torch.where(value > 0, images * (raised / value), raised))


def _contrast(images: Tensor, factor: float, generator: torch.Generator) -> Tensor:
    means = images.float().mean((2, 3), keepdim=True)
    return _to_uint8(means + factor * (images - means))


def _jpeg(images: Tensor, quality: float, generator: torch.Generator) -> Tensor:
    # By Pillow, as the paper's: torchvision is giving up its codec.
    num_images, channels, height, width = images.shape
    decoded = []
    for pixels in images.permute(0, 2, 3, 1).cpu().numpy():
        file = io.BytesIO()
        Image.fromarray(pixels.squeeze(2) if channels == 1 else pixels).save(
            file, "JPEG", quality=int(quality)
        )
        decoded.append(np.asarray(Image.open(file)))
    stacked = np.array(decoded, dtype=np.uint8).reshape(num_images, height, width, channels)
    return torch.from_numpy(stacked).permute(0, 3, 1, 2).to(images.device)


def _occlusion(images: Tensor, side_fraction: float, generator: torch.Generator) -> Tensor:
    """Cover a square, wholly inside the image, with mid-grey."""
    num_images, _, height, width = images.shape
    side_px = max(1, round(side_fraction * min(height, width)))
    uniform = torch.rand(2, num_images, 1, generator=generator, device=generator.device)
    uniform = uniform.to(images.device)

    def covered(draws: Tensor, size_px: int) -> Tensor:
        start = (draws * (size_px - side_px + 1)).long()
        offset = torch.arange(size_px, device=images.device) - start
        return (offset >= 0) & (offset < side_px)

    rows, columns = covered(uniform[0], height), covered(uniform[1], width)
    return images.masked_fill((rows[:, :, None] & columns[:, None, :])[:, None], _GREY)


def _to_uint8(images: Tensor) -> Tensor:
    return images.round().clamp(0, 255).to(torch.uint8)


_Corruption = Callable[[Tensor, float, torch.Generator], Tensor]

_TABLE: Mapping[str, tuple[_Corruption, tuple[float, ...]]] = {
    "gaussian_noise": (_gaussian_noise, (0.04, 0.06, 0.08, 0.09, 0.10)),
    "gaussian_blur": (_gaussian_blur, (0.4, 0.6, 0.7, 0.8, 1.0)),
    "brightness": (_brightness, (0.05, 0.1, 0.15, 0.2, 0.3)),
    "contrast": (_contrast, (0.75, 0.5, 0.4, 0.3, 0.15)),
    "jpeg": (_jpeg, (80, 65, 58, 50, 40)),
    # Ours, in eighths of the side; Cutout's square on CIFAR-10 is the fourth.
    "occlusion": (_occlusion, (0.125, 0.25, 0.375, 0.5, 0.625)),
}

CORRUPTIONS = tuple(_TABLE)


def corrupt(images: Tensor, name: str, severity: int, generator: torch.Generator) -> Tensor:
    """Return corrupted images; random where the corruption is (noise, place of the square).

    Args:
        images: [num_images, channels, height, width] uint8, grey or RGB; not modified.
        name: in `CORRUPTIONS`.
        severity: in `SEVERITIES`.
        generator: on any device; on the CPU, it gives the same images on every device.

    Returns:
        Like `images`.

    Raises:
        InputError: if there is no such corruption or severity.
    """
    if name not in _TABLE:
        raise InputError(
            f"corruption must be one of {', '.join(CORRUPTIONS)}, got {name!r}; choose one"
        )
    if severity not in SEVERITIES:
        raise InputError(f"severity must be from 1 to 5, got {severity}; choose one of these")
    corruption, amounts = _TABLE[name]
    return corruption(images, amounts[severity - 1], generator)
