"""Non-dominated fronts of two objectives that grow a point at a time, quickly.

A front of two objectives is a staircase: as the first loss rises, the second falls. What of a front
a new point dominates is a run of it, and what this run dominates of the next front is a run again:
of all that is dominated there, the least first loss is the run's first point's and the least second
loss its last point's, and whatever lies beyond both was held up by the run alone. So a point moves
slices of lists, found by bisection. `sweeps.schedulers.fronts` has the same for any number of
objectives.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Losses = NDArray[np.float64]


class StaircaseFronts:
    """See the module's text; `Fronts`."""

    def __init__(self) -> None:
        self._fronts: list[_Staircase] = []

    @property
    def num_ranks(self) -> int:
        """See `Fronts`."""
        return len(self._fronts)

    def add(self, key: int, losses: Sequence[float]) -> int:
        """See `Fronts`."""
        first, second = float(losses[0]), float(losses[1])
        rank = self.rank((first, second))
        moving = _Staircase([key], [first], [-second])
        for level in range(rank, len(self._fronts)):
            moving = self._fronts[level].displace(moving)
            if not moving.keys:
                return rank
        self._fronts.append(moving)
        return rank

    def rank(self, losses: Sequence[float]) -> int:
        """See `Fronts`: the first front that doesn't dominate it; none below does, either."""
        first, negative = float(losses[0]), -float(losses[1])
        return bisect_left(
            self._fronts, True, key=lambda front: not front.dominates(first, negative)
        )

    def size(self, rank: int) -> int:
        """See `Fronts`."""
        return len(self._fronts[rank].keys)

    def front(self, rank: int) -> tuple[NDArray[np.int64], Losses]:
        """See `Fronts`."""
        front = self._fronts[rank]
        losses = np.array([front.firsts, front.negatives]).T * [1.0, -1.0]
        return np.array(front.keys, dtype=np.int64), losses


class _Staircase:
    """Points by their first losses, ascending; so the negatives of the second ascend, too."""

    def __init__(self, keys: list[int], firsts: list[float], negatives: list[float]) -> None:
        self.keys = keys
        self.firsts = firsts
        self.negatives = negatives

    def dominates(self, first: float, negative: float) -> bool:
        """Tell whether any point is no worse than one in both losses, and better in one."""
        place = bisect_right(self.firsts, first) - 1  # of those as good, the best second loss
        if place < 0 or self.negatives[place] < negative:
            return False
        return self.firsts[place] < first or self.negatives[place] > negative

    def displace(self, coming: _Staircase) -> _Staircase:
        """Take in a run of points, which nothing here dominates; return what it dominates."""
        first, negative = coming.firsts[0], coming.negatives[-1]
        start = bisect_left(self.firsts, first)
        end = bisect_right(self.negatives, negative)
        if start < end and (self.firsts[start], self.negatives[start]) == (first, negative):
            start = end  # Points equal to a new one stay, and nothing else is beyond them.
        leaving = _Staircase(
            self.keys[start:end], self.firsts[start:end], self.negatives[start:end]
        )
        self.keys[start:end] = coming.keys
        self.firsts[start:end] = coming.firsts
        self.negatives[start:end] = coming.negatives
        return leaving
