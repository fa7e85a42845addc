"""What a person sees while latencies are measured."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from rich.console import Console
from rich.status import Status

PLAIN_INTERVAL_S: Final = 10.0
"""Seconds between two lines where there is no terminal."""


class LatencyProgress:
    """Counts models as they are measured: a live line, or plain ones where no terminal is.

    Args:
        console: where to.
        clock: seconds, monotonic.
    """

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._status: Status | None = None
        self._started_s = self._printed_s = clock()
        self._what, self._num_done, self._num_models = "", 0, 0

    def show_on(self, console: Console) -> None:
        """Go on with another console."""
        self.end()
        self._console = console

    def begin(self, what: str, num_models: int) -> None:
        """Show that models are measured."""
        self._what, self._num_done, self._num_models = what, 0, num_models
        self._started_s = self._printed_s = self._clock()
        if self._console.is_terminal and self._status is None:
            self._status = self._console.status("")
            self._status.start()
        self._show(is_due_only=False)

    def advance(self) -> None:
        """Show that one more is."""
        self._num_done += 1
        self._show(is_due_only=self._num_done < self._num_models)

    def waiting(self) -> None:
        """Say that another process measures on this machine."""
        self._print("waiting: another process measures latencies on this machine")

    def end(self) -> None:
        """Clear the live line."""
        if self._status is not None:
            self._status.stop()
            self._status = None

    def line(self) -> str:
        """Return how far it is, in one line."""
        seconds = round(self._clock() - self._started_s)
        return (
            f"measuring {self._what}: {self._num_done} of {self._num_models}, "
            f"{seconds // 60}:{seconds % 60:02d}"
        )

    def _show(self, *, is_due_only: bool) -> None:
        if self._status is not None:
            self._status.update(self.line())
        elif not is_due_only or self._clock() - self._printed_s >= PLAIN_INTERVAL_S:
            self._printed_s = self._clock()
            self._print(self.line())

    def _print(self, line: str) -> None:
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)
