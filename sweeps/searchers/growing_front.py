"""The candidate that is expected to improve a front most, while the front grows."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from sweeps.searchers.known_ehvi import Staircase, expected_improvement, make_staircase
from sweeps.searchers.surrogate import Outlook

Floats = NDArray[np.float64]

BATCH: Final = 128
"""Candidates that are computed anew at once."""

ROUNDING: Final = 1e-9
"""By such a fraction an improvement may grow by rounding alone."""


class GrowingFront:
    """A front to which points are only added, and the candidates' expected improvements of it.

    As the front grows, no improvement does. So what was computed before is an upper bound, and
    only candidates whose bound is above the best found are computed anew (lazy greedy, Minoux
    1978). The result is the same as if all were.

    Args:
        known: [num, num_known] losses of all candidates.
        outlook: what is expected of them.
        weight: [num] that each improvement is multiplied by.
        points: [num_points, num_known + 1] of the front; see `make_staircase`.
        reference: [num_known + 1].
    """

    def __init__(
        self, known: Floats, outlook: Outlook, weight: Floats, points: Floats, reference: Floats
    ) -> None:
        self._known = known
        self._outlook = outlook
        self._weight = weight
        self._reference = reference
        self._bounds: Floats | None = None
        self._staircase: Staircase | None = None
        self.points = points

    def add(self, known: Floats, loss: float) -> None:
        """Add a point by its known losses [num_known] and its learnt loss."""
        is_dominated = (self.points <= np.append(known, loss)).all(axis=1).any()
        if not is_dominated:
            self.points = np.vstack([self.points, np.append(known, loss)])
            self._staircase = None

    def best(self, free: NDArray[np.int64]) -> int | None:
        """Return which candidate is expected to improve the front most.

        Args:
            free: candidates that may be returned, ascending.

        Returns:
            The first of the best; None if none is expected to improve it.
        """
        if self._staircase is None:
            self._staircase = make_staircase(self.points, self._reference)
        if self._bounds is None:
            self._bounds = self._compute(self._staircase, np.arange(len(self._known)))
        order = free[np.argsort(-self._bounds[free], kind="stable")]
        best = 0.0
        for start in range(0, len(order), BATCH):
            part = order[start : start + BATCH]
            if self._bounds[part[0]] * (1 + ROUNDING) < best or self._bounds[part[0]] <= 0:
                break
            self._bounds[part] = self._compute(self._staircase, part)
            best = max(best, float(self._bounds[part].max()))
        return int(free[self._bounds[free] >= best][0]) if best > 0 else None

    def _compute(self, staircase: Staircase, index: NDArray[np.int64]) -> Floats:
        outlook = self._outlook
        gains = expected_improvement(
            staircase, self._known[index], outlook.mean[index], outlook.std[index]
        )
        return np.asarray(gains * self._weight[index])
