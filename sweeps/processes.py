"""Which process drives a sweep, and which of its Ray's are there (Linux)."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

_PROC: Final = Path("/proc")
_PREFIX: Final = "paretune-"
_OWNER_FILE: Final = "driver.json"


def describe_driver(scratch: str) -> dict[str, Any]:
    """Return what `sweep.json` says of this process, so that it can be told from another later.

    Args:
        scratch: where the sweep's Ray keeps its state; a part of its processes' paths.
    """
    return {**_describe_process(), "scratch": scratch}


def _describe_process() -> dict[str, Any]:
    pid = os.getpid()
    return {"host": socket.gethostname(), "pid": pid, "started": _start_ticks(pid), **_world()}


def _world() -> dict[str, Any]:
    """Return in which boot of the machine, and in which container, a pid means a process."""
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        return {"boot": boot, "pids": os.readlink(_PROC / "self/ns/pid")}
    except OSError:
        return {"boot": None, "pids": None}


def make_folder() -> str:
    """Make a temporary folder that can be told later to be this process's."""
    folder = tempfile.mkdtemp(prefix=_PREFIX)
    (Path(folder) / _OWNER_FILE).write_text(json.dumps(_describe_process()))
    return folder


def remove_left_folder(driver: object) -> str | None:
    """Remove what `make_folder` made for a driver that was killed, if it is surely gone.

    That is: this process sees the same processes (host, boot and container are the same), the
    driver is none of them, and no process of its Ray is. The folder itself says whose it is: what
    names it may be a run folder that somebody else made.

    Args:
        driver: as a `sweep.json` names it, or whatever stands there.

    Returns:
        The folder; None if there is none, or it is not sure that nobody needs it.
    """
    scratch = driver.get("scratch") if isinstance(driver, Mapping) else None
    if not isinstance(scratch, str):
        return None
    folder = Path(scratch.removesuffix("/scratch"))
    try:
        is_own = folder.is_dir() and not folder.is_symlink() and folder.stat().st_uid == os.getuid()
        if not is_own or not folder.name.startswith(_PREFIX) or not folder.is_absolute():
            return None
        owner = json.loads((folder / _OWNER_FILE).read_text())
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(owner, dict) or owner.get("host") != socket.gethostname():
        return None
    is_here = owner.get("boot") is not None and _world().items() <= owner.items()
    if not is_here or is_driver_alive(owner) or processes_of({**owner, "scratch": scratch}):
        return None
    shutil.rmtree(folder, ignore_errors=True)
    return None if folder.exists() else str(folder)


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
    if not isinstance(scratch, str) or f"/{_PREFIX}" not in scratch:
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
