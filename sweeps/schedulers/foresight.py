"""Whether a rung's order says anything of what comes after it.

What trials say after their first epochs may say nothing of their end: on recorded runs the rank
correlation of the losses at two following rungs, of the trials that the lower one lets go on, is
from -0.3 to 0.9. Where it is none, whom the lower rung stops is chance, and large models that learn
slowly are stopped for nothing.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

MIN_PAIRS: Final = 20
"""Of losses at a rung and at the next, before a rung is found to say nothing."""

PAIRS_BETWEEN: Final = 10
"""A rung is judged again after so many more."""

MIN_CORRELATION: Final = 0.1
"""Of ranks; below it a rung says nothing."""


class Foresight:
    """Judges a rung by those of its best that have reached the next one.

    The best are taken alone, because who is far behind is behind later, too, which says nothing of
    whether the rung finds the best; and because all others may have been stopped.

    Args:
        reduction_factor: 1/eta are the best.
    """

    def __init__(self, reduction_factor: float) -> None:
        self._best_fraction = 1 / reduction_factor
        self._losses: dict[str, float] = {}  # of all that reached the rung
        self._pairs: list[tuple[float, float]] = []
        self.says_nothing = False

    def add(self, trial_id: str, loss: float) -> None:
        """Enter a trial's loss at the rung; not NaN."""
        self._losses[trial_id] = loss

    def add_later(self, trial_id: str, loss: float) -> None:
        """Enter a trial's loss at the next rung; not NaN."""
        if trial_id not in self._losses:
            return
        self._pairs.append((self._losses[trial_id], loss))
        if len(self._pairs) >= MIN_PAIRS and len(self._pairs) % PAIRS_BETWEEN == 0:
            self.says_nothing = self._correlation() < MIN_CORRELATION

    def _correlation(self) -> float:
        pairs = np.array(self._pairs)
        limit = np.quantile(list(self._losses.values()), self._best_fraction)
        best = pairs[pairs[:, 0] <= limit]
        return rank_correlation(best) if len(best) >= MIN_PAIRS else 1.0


def rank_correlation(pairs: NDArray[np.float64]) -> float:
    """Return Spearman's coefficient; 1 where all of a column are equal, which contradicts nothing.

    Args:
        pairs: [num_pairs >= 2, 2].
    """
    if (np.ptp(pairs, axis=0) == 0).any():
        return 1.0
    return float(spearmanr(pairs[:, 0], pairs[:, 1]).statistic)
