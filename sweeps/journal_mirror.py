"""Copies a run's journal to its storage while it is written, so that any machine can go on.

A thread reads what the local journal has more than the storage and writes it there as a new object,
every second and soon after a decision. The local file is the buffer: while the storage is out the
thread waits, and then goes on where it was, in the order in which things happened.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final

from analysis.records import GANGS_FILE, JOURNAL_FOLDER, SWEEP_FILE
from sweeps.journal import JournalTail
from sweeps.run_store import Claim, Part, RunStore
from trainables.storage_outage import LONGEST_WAIT_S, ride_out

INTERVAL_S: Final = 1.0
"""Seconds between two objects at most, while there is something to write."""

MIN_INTERVAL_S: Final = 0.25
"""Seconds between two objects at least, however many decisions are made."""

CLOSE_TIMEOUT_S: Final = 10.0
"""Seconds that the end of a sweep waits for a storage that is out."""

MAX_RECORDS: Final = 4096
"""Records of one object."""

MERGED_PARTS: Final = 256
"""Objects after which all of them are written again as one: a resume reads them one by one."""

MERGED_RECORDS: Final = 4 * MAX_RECORDS
"""Records after which they are, too: they are kept in memory until then."""

DELETIONS_PER_ROUND: Final = 16

LEASES_PER_GENERATION: Final = 1_000_000
"""Leases of each process are numbered on from a multiple of it: what a process that was thought
dead still writes has other names than the checkpoints of the one that went on."""

CONFIRMED_S: Final = 2.0
"""For so long a claim that was looked up is believed."""


class _TakenOverError(Exception):
    """Another process goes on with the run."""


class _TooLateError(Exception):
    """The storage is out, and the sweep at its end."""


class JournalMirror:
    """Follows a run's journal; see the module's text.

    Args:
        store: where the run lies.
        claim: of this process.
        run: the run folder.
    """

    def __init__(self, store: RunStore, claim: Claim, run: Path) -> None:
        self.claim = claim
        self._store = store
        self._run_folder = run
        self._tail = JournalTail(run / JOURNAL_FOLDER, claim.first)
        self._unsent: tuple[int, list[bytes]] | None = None  # read, not yet written
        self._recent: list[tuple[Part, list[bytes]]] = []  # written since the last merge
        self._merged: deque[Part] = deque()  # to be deleted
        self._sent_files: dict[str, int] = {}  # time of the last change, by name
        self._guard = threading.Lock()
        self._confirmed_s = time.monotonic()
        self._is_lost = False
        self._wake, self._closing = threading.Event(), threading.Event()
        self._deadline_s = float("inf")
        self._thread: threading.Thread | None = None
        self._tell: Callable[[str], None] = print
        self._stop: Callable[[], None] = lambda: None

    @property
    def first_lease(self) -> int:
        """Greater than all leases of processes that wrote the run, on any machine."""
        generation = self.claim.generation
        return 1 if generation == 1 else generation * LEASES_PER_GENERATION

    def start(self, tell: Callable[[str], None], stop: Callable[[], None]) -> None:
        """Begin to write.

        Args:
            tell: shows a line to the user.
            stop: ends the sweep: another process goes on with it.
        """
        self._tell, self._stop = tell, stop
        self._thread = threading.Thread(target=self._work, name="journal-mirror", daemon=True)
        self._thread.start()

    def nudge(self) -> None:
        """Write soon."""
        self._wake.set()

    def is_ours(self) -> bool:
        """Tell whether no other process has taken the run over; looked up every few seconds.

        Raises:
            OSError: if that can't be known now.
        """
        with self._guard:
            if not self._is_lost and time.monotonic() - self._confirmed_s > CONFIRMED_S:
                self._is_lost = self._store.newest_claim() != self.claim.name
                self._confirmed_s = time.monotonic()
            return not self._is_lost

    def close(self) -> None:
        """Write the rest, and the tables; wait for a storage that is out, but not for long."""
        if self._thread is None:
            return
        self._deadline_s = time.monotonic() + CLOSE_TIMEOUT_S
        self._closing.set()
        self._wake.set()
        self._thread.join(CLOSE_TIMEOUT_S)
        if self._thread.is_alive() or self._unsent is not None:
            self._tell(
                f"{self._store.location} misses the end of the journal: go on with the run here, "
                "where it is whole"
            )

    def _work(self) -> None:
        try:
            while not self._closing.is_set():
                self._wake.wait(INTERVAL_S)
                self._closing.wait(MIN_INTERVAL_S)  # what comes together goes together
                self._wake.clear()
                self._ride_out(lambda: self._send([SWEEP_FILE]))
            tables = [path.name for path in self._run_folder.glob("*.parquet")]
            self._ride_out(lambda: self._send([*sorted(tables), GANGS_FILE, SWEEP_FILE]))
        except _TooLateError:
            pass
        except _TakenOverError:
            self._unsent = None  # it is void
            self._tell(
                f"another process goes on with {self._store.location}: this one ends, and writes "
                "nothing there any more"
            )
            self._stop()

    def _ride_out(self, send: Callable[[], None]) -> None:
        """Try until it is written; also where waiting may not help, as with expired credentials."""
        is_told = False
        while True:
            try:
                ride_out(send, "the journal, to be copied,", self._tell, self._sleep)
                return
            except OSError as error:
                if not is_told:
                    line = str(error).partition("\n")[0]
                    self._tell(f"the journal can't be copied to {self._store.location}: {line}")
                is_told = True
                self._sleep(LONGEST_WAIT_S)

    def _sleep(self, seconds: float) -> None:
        if not self._closing.wait(seconds):
            return
        if time.monotonic() + 1.0 > self._deadline_s:
            raise _TooLateError
        time.sleep(0.5)

    def _send(self, files: list[str]) -> None:
        """Write what there is; where it fails, the same call goes on where it was."""
        while True:
            if self._unsent is None:
                first = self._tail.number
                lines = self._tail.read(MAX_RECORDS)
                self._unsent = (first, lines) if lines else None
            if self._unsent is None:
                break
            self._check_claim()
            part = self._store.write_part(self.claim, *self._unsent)
            self._recent.append((part, self._unsent[1]))
            self._unsent = None
        if not self.is_ours():
            raise _TakenOverError
        self._merge()
        for name in files:
            self._send_file(name)

    def _check_claim(self) -> None:
        with self._guard:
            self._is_lost = self._is_lost or self._store.newest_claim() != self.claim.name
            self._confirmed_s = time.monotonic()
            if self._is_lost:
                raise _TakenOverError

    def _merge(self) -> None:
        lines = [line for _, some in self._recent for line in some]
        if len(self._recent) > 1 and (
            len(self._recent) >= MERGED_PARTS or len(lines) >= MERGED_RECORDS
        ):
            self._store.write_part(self.claim, self._recent[0][0].first, lines)
            self._merged.extend(part for part, _ in self._recent)
            self._recent.clear()
        for _ in range(0 if self._closing.is_set() else DELETIONS_PER_ROUND):
            if self._merged:
                self._store.delete_part(self.claim, self._merged[0])
                self._merged.popleft()

    def _send_file(self, name: str) -> None:
        path = self._run_folder / name
        if not path.exists():
            return
        changed_ns = path.stat().st_mtime_ns
        if changed_ns != self._sent_files.get(name):
            self._check_claim()
            self._store.write(name, path.read_bytes())
            self._sent_files[name] = changed_ns
