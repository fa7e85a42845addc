"""Which type of node a gang asks for next, where types are named in an order. Pure: no Ray.

Ray's autoscaler chooses among the types that fit by how well they are used, and asks for the same
one again after a launch that failed. So a gang that was given types asks for one at a time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class NodeType:
    """A type of nodes in a cluster file.

    Attributes:
        name: in the file.
        labels: that its nodes carry, and those of no other type.
    """

    name: str
    labels: Mapping[str, str]


class NodeTurns:
    """The types in their order, each for a while; after the last the first again.

    Args:
        types: at least one.
        wait_s: how long nodes of a type are waited for; > 0.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        types: Sequence[NodeType],
        wait_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._types = types
        self._wait_s = wait_s
        self._clock = clock
        self._place = 0
        self._asked_s: float | None = None

    def ask(self) -> tuple[NodeType, str | None]:
        """Return the type to ask for now; and, if it is another than before, why, in words."""
        now_s = self._clock()
        if self._asked_s is None:
            self._asked_s = now_s
        elif now_s - self._asked_s >= self._wait_s:
            before = self._types[self._place]
            self._place = (self._place + 1) % len(self._types)
            self._asked_s = now_s
            if len(self._types) > 1:
                asked = self._types[self._place]
                words = f"no {before.name} came in {self._wait_s:g} s: it asks for {asked.name}"
                return asked, words
        return self._types[self._place], None

    def come(self) -> None:
        """Say that the nodes are there: when they are lost, the first type is asked for again."""
        self._place, self._asked_s = 0, None
