"""Mixup (Zhang et al. 2018, arXiv:1710.09412) and CutMix (Yun et al. 2019, arXiv:1905.04899).

Both blend a box of a sample with that of another: mixup the whole image by a share, CutMix a part
of it entirely. So both are done in one step, whatever each sample has drawn.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trainables.trial_config import TrialConfig


@dataclass(frozen=True, eq=False)
class MixDraws:
    """A box per sample, and how much of the sample itself is left in it.

    Attributes:
        shares: [num_samples] float32; 0 for CutMix.
        boxes: [num_samples, 4] float32: top, left, bottom, right, from 0 to 1; all of the image
            for mixup.
    """

    shares: Tensor
    boxes: Tensor

    def take(self, samples: Tensor | slice) -> MixDraws:
        """Return the draws of some samples."""
        return MixDraws(self.shares[samples], self.boxes[samples])

    def to(self, device: torch.device) -> MixDraws:
        """Return the draws on another device."""
        return MixDraws(self.shares.to(device), self.boxes.to(device))


@dataclass(frozen=True, eq=False)
class Mixed:
    """A mixed batch, and whose labels count how much.

    Attributes:
        inputs: [batch, channels, height, width].
        partners: [batch] int64, position in the batch of the sample that was mixed in.
        weights: [batch] float32, share of the sample's own label; the rest is its partner's.
    """

    inputs: Tensor
    partners: Tensor
    weights: Tensor


def draw_mix(config: TrialConfig, num_samples: int, generator: torch.Generator) -> MixDraws | None:
    """Draw mixup or CutMix for each sample; with both on, one of them, equally likely.

    Args:
        config: `mixup_alpha` and `cutmix_alpha` count; 0 is off.
        num_samples: of all workers together.
        generator: on the CPU; is advanced, equally whatever the config.

    Returns:
        The draws; None where both are off.
    """
    # Torch draws from Beta with its global generator only.
    seeds = torch.randint(2**63 - 1, (3,), generator=generator).tolist()
    mixup_rng, cutmix_rng, choice_rng = (np.random.default_rng(seed) for seed in seeds)
    if not config.mixup_alpha and not config.cutmix_alpha:
        return None
    shares = np.zeros(num_samples)
    boxes = np.tile([0.0, 0.0, 1.0, 1.0], (num_samples, 1))
    is_cutmix = choice_rng.random(num_samples) < 0.5
    if not (config.mixup_alpha and config.cutmix_alpha):
        is_cutmix[:] = config.cutmix_alpha > 0
    if config.mixup_alpha:
        drawn = mixup_rng.beta(config.mixup_alpha, config.mixup_alpha, num_samples)
        shares[~is_cutmix] = drawn[~is_cutmix]
    if config.cutmix_alpha:
        drawn = _draw_boxes(config.cutmix_alpha, num_samples, cutmix_rng)
        boxes[is_cutmix] = drawn[is_cutmix]
    return MixDraws(torch.from_numpy(shares).float(), torch.from_numpy(boxes).float())


def _draw_boxes(alpha: float, num_samples: int, rng: np.random.Generator) -> np.ndarray:
    """Return [num_samples, 4] boxes, whose middles are anywhere in the image and which it cuts off.

    Their area before that is one minus a share from Beta (the paper's equation 2).
    """
    shares = rng.beta(alpha, alpha, num_samples)
    halves = np.sqrt(1 - shares)[:, None] / 2
    middles = rng.random((num_samples, 2))
    return np.clip(np.hstack([middles - halves, middles + halves]), 0, 1)


def mix(inputs: Tensor, draws: MixDraws) -> Mixed:
    """Mix each sample with the one before it in the batch, the first with the last.

    Batches are in random order already, so neighbours are as good as partners that are drawn, and
    nobody is mixed with itself (as the middle of a reversed batch is).

    Args:
        inputs: [batch, channels, height, width], normalised floats; not modified.
        draws: of these samples, on the device of the inputs.

    Returns:
        The mixed batch. Weights follow from the pixels that are really covered.
    """
    batch, _, height, width = inputs.shape
    device = inputs.device
    rows = (torch.arange(height, device=device) + 0.5) / height
    columns = (torch.arange(width, device=device) + 0.5) / width
    top, left, bottom, right = draws.boxes[:, :, None].unbind(1)
    is_row = (top <= rows) & (rows < bottom)
    is_column = (left <= columns) & (columns < right)
    covered = is_row.sum(1) * is_column.sum(1) / (height * width)
    is_inside = is_row[:, None, :, None] & is_column[:, None, None, :]
    shares = torch.where(is_inside, draws.shares[:, None, None, None], 1.0).to(inputs.dtype)
    partners = torch.arange(batch, device=device).roll(1)
    # Rolled, not indexed: that keeps channels last where they are.
    mixed = torch.lerp(inputs.roll(1, dims=0), inputs, shares)
    return Mixed(mixed, partners, 1 - (1 - draws.shares) * covered)
