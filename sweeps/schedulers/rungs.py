"""A rung of successive halving: who has reached it, and who of them goes on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from sweeps.schedulers.fronts import IncrementalFronts
from sweeps.schedulers.tie_orders import TIE_ORDERS

PEER: Final = "peer"

_MIN_PEERS = 9
_PEER_FRACTION = 1 / 8
_GAP_FRACTION = 2 / 3


class Rung(Protocol):
    """Members by their number, in the order in which they came."""

    def add(self, losses: Sequence[float]) -> int:
        """Enter a trial's losses (lower is better, NaN for unknown); return its number."""
        ...

    def goes_on(self, number: int) -> bool:
        """Tell whether a member is among those that go on, as the rung is now."""
        ...


class ValueRung:
    """A rung of one objective, which decides as asynchronous successive halving does.

    A member goes on if it is no worse than the (1 - 1/eta) quantile of the others, interpolated:
    the rule of Ray Tune's `AsyncHyperBandScheduler` (Li et al. 2020, ASHA, stopping variant).
    """

    def __init__(self, reduction_factor: float) -> None:
        self._cutoff_percent = (1 - 1 / reduction_factor) * 100
        self._losses = np.zeros(0)

    def add(self, losses: Sequence[float]) -> int:
        """See `Rung`."""
        self._losses = np.append(self._losses, losses)
        return len(self._losses) - 1

    def goes_on(self, number: int) -> bool:
        """See `Rung`."""
        others = np.delete(self._losses, number)
        others = others[~np.isnan(others)]
        if not len(others):
            return True
        # Written as Ray has it, for the same rounding: some ties depend on it.
        return bool(-self._losses[number] >= np.percentile(-others, self._cutoff_percent))


class FrontRung:
    """A rung of several objectives: lower non-dominated ranks first, then an order in the front.

    How many go on is what the quantile of `ValueRung` comes to where only the order is known.

    Args:
        reduction_factor: 1/eta of the members go on.
        tie_order: a name in `TIE_ORDERS`.
    """

    def __init__(self, reduction_factor: float, tie_order: str) -> None:
        self._reduction_factor = reduction_factor
        self._order = TIE_ORDERS[tie_order]
        self._fronts = IncrementalFronts()
        self._num_members = 0
        self._unknown: set[int] = set()

    def add(self, losses: Sequence[float]) -> int:
        """See `Rung`."""
        number = self._num_members
        self._num_members += 1
        if _is_known(losses):
            self._fronts.add(number, losses)
        else:
            self._unknown.add(number)
        return number

    def goes_on(self, number: int) -> bool:
        """See `Rung`."""
        if number in self._unknown:
            return self._num_members == 1
        num_last = math.floor((self._num_members - 2) / self._reduction_factor + 0.5)
        num_last = max(num_last, 0)  # the number of those that may be ahead
        num_before, rank = 0, 0
        while True:
            keys, losses = self._fronts.front(rank)
            if number in keys:
                break
            num_before += len(keys)
            if num_before > num_last:
                return False
            rank += 1
        if num_before + len(keys) - 1 <= num_last:
            return True
        by_number = np.argsort(keys)  # so that the order doesn't depend on how the front grew
        taken = keys[by_number][self._order(losses[by_number])]
        return bool(num_before + int(np.flatnonzero(taken == number)[0]) <= num_last)


class PeerRung:
    """A rung of one objective that is learnt and one that was known before training.

    Large models learn slowly: by plain fronts they are dominated at low epochs by small ones, and
    are all stopped. So a member is held against its peers, the nearest in log of the known
    objective: it goes on if nothing that is at most as large is better (its gap is 0), or if it is
    in the top 1/eta of its peers and its gap is not among the rung's largest third.

    Args:
        reduction_factor: eta.
        known_index: which of the two losses was known.
    """

    def __init__(self, reduction_factor: float, known_index: int) -> None:
        self._reduction_factor = reduction_factor
        self._known_index = known_index
        self._num_members = 0
        # Of members without NaN, by their known loss:
        self._numbers = np.zeros(0, dtype=np.int64)
        self._known = np.zeros(0)
        self._learnt = np.zeros(0)

    def add(self, losses: Sequence[float]) -> int:
        """See `Rung`."""
        number = self._num_members
        self._num_members += 1
        if _is_known(losses):
            known, learnt = losses[self._known_index], losses[1 - self._known_index]
            place = np.searchsorted(self._known, known, side="right")
            self._numbers = np.insert(self._numbers, place, number)
            self._known = np.insert(self._known, place, known)
            self._learnt = np.insert(self._learnt, place, learnt)
        return number

    def goes_on(self, number: int) -> bool:
        """See `Rung`."""
        places = np.flatnonzero(self._numbers == number)
        if not len(places):
            return self._num_members == 1
        place = int(places[0])
        mine = self._learnt[place]
        num_as_small = np.searchsorted(self._known, self._known[place], side="right")
        gap = mine - self._learnt[:num_as_small].min()
        if gap <= 0:
            return True
        peers = self._peers(place)
        num_better = int((self._learnt[peers] < mine).sum())
        if num_better > math.floor((len(peers) - 1) / self._reduction_factor + 0.5):
            return False
        gaps = self._learnt - _least_up_to(self._known, self._learnt)
        return int((gaps < gap).sum()) < _GAP_FRACTION * len(gaps)

    def _peers(self, place: int) -> NDArray[np.int64]:
        """Return the places of the nearest others."""
        known = self._known
        num_peers = max(_MIN_PEERS, math.floor(_PEER_FRACTION * len(known)))
        near = np.arange(max(0, place - num_peers), min(len(known), place + num_peers + 1))
        near = near[near != place]
        scale = np.log if known[0] > 0 else np.asarray
        distances = np.abs(scale(known[near]) - scale(known[place]))
        return np.asarray(near[np.argsort(distances, kind="stable")[:num_peers]])


def _least_up_to(known: NDArray[np.float64], learnt: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return for each the least learnt loss of all that are at most as large; ascending known."""
    least = np.minimum.accumulate(learnt)
    ends = np.flatnonzero(np.append(known[1:] != known[:-1], True))  # of those that are as large
    return np.repeat(least[ends], np.diff(ends, prepend=-1))


def _is_known(losses: Sequence[float]) -> bool:
    return not any(math.isnan(loss) for loss in losses)


def make_rung(
    order: str, reduction_factor: float, *, num_objectives: int, known_index: int | None
) -> Rung:
    """Return an empty rung.

    Args:
        order: `peer` or a name in `TIE_ORDERS`; for one objective it has no say.
        reduction_factor: > 1.
        num_objectives: >= 1.
        known_index: which objective is known before training; for `peer`.
    """
    if num_objectives == 1:
        return ValueRung(reduction_factor)
    if order == PEER:
        assert num_objectives == 2
        assert known_index is not None
        return PeerRung(reduction_factor, known_index)
    return FrontRung(reduction_factor, order)
