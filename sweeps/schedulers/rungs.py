"""A rung of successive halving: who has reached it, and who of them goes on."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Final, Protocol

import numpy as np

from sweeps.schedulers.fronts import Fronts, IncrementalFronts
from sweeps.schedulers.losses import is_known
from sweeps.schedulers.peers import MIN_PEERS, PeerRung
from sweeps.schedulers.staircases import StaircaseFronts
from sweeps.schedulers.tie_orders import TIE_ORDERS

PEER: Final = "peer"


class Rung(Protocol):
    """Members by their number, in the order in which they came."""

    def add(self, losses: Sequence[float]) -> int:
        """Enter a trial's losses (lower is better, NaN for unknown); return its number."""
        ...

    def goes_on(self, number: int) -> bool:
        """Tell whether a member is among those that go on, as the rung is now."""
        ...

    def going_on(self, numbers: Collection[int]) -> list[int]:
        """Return which of some members go on, ascending: what `goes_on` says of each, sooner.

        Args:
            numbers: of those asked for before, or new; a member that was left out once stays out.
        """
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

    def going_on(self, numbers: Collection[int]) -> list[int]:
        """See `Rung`; there are three quantiles in all, by where the member left out stands."""
        known = np.flatnonzero(~np.isnan(self._losses))
        if len(known) <= 1:
            return [number for number in sorted(numbers) if self.goes_on(number)]
        ascending = known[np.argsort(-self._losses[known], kind="stable")]
        scores = -self._losses[ascending]
        place = math.floor((len(scores) - 2) * (self._cutoff_percent / 100))
        cutoffs = np.empty(len(scores))
        for part in (slice(0, place + 1), slice(place + 1, place + 2), slice(place + 2, None)):
            if len(cutoffs[part]):
                others = np.delete(scores, part.start)
                cutoffs[part] = np.percentile(others, self._cutoff_percent)
        found = np.sort(ascending[scores >= cutoffs])
        return [number for number in found.tolist() if number in numbers]


class FrontRung:
    """A rung of several objectives: lower non-dominated ranks first, then an order in the front.

    How many go on is what the quantile of `ValueRung` comes to where only the order is known.

    Args:
        reduction_factor: 1/eta of the members go on.
        tie_order: a name in `TIE_ORDERS`.
        num_objectives: >= 2.
    """

    def __init__(self, reduction_factor: float, tie_order: str, num_objectives: int) -> None:
        self._reduction_factor = reduction_factor
        self._order = TIE_ORDERS[tie_order]
        self._fronts: Fronts = StaircaseFronts() if num_objectives == 2 else IncrementalFronts()
        self._losses: list[tuple[float, ...]] = []  # by number

    def add(self, losses: Sequence[float]) -> int:
        """See `Rung`."""
        number = len(self._losses)
        self._losses.append(tuple(losses))
        if is_known(losses):
            self._fronts.add(number, losses)
        return number

    def goes_on(self, number: int) -> bool:
        """See `Rung`."""
        num_members = len(self._losses)
        if not is_known(self._losses[number]):
            return num_members == 1
        num_last = self._num_ahead()
        rank = self._fronts.rank(self._losses[number])
        num_before = 0
        for lower in range(rank):
            num_before += self._fronts.size(lower)
            if num_before > num_last:
                return False
        if num_before + self._fronts.size(rank) - 1 <= num_last:
            return True
        keys, losses = self._fronts.front(rank)
        by_number = np.argsort(keys)  # so that the order doesn't depend on how the front grew
        taken = keys[by_number][self._order(losses[by_number])]
        return bool(num_before + int(np.flatnonzero(taken == number)[0]) <= num_last)

    def going_on(self, numbers: Collection[int]) -> list[int]:
        """See `Rung`."""
        num_members = len(self._losses)
        if num_members == 1:
            return [number for number in numbers if number == 0]
        num_left = self._num_ahead() + 1
        found: list[int] = []
        rank = 0
        while num_left > 0 and rank < self._fronts.num_ranks:
            keys, losses = self._fronts.front(rank)
            if len(keys) > num_left:
                by_number = np.argsort(keys)
                keys = keys[by_number][self._order(losses[by_number])][:num_left]
            found += keys.tolist()
            num_left -= len(keys)
            rank += 1
        return sorted(number for number in found if number in numbers)

    def _num_ahead(self) -> int:
        """Return how many may be ahead of a member that goes on."""
        return max(math.floor((len(self._losses) - 2) / self._reduction_factor + 0.5), 0)


class YoungPeerRung:
    """A rung of peers that goes by fronts while it has fewer members than one has peers.

    By peers, all that nothing smaller beats go on. Among the first members these are so many that
    they take the workers for whole trainings, before anything is known of the others.

    Args:
        reduction_factor: 1/eta of the members go on.
        known_index: see `PeerRung`.
    """

    def __init__(self, reduction_factor: float, known_index: int) -> None:
        self._young = FrontRung(reduction_factor, "epsnet", num_objectives=2)
        self._grown = PeerRung(reduction_factor, known_index)
        self._num_members = 0

    def add(self, losses: Sequence[float]) -> int:
        """See `Rung`."""
        self._num_members += 1
        if self._is_young:
            self._young.add(losses)
        return self._grown.add(losses)

    def goes_on(self, number: int) -> bool:
        """See `Rung`."""
        return (self._young if self._is_young else self._grown).goes_on(number)

    def going_on(self, numbers: Collection[int]) -> list[int]:
        """See `Rung`."""
        return (self._young if self._is_young else self._grown).going_on(numbers)

    @property
    def _is_young(self) -> bool:
        return self._num_members < MIN_PEERS


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
        return YoungPeerRung(reduction_factor, known_index)
    return FrontRung(reduction_factor, order, num_objectives)
