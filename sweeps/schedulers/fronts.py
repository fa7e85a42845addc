"""Non-dominated fronts that grow a point at a time.

The update follows Li et al. 2017, "Efficient nondomination level update method for steady-state
evolutionary multiobjective optimization" (IEEE Transactions on Cybernetics 47): a new point enters
the first front that doesn't dominate it, and what it dominates there moves down. The tests hold it
against `analysis.pareto.nondominated_ranks`. For two objectives `sweeps.schedulers.staircases` is
quicker.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Losses = NDArray[np.float64]


class Fronts(Protocol):
    """The non-dominated ranks of points that arrive one by one; equal points share a rank."""

    @property
    def num_ranks(self) -> int:
        """Ranks that points have."""
        ...

    def add(self, key: int, losses: Sequence[float]) -> int:
        """Add a point of a new key; return its rank."""
        ...

    def rank(self, losses: Sequence[float]) -> int:
        """Return the rank of a point that was added."""
        ...

    def size(self, rank: int) -> int:
        """Return how many points are of a rank."""
        ...

    def front(self, rank: int) -> tuple[NDArray[np.int64], Losses]:
        """Return the keys and losses of the points of a rank, in no particular order."""
        ...


class IncrementalFronts:
    """See the module's text; `Fronts` of any number of objectives."""

    def __init__(self) -> None:
        self._fronts: list[_Front] = []

    @property
    def num_ranks(self) -> int:
        """See `Fronts`."""
        return len(self._fronts)

    def add(self, key: int, losses: Sequence[float]) -> int:
        """Add a point.

        Args:
            key: of the point, new.
            losses: [num_objectives]; lower is better; no NaN.

        Returns:
            Its rank; 0 is the front.
        """
        point = np.array([losses], dtype=np.float64)
        rank = self.rank(losses)
        moving = _Front(np.array([key]), point)
        level = rank
        while len(moving.keys):
            if level == len(self._fronts):
                self._fronts.append(moving)
                break
            moving, self._fronts[level] = _displace(self._fronts[level], moving)
            level += 1
        return rank

    def rank(self, losses: Sequence[float]) -> int:
        """See `Fronts`: the first front that doesn't dominate it; none below does, either."""
        point = np.array(losses, dtype=np.float64)
        return bisect_left(
            self._fronts, True, key=lambda front: not _is_dominated(point, front.losses)
        )

    def size(self, rank: int) -> int:
        """See `Fronts`."""
        return len(self._fronts[rank].keys)

    def front(self, rank: int) -> tuple[NDArray[np.int64], Losses]:
        """See `Fronts`."""
        return self._fronts[rank].keys, self._fronts[rank].losses


class _Front:
    def __init__(self, keys: NDArray[np.int64], losses: Losses) -> None:
        self.keys = keys
        self.losses = losses


def _displace(front: _Front, coming: _Front) -> tuple[_Front, _Front]:
    """Return what of a front the coming points dominate, and the front with them."""
    leaves = np.zeros(len(front.keys), dtype=np.bool_)
    for point in coming.losses:
        leaves |= (point <= front.losses).all(axis=1) & (point < front.losses).any(axis=1)
    stays = ~leaves
    return (
        _Front(front.keys[leaves], front.losses[leaves]),
        _Front(
            np.concatenate([front.keys[stays], coming.keys]),
            np.concatenate([front.losses[stays], coming.losses]),
        ),
    )


def _is_dominated(point: Losses, others: Losses) -> bool:
    return bool(((others <= point).all(axis=1) & (others < point).any(axis=1)).any())
