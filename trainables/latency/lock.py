"""One measurement at a time on a machine, whichever sweep it is for. Needs no Torch."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path


def lock_path() -> Path:
    """Return the file that whoever measures on this machine locks, users of all names alike."""
    return Path(tempfile.gettempdir()) / "paretune-latency.lock"


@contextlib.contextmanager
def measuring_alone(on_wait: Callable[[], None]) -> Iterator[None]:
    """Hold the machine's lock; the system frees it if this process dies.

    Args:
        on_wait: called once if another process holds the lock, before the wait.
    """
    file = _open(lock_path())
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_wait()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)


def _open(path: Path) -> int:
    try:
        # Linux lets nobody open another user's file in /tmp with O_CREAT.
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
