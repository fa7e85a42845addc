"""The journal of a run: all that happened, each written down before it takes effect.

A record is a line: the CRC-32 of what follows in eight hexadecimal digits, a blank, and a JSON
object with the record's number and kind. Numbers ascend by one over all files of the folder; each
process that writes begins a file of its own. So a record that a crash tore is known (the last one,
without its line's end or with a wrong sum: it is dropped), and one that was changed or lost in the
middle is too (`JournalError`: nothing goes on from it).
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import json
import os
import threading
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, Protocol

from trainables.errors import InputError

_SUFFIX: Final = ".log"


class JournalError(InputError):
    """A journal that can't be trusted; the message names the file and the offset."""


@dataclass(frozen=True)
class Event:
    """A record of the journal.

    Attributes:
        number: from 0, over the whole run.
        kind: what happened.
        fields: of the kind, of JSON's types.
    """

    number: int
    kind: str
    fields: Mapping[str, Any]


class Write(Protocol):
    """Writes an event down; see `Journal.append`."""

    def __call__(self, kind: str, *, is_synced: bool = False, **fields: Any) -> None:
        """See `Journal.append`."""
        ...


class Follower(Protocol):
    """What copies a journal elsewhere, where other machines may take the run over."""

    @property
    def first_lease(self) -> int:
        """Greater than all leases of processes that wrote the run, on any machine."""
        ...

    def nudge(self) -> None:
        """Hear of a decision that should be copied soon; returns at once."""
        ...

    def is_ours(self) -> bool:
        """Tell whether no other process has taken the run over."""
        ...


class Journal:
    """Appends to a run's journal; one process at a time.

    Args:
        folder: the journal's; made if it isn't there.
        next_number: of the first record, as `read_journal` leaves it.
        follower: copies what is appended; None: nobody.

    Raises:
        InputError: if another process writes this journal now.
    """

    def __init__(
        self, folder: Path, next_number: int = 0, follower: Follower | None = None
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._lock_file = lock_journal(folder)
        self._follower = follower
        self._number = next_number
        self._guard = threading.Lock()
        # Not buffered: what was appended is the system's, and outlives this process.
        self._file = _segment(folder, len(_segments(folder)) + 1).open("ab", buffering=0)
        _sync_folder(folder)

    def append(self, kind: str, *, is_synced: bool = False, **fields: Any) -> None:
        """Append a record.

        Args:
            kind: what happened.
            is_synced: wait until the disk has it (and all before), not only the system.
            fields: of JSON's types; NaN is one of them.
        """
        with self._guard:
            content = json.dumps({"n": self._number, "kind": kind, **fields}).encode()
            self._file.write(b"%08x %s\n" % (zlib.crc32(content), content))
            self._number += 1
            if is_synced:
                os.fsync(self._file.fileno())
        if is_synced and self._follower is not None:
            self._follower.nudge()

    @property
    def first_lease(self) -> int:
        """Greater than all leases of processes of other machines, of which it may not tell."""
        return 1 if self._follower is None else self._follower.first_lease

    def is_ours(self) -> bool:
        """Tell whether no process of another machine has taken the run over."""
        return self._follower is None or self._follower.is_ours()

    def close(self) -> None:
        """Wait until the disk has everything; let others write."""
        with self._guard:
            os.fsync(self._file.fileno())
            self._file.close()
            self._lock_file.close()


def lock_journal(folder: Path) -> IO[str]:
    """Return the open file that keeps other processes of this machine from a journal.

    Raises:
        InputError: if another process writes it now.
    """
    lock_file = (folder / "lock").open("a")
    try:
        fcntl.flock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock_file.close()
        raise InputError(
            f"--resume must name a run that has ended, got {folder.parent}, which another "
            "process is writing; wait for it or stop it"
        ) from None
    return lock_file


class JournalTail:
    """Reads what is appended to a journal, from some record on.

    Args:
        folder: the journal's; torn records were cut off, as `read_journal` does.
        first: number of the first record to be read.
    """

    def __init__(self, folder: Path, first: int) -> None:
        self.number = 0
        """Of the next record."""
        self._folder = folder
        self._file = 1
        self._offset = 0
        while self.number < first and (lines := self._read(first - self.number)):
            self.number += len(lines)

    def read(self, max_records: int) -> list[bytes]:
        """Return records that were appended since, as lines; at most so many."""
        lines = self._read(max_records)
        self.number += len(lines)
        return lines

    def _read(self, max_records: int) -> list[bytes]:
        while True:
            lines = []
            with (
                contextlib.suppress(FileNotFoundError),
                _segment(self._folder, self._file).open("rb") as file,
            ):
                file.seek(self._offset)
                lines = list(itertools.islice(file, max_records))
            if lines and not lines[-1].endswith(b"\n"):
                lines.pop()  # it is being written
            self._offset += sum(map(len, lines))
            if lines or not _segment(self._folder, self._file + 1).exists():
                return lines
            self._file, self._offset = self._file + 1, 0


def read_journal(folder: Path) -> list[Event]:
    """Return what a run's journal holds; a record that a crash tore is cut off.

    Raises:
        JournalError: if a record in the middle is broken, or some are missing.
    """
    events: list[Event] = []
    for path in _segments(folder):
        for event, offset in _read_segment(path):
            if event.number != len(events):
                raise JournalError(
                    f"journal must number its records one by one, got {event.number} after "
                    f"{len(events) - 1} at byte {offset} of {path}; restore that file from a copy"
                )
            events.append(event)
    return events


def _read_segment(path: Path) -> Iterator[tuple[Event, int]]:
    """Yield the records of a file and where they begin; cut a torn one off its end."""
    content = path.read_bytes()
    offset = 0
    while offset < len(content):
        end = content.find(b"\n", offset)
        event = None if end < 0 else parse_record(content[offset:end])
        if event is None:
            if end not in (-1, len(content) - 1):
                raise JournalError(
                    f"journal must hold whole records, got a broken one at byte {offset} of "
                    f"{path}; restore that file from a copy"
                )
            os.truncate(path, offset)
            return
        yield event, offset
        offset = end + 1


def parse_record(line: bytes) -> Event | None:
    """Return a record from its line, without the line's end; None if it is broken."""
    found, blank, content = line.partition(b" ")
    if not blank or found != b"%08x" % zlib.crc32(content):
        return None
    try:
        fields = json.loads(content)
        number, kind = fields.pop("n"), fields.pop("kind")
    except (ValueError, KeyError, AttributeError, TypeError, IndexError):
        return None
    return Event(number, kind, fields) if type(number) is int and type(kind) is str else None


def _segment(folder: Path, number: int) -> Path:
    return folder / f"{number:06d}{_SUFFIX}"


def _segments(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"*{_SUFFIX}"))


def _sync_folder(folder: Path) -> None:
    """Wait until the disk knows of a new file."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
