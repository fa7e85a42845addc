"""Whether a rung's order says anything of what comes after it.

What trials say after their first epochs may say nothing of their end: on recorded runs the rank
correlation of the losses at the first two rungs, of the trials that the lower one lets go on, is
from -0.3 to 0.8. Where it is none, whom the lower rung stops is chance.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.stats import spearmanr

Floats = NDArray[np.float64]

MIN_PAIRS: Final = 20
"""Trials among the best of a rung that have reached the next, before it is found to say nothing."""

GROWTH: Final = 0.1
"""A rung is judged again when so many more of its trials have reached the next one."""

MIN_CORRELATION: Final = 0.1
"""Of ranks; below it a rung says nothing."""

NUM_PEERS: Final = 12
"""That a trial is held against; few, so that among them size says little."""


class Foresight:
    """Judges a rung of peers by those of its best that have reached the next one.

    A trial's place is the share of its peers that are better, the nearest in what was known: large
    models overtake small ones, and that is not the rung's fault. The best are taken alone, because
    who is far behind is behind later, too, which says nothing of whether the rung finds the best;
    and because all others may have been stopped.

    Args:
        reduction_factor: 1/eta are the best.
    """

    def __init__(self, reduction_factor: float) -> None:
        self._best_fraction = 1 / reduction_factor
        self._number_of: dict[str, int] = {}
        self._known: list[float] = []
        self._losses: list[float] = []
        self._later: list[tuple[int, float]] = []
        self._due = MIN_PAIRS
        self.says_nothing = False

    def add(self, trial_id: str, known: float, loss: float) -> None:
        """Enter a trial's known loss, and its learnt loss at the rung; not NaN."""
        self._number_of[trial_id] = len(self._losses)
        self._known.append(known)
        self._losses.append(loss)

    def add_later(self, trial_id: str, loss: float) -> None:
        """Enter a trial's learnt loss at the next rung; not NaN."""
        if trial_id not in self._number_of:
            return
        self._later.append((self._number_of[trial_id], loss))
        if len(self._later) >= self._due:
            self._due = math.ceil((1 + GROWTH) * len(self._later))
            self.says_nothing = self._correlation() < MIN_CORRELATION

    def _correlation(self) -> float:
        known, numbers = np.array(self._known), np.array([number for number, _ in self._later])
        later = np.array([loss for _, loss in self._later])
        before = shares_ahead(known, np.array(self._losses), numbers)
        after = shares_ahead(known[numbers], later, np.arange(len(later)))
        is_best = before <= self._best_fraction
        if is_best.sum() < MIN_PAIRS:
            return 1.0
        return rank_correlation(before[is_best], after[is_best])


def shares_ahead(known: Floats, losses: Floats, numbers: NDArray[np.int64]) -> Floats:
    """Return the share of some trials' peers that are better than they are.

    Args:
        known: [num >= 2]; trials next to each other in it are peers.
        losses: [num].
        numbers: of the trials that are asked for.
    """
    num = len(losses)
    num_peers = min(NUM_PEERS, num - 1)
    order = np.argsort(known, kind="stable")
    windows = sliding_window_view(losses[order], num_peers + 1)
    places = np.empty(num, dtype=np.int64)
    places[order] = np.arange(num)
    starts = np.clip(places[numbers] - num_peers // 2, 0, num - num_peers - 1)
    return np.asarray((windows[starts] < losses[numbers, None]).sum(axis=1) / num_peers)


def rank_correlation(before: Floats, after: Floats) -> float:
    """Return Spearman's coefficient; 1 where one's values are all equal, which contradicts nothing.

    Args:
        before: [num >= 2].
        after: [num].
    """
    if np.ptp(before) == 0 or np.ptp(after) == 0:
        return 1.0
    return float(spearmanr(before, after).statistic)
