"""Quantiles and their intervals by order statistics. Needs no Torch."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import bdtr

_TAIL = 0.025  # beyond each end of a 95 % interval


def quantile(ordered: Sequence[float], fraction: float) -> float:
    """Return the smallest sample that at least `fraction` of all do not exceed (nearest rank).

    Args:
        ordered: [num_samples], ascending, not empty.
        fraction: > 0 and <= 1.
    """
    return ordered[max(math.ceil(fraction * len(ordered)), 1) - 1]


def quantile_interval(ordered: Sequence[float], fraction: float) -> tuple[float, float]:
    """Return the samples that enclose a quantile with a confidence of at least 95 %.

    Order statistics from the binomial distribution, without an assumption about the samples'
    own (Conover 1999, Practical Nonparametric Statistics, section 3.2). Where the samples are too
    few to reach 95 % at an end, the extreme is returned there.

    Args:
        ordered: [num_samples], ascending, not empty.
        fraction: > 0 and < 1.

    Example:
        >>> quantile_interval([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], 0.5)
        (1.0, 8.0)
    """
    num_samples = len(ordered)
    # At rank k: how likely at most k of the samples lie below the quantile.
    at_most = bdtr(np.arange(num_samples), num_samples, fraction)
    low = int(np.searchsorted(at_most, _TAIL, side="right"))
    high = int(np.searchsorted(at_most, 1 - _TAIL, side="left"))
    return ordered[max(low - 1, 0)], ordered[min(high, num_samples - 1)]
