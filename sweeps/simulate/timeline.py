"""Virtual time: a heap of what is going to happen."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable


class Timeline:
    """Events in the order of their moments; those of one moment in the order of their making.

    Args:
        horizon_s: virtual seconds after which nothing happens any more.

    Attributes:
        now_s: virtual seconds that have gone by.
    """

    def __init__(self, horizon_s: float = float("inf")) -> None:
        self.now_s = 0.0
        self._horizon_s = horizon_s
        self._numbers = itertools.count()
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._background: set[int] = set()  # of the heap
        self._discarded: set[int] = set()  # of the heap

    @property
    def num_events(self) -> int:
        """Events to come, but for those in the background."""
        return len(self._heap) - len(self._discarded) - len(self._background)

    @property
    def is_over(self) -> bool:
        """Whether nothing but what is in the background happens before the horizon."""
        self._drop_discarded()
        return self.num_events == 0 or self._heap[0][0] > self._horizon_s

    def after(
        self, seconds: float, happen: Callable[[], None], *, is_background: bool = False
    ) -> int:
        """Let something happen; return its number.

        Args:
            seconds: from now; >= 0; infinity: never.
            happen: is called then.
            is_background: nobody waits for it.
        """
        number = next(self._numbers)
        if is_background:
            self._background.add(number)
        heapq.heappush(self._heap, (self.now_s + seconds, number, happen))
        return number

    def discard(self, number: int) -> None:
        """Let an event that is still to come not happen."""
        self._background.discard(number)
        self._discarded.add(number)

    def step(self) -> bool:
        """Go on to the next event; False if there is none."""
        if self.is_over:
            return False
        self.now_s, number, happen = heapq.heappop(self._heap)
        self._background.discard(number)
        happen()
        return True

    def clear(self) -> None:
        """Let nothing happen any more."""
        self._heap.clear()
        self._background.clear()
        self._discarded.clear()

    def _drop_discarded(self) -> None:
        while self._heap and self._heap[0][1] in self._discarded:
            self._discarded.discard(heapq.heappop(self._heap)[1])
