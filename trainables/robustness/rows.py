"""Accuracy under every corruption and attack, as rows of a table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from trainables.robustness.attacks import fgsm, pgd
from trainables.robustness.corruptions import CORRUPTIONS, SEVERITIES, corrupt

EPSILONS = (1 / 255, 2 / 255, 4 / 255, 8 / 255)
"""Of the attacks, in units of images from 0 to 1."""

_NUM_PGD_STEPS = 10
_BATCH_SIZE = 256

_Kind = Literal["corruption", "attack"]


@dataclass(frozen=True, kw_only=True)
class RobustnessRow:
    """Accuracy on images that were made worse in one way.

    Attributes:
        kind: `corruption`, or `attack` by one who knows the weights.
        name: in `CORRUPTIONS`; or `fgsm`, `pgd`.
        severity: from 1: in `SEVERITIES`, or the place in `EPSILONS`.
        num_samples: that the accuracy is the mean of.
        accuracy: fraction, 0 to 1.
    """

    kind: _Kind
    name: str
    severity: int
    num_samples: int
    accuracy: float


class _Perturbation(NamedTuple):
    kind: _Kind
    name: str
    severity: int
    apply: Callable[[Tensor, Tensor], Tensor]
    """From uint8 images and labels to float images from 0 to 1."""


def robustness_rows(
    logits_of: Callable[[Tensor], Tensor],
    images: Tensor,
    labels: Tensor,
    generator: torch.Generator,
) -> list[RobustnessRow]:
    """Return a row for each corruption and severity, then each attack and epsilon.

    They cost 38 forward passes and 44 more with a backward pass.

    Args:
        logits_of: from float images of 0 to 1, on the device of `images`, to logits: the model in
            evaluation mode after what it needs before it (normalisation). It must be
            differentiable, for the attacks; no gradient is left on the weights.
        images: [num_samples, channels, height, width] uint8, grey or RGB; num_samples > 0.
        labels: [num_samples] int64.
        generator: on any device; is advanced.
    """
    return [
        RobustnessRow(
            kind=perturbation.kind,
            name=perturbation.name,
            severity=perturbation.severity,
            num_samples=len(labels),
            accuracy=_accuracy(logits_of, images, labels, perturbation.apply),
        )
        for perturbation in _perturbations(logits_of, generator)
    ]


def _perturbations(
    logits_of: Callable[[Tensor], Tensor], generator: torch.Generator
) -> Iterator[_Perturbation]:
    def corrupted(images: Tensor, _: Tensor, name: str, severity: int) -> Tensor:
        return corrupt(images, name, severity, generator) / 255

    def after_fgsm(images: Tensor, labels: Tensor, epsilon: float) -> Tensor:
        return fgsm(logits_of, images / 255, labels, epsilon)

    def after_pgd(images: Tensor, labels: Tensor, epsilon: float) -> Tensor:
        return pgd(
            logits_of,
            images / 255,
            labels,
            epsilon=epsilon,
            num_steps=_NUM_PGD_STEPS,
            generator=generator,
        )

    for name in CORRUPTIONS:
        for severity in SEVERITIES:
            apply = partial(corrupted, name=name, severity=severity)
            yield _Perturbation("corruption", name, severity, apply)
    for name, attack in (("fgsm", after_fgsm), ("pgd", after_pgd)):
        for severity, epsilon in enumerate(EPSILONS, start=1):
            yield _Perturbation("attack", name, severity, partial(attack, epsilon=epsilon))


def _accuracy(
    logits_of: Callable[[Tensor], Tensor],
    images: Tensor,
    labels: Tensor,
    perturb: Callable[[Tensor, Tensor], Tensor],
) -> float:
    num_correct = 0
    for batch, targets in zip(
        torch.split(images, _BATCH_SIZE), torch.split(labels, _BATCH_SIZE), strict=True
    ):
        with torch.no_grad():
            predictions = logits_of(perturb(batch, targets)).argmax(1)
        num_correct += int((predictions == targets).sum())
    return num_correct / len(labels)
