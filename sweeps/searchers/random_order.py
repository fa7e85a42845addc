"""The candidates in a random order: what every other searcher must beat."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


class RandomSearcher:
    """Suggests candidates in a seeded random order, whatever is reported; a `Searcher`.

    Args:
        num_candidates: in the pool.
        seed: >= 0; the same seed, the same order.
    """

    def __init__(self, num_candidates: int, seed: int) -> None:
        self._order = np.random.default_rng(seed).permutation(num_candidates)
        self._num_suggested = 0

    def suggest(self) -> int | None:
        """See `Searcher`."""
        if self._num_suggested == len(self._order):
            return None
        self._num_suggested += 1
        return int(self._order[self._num_suggested - 1])

    def on_report(self, index: int, epoch: int, values: Mapping[str, float]) -> None:
        """See `Searcher`."""

    def on_complete(self, index: int, is_whole: bool) -> None:
        """See `Searcher`."""

    def on_error(self, index: int) -> None:
        """See `Searcher`."""

    def state_dict(self) -> dict[str, Any]:
        """See `Searcher`."""
        return {"num_suggested": self._num_suggested}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See `Searcher`."""
        self._num_suggested = int(state["num_suggested"])
