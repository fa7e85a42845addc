"""A run as it lies in a storage (`--storage`): what another machine needs to go on with it.

    claims/GENERATION-TOKEN.json              a process that wrote the run, and from which record on
    journal/GENERATION-TOKEN/FIRST-UNTIL.log  records FIRST, ..., UNTIL - 1 of the journal
    sweep.json, *.parquet                     as in the run folder
    checkpoints/                              see `trainables.checkpoint_store`

Objects of `claims/` and `journal/` are written once, whole, and under names that never come again,
so a reader sees no half of one. pyarrow.fs has no conditional writes, so nothing keeps a process
that was thought dead from writing on; therefore it is the reader who decides. The claim with the
greatest name holds. It names the claim whose process its own goes on from, and the record from
which on: what that process wrote counts up to there, and no further, and so on back to the first.
A claim that isn't among these lost against another of the same moment, and counts for nothing.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import re
import secrets
import socket
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.fs

from sweeps.journal import JournalError, parse_record
from trainables.checkpoint_store import open_location, read_file, write_file
from trainables.errors import InputError

_CLAIMS: Final = "claims"
_CLAIM_NAME: Final = re.compile(r"(\d{6})-[0-9a-f]{8}")
_PART_NAME: Final = re.compile(r"(\d{12})-(\d{12})\.log")
_NUM_READERS: Final = 16
_MAX_LISTINGS: Final = 5


@dataclass(frozen=True)
class Claim:
    """A process's word that it writes the run from now on.

    Attributes:
        name: GENERATION-TOKEN.
        after: name of the claim whose process this one goes on from; None: it began the run.
        first: number of the first record that is its own.
        host: on which it runs.
    """

    name: str
    after: str | None
    first: int
    host: str

    @property
    def generation(self) -> int:
        """From 1; of each process of a run, if they don't begin at the same time."""
        return int(self.name.partition("-")[0])


@dataclass(frozen=True, order=True)
class Part:
    """An object that holds a piece of the journal.

    Attributes:
        first: number of its first record.
        until: that of the record after its last one.
    """

    first: int
    until: int

    @property
    def name(self) -> str:
        """Of the object."""
        return f"{self.first:012d}-{self.until:012d}.log"


class RunStore:
    """Reads and writes a run in a storage; see the module's text.

    Methods raise `OSError` for a storage that is out, or that can't be used.

    Args:
        location: STORAGE/NAME: a URI, or a folder that all machines reach.

    Raises:
        InputError: if pyarrow can't open it.
    """

    def __init__(self, location: str) -> None:
        self.location = location
        try:
            self._filesystem, self._path = open_location(location)
        except (OSError, ValueError, pa.ArrowException) as error:
            line = str(error).partition("\n")[0]
            raise InputError(
                f"--storage must be a folder or URI that pyarrow opens, got {location} ({line}); "
                "check the scheme and the credentials"
            ) from None

    # --- objects -----------------------------------------------------------------------------

    def is_empty(self) -> bool:
        """Tell whether no run lies there."""
        return not self._names("")

    def delete_all(self) -> None:
        """Delete the run."""
        self._filesystem.delete_dir_contents(self._path, missing_dir_ok=True)

    def read(self, name: str) -> bytes | None:
        """Return what an object holds; None if it isn't there."""
        try:
            return read_file(self._filesystem, f"{self._path}/{name}")
        except FileNotFoundError:
            return None

    def write(self, name: str, content: bytes) -> None:
        """Write an object, whole or not at all."""
        path = f"{self._path}/{name}"
        if isinstance(self._filesystem, pyarrow.fs.LocalFileSystem):
            self._filesystem.create_dir(path.rpartition("/")[0], recursive=True)
        write_file(self._filesystem, path, content)

    def _names(self, folder: str) -> list[str]:
        selector = pyarrow.fs.FileSelector(f"{self._path}/{folder}", allow_not_found=True)
        return sorted(info.base_name for info in self._filesystem.get_file_info(selector))

    # --- claims ------------------------------------------------------------------------------

    def newest_claim(self) -> str | None:
        """Return the name of the claim that holds; None if nobody has claimed the run."""
        names = (name.removesuffix(".json") for name in self._names(_CLAIMS))
        return max(filter(_CLAIM_NAME.fullmatch, names), default=None)

    def claims(self) -> list[Claim]:
        """Return the claims that count, that which holds last.

        Raises:
            JournalError: if one can't be read.
        """
        found: list[Claim] = []
        name = self.newest_claim()
        while name is not None:
            found.append(self._claim(name))
            name = found[-1].after
        return found[::-1]

    def _claim(self, name: str) -> Claim:
        content: Any = None
        with contextlib.suppress(ValueError, RecursionError):
            content = json.loads(self.read(f"{_CLAIMS}/{name}.json") or b"")
        if isinstance(content, dict):
            first, after, host = (content.get(key) for key in ("first", "after", "host"))
            is_later = after is None or (
                isinstance(after, str) and bool(_CLAIM_NAME.fullmatch(after)) and after < name
            )
            if type(first) is int and first >= 0 and is_later:
                return Claim(name, after, first, str(host))
        raise JournalError(
            f"claim must be a JSON object with first, after and host, got another in "
            f"{self.location}/{_CLAIMS}/{name}.json; restore that object from a copy"
        )

    def claim(self, after: Claim | None, first: int) -> Claim:
        """Say that this process writes the run from now on.

        Args:
            after: that held before.
            first: number of the first record that is this process's own.

        Returns:
            The claim; it holds only if it is the newest one once it is written.
        """
        generation = 1 if after is None else after.generation + 1
        name = f"{generation:06d}-{secrets.token_hex(4)}"
        claim = Claim(name, None if after is None else after.name, first, socket.gethostname())
        content = {**dataclasses.asdict(claim), "unix_s": time.time()}
        self.write(f"{_CLAIMS}/{name}.json", json.dumps(content).encode())
        return claim

    # --- the journal -------------------------------------------------------------------------

    def write_part(self, claim: Claim, first: int, lines: Sequence[bytes]) -> Part:
        """Write records of the journal; return the object that holds them."""
        part = Part(first, first + len(lines))
        self.write(_part_path(claim, part), b"".join(lines))
        return part

    def delete_part(self, claim: Claim, part: Part) -> None:
        """Delete an object of the journal that another holds too; one that is gone is fine."""
        with contextlib.suppress(FileNotFoundError):
            self._filesystem.delete_file(f"{self._path}/{_part_path(claim, part)}")

    def num_records(self, claim: Claim) -> int:
        """Return the number of the next record, as the process of the claim that holds left it."""
        return max([claim.first, *(part.until for part in self._parts(claim))])

    def _parts(self, claim: Claim) -> list[Part]:
        found = (_PART_NAME.fullmatch(name) for name in self._names(f"journal/{claim.name}"))
        parts = sorted(Part(int(name[1]), int(name[2])) for name in found if name is not None)
        return [part for part in parts if part.first < part.until]

    def read_journal(self) -> list[bytes]:
        """Return the records of the run, each as a line with its end.

        Raises:
            JournalError: if one is broken, or some are missing.
        """
        for attempt in range(1, _MAX_LISTINGS + 1):
            try:
                return self._read_journal()
            except FileNotFoundError:  # merged into another since it was listed
                if attempt == _MAX_LISTINGS:
                    raise
        raise AssertionError

    def _read_journal(self) -> list[bytes]:
        claims = self.claims()
        lines: list[bytes] = []
        with ThreadPoolExecutor(_NUM_READERS) as pool:
            for index, claim in enumerate(claims):
                end = claims[index + 1].first if index + 1 < len(claims) else None
                chain = list(self._chain(claim, end))
                if chain and claim.first > len(lines):
                    raise self._gap(claim, len(lines))
                paths = [f"{self._path}/{_part_path(claim, part)}" for part in chain]
                contents = pool.map(lambda path: read_file(self._filesystem, path), paths)
                for part, content in zip(chain, contents, strict=True):
                    found = _records(content, part, f"{self.location}/{_part_path(claim, part)}")
                    lines += found[len(lines) - part.first :]
                lines = lines[:end]
        return lines

    def _chain(self, claim: Claim, end: int | None) -> Iterator[Part]:
        """Yield what holds a process's records, each once, up to the record `end`."""
        position = claim.first
        waiting = self._parts(claim)[::-1]
        while end is None or position < end:
            holding = []
            while waiting and waiting[-1].first <= position:
                holding.append(waiting.pop())
            part = max(holding, key=lambda part: part.until, default=None)
            if part is None or part.until <= position:
                break
            yield part
            position = part.until
        if (end is None and waiting) or (end is not None and position < end):
            raise self._gap(claim, position)

    def _gap(self, claim: Claim, number: int) -> JournalError:
        return JournalError(
            f"journal must hold all its records, got none of number {number} in "
            f"{self.location}/journal up to {claim.name}; restore its objects from a copy"
        )


def _part_path(claim: Claim, part: Part) -> str:
    return f"journal/{claim.name}/{part.name}"


def _records(content: bytes, part: Part, where: str) -> list[bytes]:
    """Return the lines of an object.

    Raises:
        JournalError: if they are not the records that its name says.
    """
    lines = io.BytesIO(content).readlines()
    offset = 0
    for number, line in enumerate(lines, part.first):
        event = parse_record(line[:-1]) if line.endswith(b"\n") else None
        if event is None or event.number != number:
            raise JournalError(
                f"journal must hold whole records, got a broken one at byte {offset} of {where}; "
                "restore that object from a copy"
            )
        offset += len(line)
    if len(lines) != part.until - part.first:
        raise JournalError(
            f"journal must hold all its records, got {len(lines)} in {where}, which names "
            f"{part.until - part.first}; restore that object from a copy"
        )
    return lines
