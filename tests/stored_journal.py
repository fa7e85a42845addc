"""Small journals as they lie in a storage, for tests of whatever reads and writes them."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable
from pathlib import Path

from sweeps.journal import parse_record
from sweeps.run_store import RunStore


def lines(kinds: str, first: int = 0) -> list[bytes]:
    """Return records of one letter's kind each, as lines."""
    contents = [json.dumps({"n": n, "kind": kind}).encode() for n, kind in enumerate(kinds, first)]
    return [b"%08x %s\n" % (zlib.crc32(content), content) for content in contents]


def kinds(lines: Iterable[bytes]) -> str:
    """Return the kinds of records."""
    events = [parse_record(line.removesuffix(b"\n")) for line in lines]
    assert None not in events
    return "".join(event.kind for event in events if event is not None)


def stored(folder: Path, kinds: str) -> RunStore:
    """Return a store in which a process has written records, one an object."""
    store = RunStore(str(folder))
    claim = store.claim(None, 0)
    for number, line in enumerate(lines(kinds)):
        store.write_part(claim, number, [line])
    return store
