"""Which process drives a sweep, and which of its Ray's are there (Linux)."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_PROC = Path("/proc")


def describe_driver(scratch: str) -> dict[str, Any]:
    """Return what `sweep.json` says of this process, so that it can be told from another later.

    Args:
        scratch: where the sweep's Ray keeps its state; a part of its processes' paths.
    """
    pid = os.getpid()
    started = _start_ticks(pid)
    return {"host": socket.gethostname(), "pid": pid, "started": started, "scratch": scratch}


def is_driver_alive(driver: Mapping[str, Any]) -> bool:
    """Tell whether the process that a `sweep.json` names still runs, on this host."""
    pid = driver.get("pid")
    if not isinstance(pid, int) or driver.get("host") != socket.gethostname():
        return False
    started = _start_ticks(pid)
    return started is not None and started == driver.get("started")


def processes_of(driver: Mapping[str, Any]) -> dict[int, str]:
    """Return the processes of a sweep's own Ray by pid: those that write into its session folder.

    One that runs elsewhere, or on a cluster that was there before, has none here.
    """
    scratch = driver.get("scratch")
    if not isinstance(scratch, str) or "/paretune-" not in scratch:
        return {}
    session = scratch.removesuffix("/scratch") + "/"
    found = {}
    for folder in _PROC.iterdir():
        if folder.name.isdigit() and int(folder.name) != driver.get("pid"):
            with contextlib.suppress(OSError):
                if _belongs(folder, session):
                    found[int(folder.name)] = (folder / "comm").read_text().strip()
    return found


def _belongs(process: Path, session: str) -> bool:
    if session.encode() in (process / "cmdline").read_bytes():
        return True
    # Ray's workers have names of their own for a command line, and their logs for output.
    for number in (1, 2):
        with contextlib.suppress(OSError):
            if os.readlink(process / "fd" / str(number)).startswith(session):
                return True
    return False


def _start_ticks(pid: int) -> int | None:
    """Return when a process began, since the boot; None if there is none or it has ended."""
    try:
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else int(fields[19])
