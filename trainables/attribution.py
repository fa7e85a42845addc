"""Which pixels or tokens of an input a model's answer rests on."""

from __future__ import annotations

from typing import cast

import torch
from captum.attr import IntegratedGradients
from torch import Tensor, nn

from trainables.errors import InputError

# Of the path integral; captum's default.
_NUM_STEPS = 50
_BATCH_SIZE = 256


def attribute(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """Return how much each pixel or token counts for the logit of a class.

    Integrated gradients (Sundararajan et al. 2017, arXiv:1703.01365), for text those of the
    embedding. The baseline is zero: the mean image after normalisation, or padding.

    Args:
        model: is put into evaluation mode for the time, and left without new gradients.
        inputs: [num_samples, channels, height, width] float, normalised as the model is fed; or
            [num_samples, tokens] int64 ids. Not modified.
        targets: [num_samples] int64, the class of each sample that is asked for.

    Returns:
        [num_samples, height, width] or [num_samples, tokens], on the device of the inputs: the
        absolute attribution, over the sample's greatest; 0 throughout where nothing counts. Of an
        image, the sum of the channels' absolutes; of a token, the absolute of its embedding's sum.

    Raises:
        InputError: for a text model without an `embedding`.
    """
    was_training = {module: module.training for module in model.modules()}
    model.eval()
    try:
        attribution = _integrated_gradients(model, inputs.detach(), targets)
    finally:
        for module, mode in was_training.items():
            module.training = mode
    maps = attribution.detach().abs()
    if maps.ndim == 4:
        maps = maps.sum(1)
    greatest = maps.flatten(1).amax(1).view(-1, *[1] * (maps.ndim - 1))
    return maps / greatest.where(greatest > 0, 1)


def _integrated_gradients(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    options = {"target": targets, "n_steps": _NUM_STEPS, "internal_batch_size": _BATCH_SIZE}
    if inputs.is_floating_point():
        return cast("Tensor", IntegratedGradients(model).attribute(inputs, **options))
    embedding = getattr(model, "embedding", None)
    if not isinstance(embedding, nn.Embedding):
        raise InputError(
            "model must have an nn.Embedding named embedding for the attribution of text, got "
            f"{type(model).__name__} without; name its embedding so"
        )

    def logits_of(embedded: Tensor, ids: Tensor) -> Tensor:
        handle = embedding.register_forward_hook(lambda *_: embedded)
        try:
            return cast("Tensor", model(ids))
        finally:
            handle.remove()

    # captum's LayerIntegratedGradients runs the model on nothing but padding, which some can't.
    embedded = embedding(inputs).detach()
    baseline = embedding(torch.zeros_like(inputs)).detach()
    explainer = IntegratedGradients(logits_of)
    attribution = explainer.attribute(
        embedded, baseline, additional_forward_args=(inputs,), **options
    )
    return cast("Tensor", attribution.sum(2))
