"""Which processes a command started, and which of them are left (Linux)."""

from __future__ import annotations

from pathlib import Path


def descendants(pid: int) -> dict[int, str]:
    """Return every living descendant of a process: pid -> its start time and name."""
    children: dict[int, list[int]] = {}
    found: dict[int, str] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and (identity := identify(int(folder.name))):
            children.setdefault(identity[0], []).append(int(folder.name))
            found[int(folder.name)] = identity[1]
    result, waiting = {}, [pid]
    while waiting:
        for child in children.get(waiting.pop(), []):
            result[child] = found[child]
            waiting.append(child)
    return result


def identify(pid: int) -> tuple[int, str] | None:
    """Return a process's parent and what tells it from another with the same pid."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        name = stat[stat.index("(") + 1 : stat.rindex(")")]
        fields = stat[stat.rindex(")") + 2 :].split()
        if fields[0] == "Z":  # ended; only its parent has not asked
            return None
        return int(fields[1]), f"{fields[19]} {name}"
    except (FileNotFoundError, ProcessLookupError):
        return None


def left_over(processes: dict[int, str]) -> dict[int, str]:
    """Return those of the processes that still live."""
    return {
        pid: who
        for pid, who in processes.items()
        if (identity := identify(pid)) is not None and identity[1].split()[0] == who.split()[0]
    }
