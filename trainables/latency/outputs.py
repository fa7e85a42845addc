"""Whether what is timed is the model: its outputs against those of eager PyTorch."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from trainables.latency import LatencyError

_TOLERANCE = 1e-4  # of the largest logit; fp32 sums in another order


def check_outputs(found: ArrayLike, expected: ArrayLike, runtime: str) -> None:
    """Check a runtime's logits: close to eager's, with the same predicted classes.

    Classes that eager itself holds level within the tolerance count as the same.

    Args:
        found: [batch, num_classes] logits of the runtime.
        expected: [batch, num_classes] logits of eager PyTorch.
        runtime: its name, for the message.

    Raises:
        LatencyError: if they differ in shape, by more than 1e-4 of the largest expected logit, or
            in a predicted class.
    """
    found, expected = np.asarray(found), np.asarray(expected)
    if found.shape != expected.shape:
        raise LatencyError(
            f"{runtime} returned logits of shape {found.shape}, eager of {expected.shape}"
        )
    tolerance = _TOLERANCE * np.abs(expected).max()
    difference = np.abs(found - expected).max()
    if not difference <= tolerance:  # NaN too
        raise LatencyError(
            f"{runtime} must compute logits within {tolerance:.2g} of eager's, got a difference "
            f"of {difference:.2g}; use another runtime for this model"
        )
    chosen = np.take_along_axis(expected, found.argmax(1, keepdims=True), 1)[:, 0]
    num_other = int((chosen < expected.max(1) - tolerance).sum())
    if num_other:
        raise LatencyError(
            f"{runtime} must predict eager's classes, got {num_other} others of {len(expected)}; "
            "use another runtime for this model"
        )
