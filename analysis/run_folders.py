"""Finds the run folders in a folder, so that a notebook need not be told a name."""

from __future__ import annotations

from pathlib import Path

from pyarrow import fs

from analysis.load import RunError, open_folder
from analysis.records import SWEEP_FILE

MAX_DEPTH = 2
"""Folders below the one given: `runs/NAME`, and `runs/NAME/seed_0` of a replay of several seeds."""


def find_runs(folder: str | Path) -> tuple[str, ...]:
    """Return the run folders in a folder, the one written last first; or the folder, if it is one.

    Args:
        folder: a local path or a URI, such as `runs` or `s3://bucket/runs`.

    Raises:
        RunError: if there is none, or the folder can't be read.
    """
    filesystem, root = open_folder(folder)
    try:
        found = _search(filesystem, root, MAX_DEPTH)
    except OSError as error:
        raise RunError(
            f"folder of runs must be readable, got {str(folder)!r} ({error}); check the path and "
            "the credentials"
        ) from error
    if not found:
        raise RunError(
            f"folder of runs must hold a run folder, got {str(folder)!r} without one; give the "
            "--out of a sweep, or the folder that it lies in"
        )
    base, mark, query = str(folder), "", ""
    if "://" in base:
        base, mark, query = base.partition("?")  # such as ?endpoint_override=…
    newest_first = sorted(found, key=lambda path: (found[path], path), reverse=True)
    return tuple(f"{base.rstrip('/')}{path[len(root) :]}{mark}{query}" for path in newest_first)


def _search(filesystem: fs.FileSystem, folder: str, depth: int) -> dict[str, int]:
    """Return when the sweep.json of each run folder was written [ns], by the folder's path."""
    mark = filesystem.get_file_info(f"{folder}/{SWEEP_FILE}")
    if mark.type == fs.FileType.File:
        return {folder: mark.mtime_ns or 0}
    if depth == 0:
        return {}
    inside = filesystem.get_file_info(fs.FileSelector(folder, allow_not_found=True))
    found: dict[str, int] = {}
    for entry in inside:
        if entry.type == fs.FileType.Directory:
            found |= _search(filesystem, entry.path.rstrip("/"), depth - 1)
    return found
