"""Picks one member of a front: knees by two definitions, and by weights.

All rules scale each objective to 0..1 over the front first, so units don't matter; the first in
order is picked where several are equally good.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analysis.pareto import Losses

KNEE_DEFINITIONS: Final = {
    "ideal": "the member of the front closest (Euclidean) to the ideal point, after each objective "
    "is scaled to 0..1 over the front",
    "bulge": "the member of the front farthest beyond the line, or hyperplane, through its "
    "extremes, after each objective is scaled to 0..1 over the front",
}
"""Named rules of `knee_index`."""

AUGMENTATION: Final = 0.05
"""Of the sum of weighted losses in the augmented Tchebycheff value (Steuer and Choo, 1983)."""


def knee_index(front_losses: Losses, definition: str = "ideal") -> int:
    """Return the row of the front's knee.

    `ideal` is a compromise solution in the sense of Zeleny (1973); `bulge` is the knee of Das
    ("On characterizing the knee of the Pareto curve", 1999): where the front bulges most towards
    the ideal, so that a step to either side costs more than it brings.

    Args:
        front_losses: [num_front >= 1, num_objectives]; lower is better; finite.
        definition: a key of `KNEE_DEFINITIONS`.

    Raises:
        ValueError: if the definition is unknown, or losses are empty or not finite.

    Example:
        >>> front = np.array([[0.0, 1.0], [0.25, 0.25], [1.0, 0.0]])
        >>> knee_index(front), knee_index(front, "bulge")
        (1, 1)
    """
    rules: dict[str, Callable[[Losses], Losses]] = {"ideal": _to_ideal, "bulge": _short_of_plane}
    if definition not in rules:
        raise ValueError(
            f"definition must be {' or '.join(KNEE_DEFINITIONS)}, got {definition!r}; choose one"
        )
    return int(np.argmin(rules[definition](_scaled(front_losses))))


def tchebycheff_index(front_losses: Losses, weights: Sequence[float]) -> int:
    """Return the row that is best by the augmented weighted Tchebycheff value.

    It is the least of max(w x) + 0.05 sum(w x), where x is scaled to 0..1 from the ideal point and
    w sums to 1: other than by a weighted sum, any member of the front can be picked, on concave
    parts too (Steuer and Choo, 1983).

    Args:
        front_losses: [num_front >= 1, num_objectives]; lower is better; finite.
        weights: one an objective, >= 0, not all 0; the greater, the more it counts.

    Raises:
        ValueError: if weights or losses are none such.

    Example:
        >>> front = np.array([[0.0, 1.0], [0.4, 0.4], [1.0, 0.0]])
        >>> tchebycheff_index(front, [1, 1]), tchebycheff_index(front, [9, 1])
        (1, 0)
    """
    scaled = _scaled(front_losses)
    given = np.asarray(weights, dtype=np.float64)
    is_good = given.shape == scaled.shape[1:] and np.isfinite(given).all() and (given >= 0).all()
    if not is_good or not given.sum() > 0:
        raise ValueError(
            f"weights must be {scaled.shape[1]} numbers >= 0, one an objective and not all 0, got "
            f"{list(weights)}; give them in the order of the objectives"
        )
    weighted = scaled * (given / given.sum())
    return int(np.argmin(weighted.max(axis=1) + AUGMENTATION * weighted.sum(axis=1)))


def ideal_distances(front_losses: Losses) -> NDArray[np.float64]:
    """Return how far each member is from the ideal point, scaled as for `knee_index`."""
    return _to_ideal(_scaled(front_losses))


def _scaled(front_losses: Losses) -> Losses:
    """Return the losses from 0 to 1 over the front; 0 where all are equal."""
    if front_losses.ndim != 2 or front_losses.size == 0 or not np.isfinite(front_losses).all():
        raise ValueError(
            "front_losses must be finite numbers [num_front >= 1, num_objectives >= 1], got shape "
            f"{front_losses.shape}; give the members of a front"
        )
    ideal = front_losses.min(axis=0)
    span = front_losses.max(axis=0) - ideal
    return np.asarray((front_losses - ideal) / np.where(span > 0, span, 1.0))


def _to_ideal(scaled: Losses) -> Losses:
    return np.asarray(np.linalg.norm(scaled, axis=1))


def _short_of_plane(scaled: Losses) -> Losses:
    """Return each member's signed distance from the plane, negative towards the ideal point.

    The plane goes through the members that are best in one objective each, of equal ones the best
    in the rest. Where these lie in fewer dimensions (one member is best in two objectives) it is
    the plane through the points that are worst in one objective and ideal in all others.
    """
    num_objectives = scaled.shape[1]
    order = [
        np.lexsort((*(scaled[:, j] for j in range(num_objectives) if j != i), scaled[:, i]))[0]
        for i in range(num_objectives)
    ]
    extremes = scaled[order]
    normal: Losses = np.ones(num_objectives)
    if np.linalg.matrix_rank(extremes) == num_objectives:
        normal = np.asarray(np.linalg.solve(extremes, np.ones(num_objectives)), dtype=np.float64)
    return np.asarray((scaled @ normal - 1) / np.linalg.norm(normal))
