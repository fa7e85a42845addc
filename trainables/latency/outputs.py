"""Whether what is timed is the model: its logits against those of eager PyTorch in fp32."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trainables.latency import LatencyError

_TOLERANCE = 1e-4  # of the largest logit; fp32 sums in another order

Logits = NDArray[np.float32]


class Comparison(NamedTuple):
    """How far logits are from others.

    Attributes:
        max_difference: of any two, as a fraction of the largest expected.
        agreement_fraction: of samples with the expected class.
    """

    max_difference: float
    agreement_fraction: float


def compare(found: Logits, expected: Logits) -> Comparison:
    """Return how far a runtime's logits are from eager's.

    A class that eager itself holds level with its own within 1e-4 of the largest logit counts as
    the same.

    Args:
        found: [num_samples, num_classes], of the runtime.
        expected: [num_samples, num_classes], of eager.

    Raises:
        LatencyError: if they differ in shape.
    """
    if found.shape != expected.shape:
        raise LatencyError(f"it returned logits of shape {found.shape}, eager of {expected.shape}")
    largest = float(np.abs(expected).max())
    difference = float(np.abs(found - expected).max())
    chosen = np.take_along_axis(expected, found.argmax(1, keepdims=True), 1)[:, 0]
    is_same = chosen >= expected.max(1) - _TOLERANCE * largest
    # Logits that all are 0 have no scale: then any difference is infinite.
    relative = difference / largest if largest else (np.inf if difference else 0.0)
    return Comparison(relative, float(is_same.mean()))


def fp32_fault(
    comparison: Comparison, runtime: str, advice: str = "use another runtime for this model"
) -> str | None:
    """Return why fp32 logits are not eager's, or None if they are: within 1e-4, the same classes.

    Args:
        comparison: of them with eager's.
        runtime: its name, for the message.
        advice: the next step, likewise.
    """
    difference, agreement_fraction = comparison
    if not difference <= _TOLERANCE:  # NaN too
        return (
            f"{runtime} must compute logits within {_TOLERANCE:g} of eager's largest, got a "
            f"difference of {difference:.2g}; {advice}"
        )
    if agreement_fraction < 1:
        return (
            f"{runtime} must predict eager's classes, got others for "
            f"{1 - agreement_fraction:.2%} of the samples; {advice}"
        )
    return None
