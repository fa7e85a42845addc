"""A worker's pulse: how many steps it has done, told to the desk once a second from a thread."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final

BEAT_INTERVAL_S: Final = 1.0


class Pulse:
    """Counts steps; the training loop only adds one.

    Args:
        send: hears the count once a second; must not wait.
    """

    def __init__(self, send: Callable[[int], Any]) -> None:
        self._send = send
        self._num_steps = 0
        self._num_waits = 0  # nested
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="pulse", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def stop(self) -> None:
        """Send no more."""
        self._stopping.set()

    def step(self) -> None:
        """Say that a step was done: a forward pass, of training or of validation."""
        self._num_steps += 1

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Count the seconds of a wait as steps: for storage, which may be out for hours."""
        self._num_waits += 1
        try:
            yield
        finally:
            self._num_waits -= 1

    def beat(self) -> None:
        """Send the count once."""
        if self._num_waits:
            self._num_steps += 1
        self._send(self._num_steps)

    def _beat(self) -> None:
        while not self._stopping.wait(BEAT_INTERVAL_S):
            self.beat()
