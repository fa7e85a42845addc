"""Whether a rung's order says anything of what comes after it.

What trials say after their first epochs may say nothing of their end: on recorded runs the rank
correlation of the losses at the first two rungs, of the trials that the lower one lets go on, is
from -0.3 to 0.8. Where it is none, whom the lower rung stops is chance. Where it is little it
still pays to stop, so a rung is taken for none only if more than little is unlikely.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.stats import rankdata

Floats = NDArray[np.float64]

MIN_PAIRS: Final = 20
"""Trials among the best of a rung that have reached the next, before it is found to say nothing."""

GROWTH: Final = 0.25
"""A rung is judged again when so many more of its trials have reached the next one."""

MIN_CORRELATION: Final = 0.15
"""Of ranks; a rung whose correlation is below it says nothing."""

CONFIDENCE: Final = 1.28
"""Standard errors above the estimate at which the correlation must still be too low: it is below
that with a chance of nine in ten, at a look."""

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
            self.says_nothing = self._highest_correlation() < MIN_CORRELATION

    def _highest_correlation(self) -> float:
        """Return the upper confidence bound of the correlation; 1 while there are few pairs."""
        known, numbers = np.array(self._known), np.array([number for number, _ in self._later])
        later = np.array([loss for _, loss in self._later])
        before = shares_ahead(known, np.array(self._losses), numbers)
        after = shares_ahead(known[numbers], later, np.arange(len(later)))
        is_best = before <= self._best_fraction
        if is_best.sum() < MIN_PAIRS:
            return 1.0
        return upper_bound(rank_correlation(before[is_best], after[is_best]), int(is_best.sum()))


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
    return float(np.corrcoef(rankdata(before), rankdata(after))[0, 1])


def upper_bound(correlation: float, num_pairs: int) -> float:
    """Return what a correlation is at most, by its standard error on Fisher's scale.

    Args:
        correlation: in [-1, 1].
        num_pairs: > 3.
    """
    held = min(max(correlation, -0.999), 0.999)
    return math.tanh(math.atanh(held) + CONFIDENCE / math.sqrt(num_pairs - 3))
