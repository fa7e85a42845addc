"""Perturbations of every pixel by at most epsilon, made to raise the loss.

Our own: captum's leave a pixel alone where the gradient is below 1e-6, as it is wherever a model is
sure, and draw from the global generator.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor


def fgsm(
    logits_of: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor, epsilon: float
) -> Tensor:
    """Take one step of epsilon along the sign of the gradient.

    The fast gradient sign method (Goodfellow et al. 2015, arXiv:1412.6572, section 4).

    Args:
        logits_of: from images of 0 to 1 to [num_images, num_classes] logits; differentiable, in
            evaluation mode.
        images: [num_images, channels, height, width] float, from 0 to 1; not modified.
        labels: [num_images] int64.
        epsilon: >= 0, in units of the images.

    Returns:
        Like `images`.
    """
    return (images + epsilon * _gradient_sign(logits_of, images, labels)).clamp(0, 1)


def pgd(
    logits_of: Callable[[Tensor], Tensor],
    images: Tensor,
    labels: Tensor,
    *,
    epsilon: float,
    num_steps: int,
    generator: torch.Generator,
) -> Tensor:
    """Climb the loss from a random point within epsilon, and never leave it.

    Projected gradient descent in L-infinity (Madry et al. 2018, arXiv:1706.06083, section 2.1).
    Steps are 2.5 epsilon / num_steps long: the far side can be reached from every start.

    Args:
        logits_of: as for `fgsm`.
        images: as for `fgsm`.
        labels: as for `fgsm`.
        epsilon: as for `fgsm`.
        num_steps: > 0.
        generator: of the start; on any device.

    Returns:
        Like `images`.
    """
    low, high = (images - epsilon).clamp(min=0), (images + epsilon).clamp(max=1)
    uniform = torch.rand(images.shape, generator=generator, device=generator.device)
    perturbed = (images + epsilon * (2 * uniform.to(images.device) - 1)).clamp(0, 1)
    for _ in range(num_steps):
        sign = _gradient_sign(logits_of, perturbed, labels)
        perturbed = torch.clamp(perturbed + 2.5 * epsilon / num_steps * sign, low, high)
    return perturbed


def _gradient_sign(logits_of: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor) -> Tensor:
    with torch.enable_grad():
        images = images.detach().requires_grad_()
        # In double: in single precision a sure model's gradient is zero, and the attack stands
        # still. The sum, so that a sample's gradient doesn't depend on the batch.
        loss = F.cross_entropy(logits_of(images).double(), labels, reduction="sum")
        return torch.autograd.grad(loss, images)[0].sign()
