"""Hypervolume: how much of the objective space a front dominates, up to a reference point.

Zitzler and Thiele, "Multiobjective evolutionary algorithms: a comparative case study and the
strength Pareto approach", 1999. The figure means something only beside its reference point, and
two of them compare only if that point is the same.
"""

from __future__ import annotations

import moocore
import numpy as np
from numpy.typing import NDArray

from analysis.pareto import is_front

MARGIN_FRACTION = 0.1

REFERENCE_RULE = (
    "the worst value of each objective over all ranked trials, worsened by "
    f"{MARGIN_FRACTION:.0%} of its range"
)


def reference_point(losses: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the reference point that belongs to a set of trials.

    The worst value of every objective over all ranked trials (not of the front alone, so that
    the point moves little while the front improves), worsened by 10 % of its range; where the
    range is 0, by 10 % of |value|, or by 1 if the value is 0. The margin lets the extreme members
    of the front count.

    Args:
        losses: [num_trials >= 1, num_objectives]; lower is better; finite.

    Returns:
        [num_objectives]; dominated by every trial.

    Raises:
        ValueError: if losses is empty or not finite.

    Example:
        >>> reference_point(np.array([[0.0, 5.0], [10.0, 5.0]]))
        array([11. ,  5.5])
    """
    if losses.ndim != 2 or losses.size == 0 or not np.isfinite(losses).all():
        raise ValueError(
            "losses must be finite numbers [num_trials >= 1, num_objectives >= 1], got shape "
            f"{losses.shape}; leave out trials without a value for every objective"
        )
    worst = losses.max(axis=0)
    span = worst - losses.min(axis=0)
    margin = MARGIN_FRACTION * np.where(span > 0, span, np.abs(worst))
    margin = np.where((span > 0) | (worst != 0), margin, 1.0)
    # The margin of a tiny range is lost in rounding: go at least to the next number.
    return np.asarray(np.maximum(worst + margin, np.nextafter(worst, np.inf)))


def hypervolume(losses: NDArray[np.float64], reference: NDArray[np.float64]) -> float:
    """Return the volume that the trials dominate, up to the reference point.

    Args:
        losses: [num_trials, num_objectives]; lower is better; no NaN.
        reference: [num_objectives]; dominated by every member of the front.

    Returns:
        The volume, in the product of the objectives' units; 0 for no trials.

    Raises:
        ValueError: if losses holds NaN, the reference has another length, or a member of the
            front does not dominate it.

    Example:
        >>> hypervolume(np.array([[1.0, 2.0], [2.0, 1.0]]), np.array([3.0, 3.0]))
        3.0
    """
    front = losses[is_front(losses)]
    if reference.shape != (losses.shape[1],):
        raise ValueError(
            f"reference must have {losses.shape[1]} numbers, one an objective, got shape "
            f"{reference.shape}; give them in the order of the objectives"
        )
    is_inside = (front <= reference).all(axis=1) & (front < reference).any(axis=1)
    if not is_inside.all():
        raise ValueError(
            f"reference must be dominated by every member of the front, got {reference} (as "
            f"losses), which {int((~is_inside).sum())} of {len(front)} members do not dominate; "
            "give worse values or leave it out"
        )
    return float(moocore.hypervolume(front, ref=reference)) if len(front) else 0.0
