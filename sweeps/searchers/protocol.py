"""What a searcher is: observations in, configs out. No Ray, no Torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class Searcher(Protocol):
    """Chooses among candidates that are known before the start, by their index.

    The candidates are a pool drawn from the space (or the rows of a recorded table), with what is
    known of each before training. A candidate is suggested once.
    """

    def suggest(self) -> int | None:
        """Return the index of the candidate to try next; None when all were suggested."""
        ...

    def on_report(self, index: int, epoch: int, values: Mapping[str, float]) -> None:
        """Learn what a candidate's trial said after so many epochs; NaN where it has no value."""
        ...

    def on_complete(self, index: int, is_whole: bool) -> None:
        """Learn that a candidate's trial ended.

        Args:
            index: of the candidate.
            is_whole: it ended by itself, so what it said last is what it comes to; else it was
                stopped.
        """
        ...

    def on_error(self, index: int) -> None:
        """Learn that a candidate's trial failed: it has no value, and nothing like it is wanted."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Return the state as plain values that JSON holds."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over a state; from here on the suggestions are the same."""
        ...
