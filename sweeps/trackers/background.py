"""A tracker in a thread of its own: it can fail, hang or be slow, and the sweep goes on."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from sweeps.trackers.protocol import Tracker

MAX_WAITING: Final = 4096
"""Calls that wait for a tracker; more are left out."""

MAX_FAILURES: Final = 5
"""In a row, after which a tracker is given up."""

_MAX_CHARACTERS: Final = 200  # of an error in the warning

LAST_WAIT_S: Final = 60.0
"""Seconds that the end of a sweep waits for a tracker."""


class BackgroundTracker:
    """Passes calls on to another tracker, in order, and never waits for it but at the end.

    Args:
        name: of the tracker, for the warning.
        make: returns it; called in the thread.
        warn: is told once, in one line, that something went wrong.
        max_waiting: calls that may wait.
        last_wait_s: for the end.
    """

    def __init__(
        self,
        name: str,
        make: Callable[[], Tracker],
        warn: Callable[[str], None],
        *,
        max_waiting: int = MAX_WAITING,
        last_wait_s: float = LAST_WAIT_S,
    ) -> None:
        self._name = name
        self._warn = warn
        self._last_wait_s = last_wait_s
        self._calls: queue.Queue[tuple[str, tuple[Any, ...]] | None] = queue.Queue(max_waiting)
        self._has_warned = threading.Event()
        self._thread = threading.Thread(
            target=self._work, args=(make,), name=f"{name} tracker", daemon=True
        )
        self._thread.start()

    def report(self, trial_id: str, config: Mapping[str, Any], row: Mapping[str, Any]) -> None:
        """Pass an epoch's result on."""
        self._pass_on("report", trial_id, dict(config), dict(row))

    def finish(self, trial_id: str, config: Mapping[str, Any], row: Mapping[str, Any]) -> None:
        """Pass on what came of a trial."""
        self._pass_on("finish", trial_id, dict(config), dict(row))

    def examine(self, trial_id: str, scores: Mapping[str, float | None]) -> None:
        """Pass a finalist's scores on."""
        self._pass_on("examine", trial_id, dict(scores))

    def conclude(self, run: Path, sweep: Mapping[str, Any]) -> None:
        """Pass the end on, and wait until it is done, or for as long as is right."""
        end_s = time.monotonic() + self._last_wait_s
        for call in (("conclude", (run, dict(sweep))), None):
            try:
                self._calls.put(call, timeout=max(0.0, end_s - time.monotonic()))
            except queue.Full:
                break
        self._thread.join(max(0.0, end_s - time.monotonic()))
        if self._thread.is_alive():
            self._warn_once(f"it was not done {self._last_wait_s:g} s after the sweep")

    def _pass_on(self, method: str, *arguments: Any) -> None:
        try:
            self._calls.put_nowait((method, arguments))
        except queue.Full:
            self._warn_once(f"it is behind by {self._calls.maxsize} calls")

    def _work(self, make: Callable[[], Tracker]) -> None:
        tracker: Tracker | None = None
        num_failures = 0
        while (call := self._calls.get()) is not None:
            if num_failures == MAX_FAILURES:
                continue  # the queue is emptied, so that nobody waits for it
            method, arguments = call
            try:
                if tracker is None:
                    tracker = make()
                getattr(tracker, method)(*arguments)
                num_failures = 0
            except Exception as error:  # whatever it is, the sweep goes on
                num_failures += 1
                line = " ".join(str(error).split()) or type(error).__name__
                self._warn_once(line[:_MAX_CHARACTERS])

    def _warn_once(self, why: str) -> None:
        if not self._has_warned.is_set():
            self._has_warned.set()
            self._warn(f"{self._name} misses something of this sweep: {why}; the sweep goes on")
