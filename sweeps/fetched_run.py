"""A run that goes on here and was written elsewhere: brought from its storage into a run folder."""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from analysis.records import JOURNAL_FOLDER, SWEEP_FILE, has_password, is_plain_name
from sweeps.journal import Event, lock_journal, read_journal
from sweeps.recorded_run import read_sweep
from sweeps.run_store import RunStore
from trainables.errors import InputError

STORED_AT: Final = "stored_at"
"""Key of `sweep.json`: where the run lies in a storage; null where it lies in its folder alone."""


def stored_location(storage: str | None, run: Path) -> str | None:
    """Return where a run lies in a storage; None without one, or where it is the run folder.

    Args:
        storage: as `--storage` gives it.
        run: its folder.
    """
    if storage is None:
        return None
    # Each process has its own working folder.
    root = storage if "://" in storage else str(Path(storage).absolute())
    location = f"{root.rstrip('/')}/{run.absolute().name}"
    return None if location == str(run.absolute()) else location


def last_claim(events: list[Event]) -> str | None:
    """Return under which claim the last process of a journal wrote; None without a storage."""
    claims = [event.fields.get("claim") for event in events if event.kind == "process"]
    return claims[-1] if claims else None


def bring_run(resume: str, storage: str | None, out: str | None) -> str:
    """Return the folder of a run that shall go on, as new as what its storage has of it.

    Args:
        resume: the run folder; or where it lies in a storage, as a URI.
        storage: as `--storage` gives it: has runs whose folders aren't here.
        out: where a folder goes that isn't here; None: runs/NAME.

    Raises:
        InputError: if there is no such run, or its storage can't be read.
    """
    if has_password(resume) or ("://" in resume and "?" in resume):
        raise InputError(
            "--resume must be a folder or URI without credentials or query, got one with them; set "
            "them in the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_URL)"
        )
    if "://" in resume:
        location: str | None = resume.rstrip("/")
        folder = Path(out) if out else Path("runs") / resume.rstrip("/").rpartition("/")[2]
    else:
        folder = Path(resume)
        is_here = (folder / SWEEP_FILE).is_file()
        location = _recorded(folder) if is_here else stored_location(storage, folder)
    if location is not None:
        try:
            _refresh(folder, RunStore(location))
        except OSError as error:
            line = str(error).partition("\n")[0]
            raise InputError(
                f"--resume must name a run whose storage can be read, got {location} ({line}); "
                "check that it is there, and the credentials"
            ) from None
    return str(folder)


def _recorded(folder: Path) -> str | None:
    """Return where a run folder says that its run lies."""
    location = read_sweep(folder, "--resume must name").get(STORED_AT)
    return location if isinstance(location, str) else None


def _refresh(folder: Path, store: RunStore) -> None:
    """Bring a folder up to what the storage has, unless it has as much itself."""
    newest = store.newest_claim()
    if newest is None:
        raise InputError(
            f"--resume must name a run, got {store.location} without one; name another, or give "
            "the --storage that it was started with"
        )
    journal = folder / JOURNAL_FOLDER
    if journal.is_dir() and last_claim(read_journal(journal)) == newest:
        return
    if folder.exists() and any(folder.iterdir()) and _recorded(folder) != store.location:
        raise InputError(
            f"--out must be a new folder or that of the same run, got {folder} with another; name "
            "another"
        )
    lines, sweep = store.read_journal(), store.read(SWEEP_FILE)
    _check(store, sweep)
    assert sweep is not None
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".{SWEEP_FILE}.tmp"
    temporary.write_bytes(sweep)
    temporary.replace(folder / SWEEP_FILE)
    fetched = folder / f".fetched-{uuid4().hex}"
    fetched.mkdir()
    try:
        (fetched / "000001.log").write_bytes(b"".join(lines))
        if journal.is_dir():
            # It went on elsewhere: what this folder has more is void, and not deleted.
            with contextlib.closing(lock_journal(journal)):
                journal.rename(folder / f"{JOURNAL_FOLDER}-before-{newest}")
        fetched.rename(journal)
    finally:
        shutil.rmtree(fetched, ignore_errors=True)


def _check(store: RunStore, content: bytes | None) -> None:
    """Check that the run is of where it lies: its checkpoints are."""
    sweep: Any = None
    with contextlib.suppress(ValueError, RecursionError):
        sweep = json.loads(content or b"")
    if not isinstance(sweep, dict):
        raise InputError(
            f"--resume must name a run, got {store.location} without a whole {SWEEP_FILE}; it "
            "ended before it began, so start it again with --overwrite"
        )
    location = sweep.get(STORED_AT)
    if location != store.location or not is_plain_name(store.location.rpartition("/")[2]):
        raise InputError(
            f"--resume must name a run where it was written, got {store.location} of one that was "
            f"written to {str(location)[:200]!r}; copy it back there"
        )
