"""A rung in which members are held against their peers, the nearest in what was known of them."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sweeps.schedulers.losses import is_known

Floats = NDArray[np.float64]

MIN_PEERS: Final = 9
_PEER_FRACTION: Final = 1 / 8
_GAP_FRACTION: Final = 2 / 3

_MOST_GAINED: Final = 3
"""By so many places a member may rise among its peers, at most, when one more member comes: two of
its peers may become others (equal distances go to the earlier place), and one more may go on."""

_NEVER: Final = np.iinfo(np.int64).max

# Rows of the table; a column a member without NaN, by its known loss:
_NUMBER, _KNOWN, _LOG_KNOWN, _LEARNT, _LEAST = range(5)


class PeerRung:
    """A rung of one objective that is learnt and one that was known before training; a `Rung`.

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
        self._known: list[float] = []  # by number; NaN where a loss is
        self._num_columns = 0
        self._room = np.empty((5, 64))
        # By number: how many members there will be when it may go on at the earliest.
        self._due = np.empty(64, dtype=np.int64)

    def add(self, losses: Sequence[float]) -> int:
        """See `Rung`."""
        number = len(self._known)
        if number == len(self._due):
            self._due = np.append(self._due, np.empty_like(self._due))
        self._due[number] = 0
        known, learnt = losses[self._known_index], losses[1 - self._known_index]
        self._known.append(known if is_known(losses) else math.nan)
        if is_known(losses):
            self._insert(number, known, learnt)
        return number

    def _insert(self, number: int, known: float, learnt: float) -> None:
        end = self._num_columns
        if end == self._room.shape[1]:
            self._room = np.hstack([self._room, np.empty_like(self._room)])
        room = self._room
        first, place = (int(room[_KNOWN, :end].searchsorted(known, side)) for side in _SIDES)
        least = room[_LEAST, place - 1] if place else math.inf
        for row in room:  # one by one, for which NumPy needs no copy
            row[place + 1 : end + 1] = row[place:end]
        log_known = np.log(known) if known > 0 else math.nan
        room[:, place] = number, known, log_known, learnt, least
        self._num_columns += 1
        # The least learnt loss of all that are at most as large.
        at_least = room[_LEAST, first : end + 1]
        np.minimum(at_least, learnt, out=at_least)

    def goes_on(self, number: int) -> bool:
        """See `Rung`."""
        return self._places_missing(number) == 0

    def going_on(self, numbers: Collection[int]) -> list[int]:
        """See `Rung`; a member that can't have risen far enough yet is not looked at."""
        num_members = len(self._known)
        found = []
        for number in np.flatnonzero(self._due[:num_members] <= num_members).tolist():
            if number not in numbers:
                self._due[number] = _NEVER
                continue
            missing = self._places_missing(number)
            if missing:
                self._due[number] = num_members + math.ceil(missing / _MOST_GAINED)
            else:
                found.append(number)
        return found

    def _places_missing(self, number: int) -> int:
        """Return by how many places among its peers a member is too low; 0 if it goes on."""
        if math.isnan(self._known[number]):
            return 0 if len(self._known) == 1 else 1
        place = self._place(number)
        table = self._room[:, : self._num_columns]
        gap = table[_LEARNT, place] - table[_LEAST, place]
        if gap <= 0:
            return 0
        num_better, num_peers = self._among_peers(table, place)
        missing = num_better - math.floor((num_peers - 1) / self._reduction_factor + 0.5)
        if missing > 0:
            return missing
        num_smaller = int(np.count_nonzero(table[_LEARNT] - table[_LEAST] < gap))
        return 0 if num_smaller < _GAP_FRACTION * self._num_columns else 1

    def _place(self, number: int) -> int:
        table = self._room[:, : self._num_columns]
        first, end = (int(table[_KNOWN].searchsorted(self._known[number], s)) for s in _SIDES)
        if end - first == 1:
            return first
        return first + int(np.flatnonzero(table[_NUMBER, first:end] == number)[0])

    def _among_peers(self, table: Floats, place: int) -> tuple[int, int]:
        """Return how many of a member's peers are better, and how many it has.

        Its peers are the nearest others; of equally near ones, those earlier in the table.
        """
        num = table.shape[1]
        num_peers = max(MIN_PEERS, math.floor(_PEER_FRACTION * num))
        start, end = max(0, place - num_peers), min(num, place + num_peers + 1)
        if end - start - 1 > num_peers:
            scaled = table[_LOG_KNOWN if table[_KNOWN, 0] > 0 else _KNOWN, start:end]
            first = _first_of_nearest(scaled, place - start, num_peers)
            if first is None:
                is_better = table[_LEARNT, start:end] < table[_LEARNT, place]
                return _num_better_of_nearest(is_better, scaled, place - start, num_peers)
            start += first
            end = start + num_peers + 1
        is_better = table[_LEARNT, start:end] < table[_LEARNT, place]
        return int(np.count_nonzero(is_better)), end - start - 1


def _first_of_nearest(scaled: Floats, place: int, num_peers: int) -> int | None:
    """Return where the nearest of a member begin, itself among them.

    Args:
        scaled: [num > num_peers + 1] ascending.
        place: of the member.
        num_peers: how many others.

    Returns:
        The place of the first; None if one that is as far as the first is left out before it.
    """
    own = float(scaled[place])
    low, high = 0, len(scaled) - num_peers - 1
    while low < high:
        middle = (low + high) // 2
        if own - scaled[middle] > scaled[middle + num_peers + 1] - own:
            low = middle + 1
        else:
            high = middle
    is_cut = low > 0 and own - scaled[low - 1] == own - scaled[low]
    return None if is_cut else low


def _num_better_of_nearest(
    is_better: NDArray[np.bool_], scaled: Floats, place: int, num_peers: int
) -> tuple[int, int]:
    """Return how many of the nearest are better, and how many they are; of equally near the first.

    Args:
        is_better: [num].
        scaled: [num] of which the differences are the distances.
        place: of the member.
        num_peers: how many others are the nearest.
    """
    distances = np.abs(scaled - scaled[place])
    distances[place] = np.inf
    farthest = np.partition(distances, num_peers - 1)[num_peers - 1]
    is_nearer = distances < farthest
    num_left = num_peers - int(np.count_nonzero(is_nearer))
    as_far = np.flatnonzero(distances == farthest)[:num_left]
    num_better = np.count_nonzero(is_better & is_nearer) + np.count_nonzero(is_better[as_far])
    return int(num_better), num_peers


_SIDES: Final = ("left", "right")
