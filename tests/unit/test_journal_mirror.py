"""What the copy of a journal holds while it is written, in outages, and at the end."""

import json
import time

import pytest

from analysis.records import JOURNAL_FOLDER, SWEEP_FILE
from sweeps import journal_mirror
from sweeps.journal import Journal, JournalTail, read_journal
from sweeps.journal_mirror import JournalMirror
from sweeps.run_claim import claim_run
from sweeps.run_store import RunStore
from tests.s3_server import BUCKET, s3_server
from tests.stored_journal import kinds


class Run:
    """A run folder whose journal is mirrored."""

    def __init__(self, folder, store):
        self.folder, self.store = folder, store
        self.said, self.stops = [], []
        self.events = read_journal(folder / JOURNAL_FOLDER)
        self.claim = claim_run(store, self.events or None)
        self.mirror = JournalMirror(store, self.claim, folder)
        self.journal = Journal(folder / JOURNAL_FOLDER, len(self.events), self.mirror)
        self.journal.append("process", claim=self.claim.name)

    def start(self):
        self.mirror.start(self.said.append, lambda: self.stops.append(True))
        return self

    def write(self, kinds, is_synced=False):
        for kind in kinds:
            self.journal.append(kind, is_synced=is_synced)

    def end(self):
        self.journal.close()
        self.mirror.close()

    def stored(self):
        return kinds_of(self.store)


def kinds_of(store):
    return kinds(store.read_journal()).replace("process", "|")


def wait_for(condition):
    deadline_s = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


@pytest.fixture
def store(tmp_path):
    return RunStore(str(tmp_path / "storage" / "run"))


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(journal_mirror, "INTERVAL_S", 0.02)
    monkeypatch.setattr(journal_mirror, "MIN_INTERVAL_S", 0.0)


def test_a_tail_reads_what_is_appended_from_any_record_on(tmp_path):
    journal = Journal(tmp_path)
    for kind in "abc":
        journal.append(kind)
    for first in range(4):
        tail = JournalTail(tmp_path, first)
        assert kinds(tail.read(2) + tail.read(9)) == "abc"[first:]
        assert tail.number == 3
    journal.close()
    second = Journal(tmp_path, 3)
    second.append("d")
    assert kinds(tail.read(9)) == "d"
    assert tail.read(9) == []
    whole = (tmp_path / "000002.log").read_bytes()
    for cut in range(1, len(whole)):  # one that is being written
        (tmp_path / "000002.log").write_bytes(whole[:cut])
        assert JournalTail(tmp_path, 3).read(9) == []


def test_what_is_appended_is_copied_at_once_after_a_decision(tmp_path, store, monkeypatch):
    monkeypatch.setattr(journal_mirror, "INTERVAL_S", 60.0)
    run = Run(tmp_path / "run", store).start()
    run.write("ab")
    run.write("c", is_synced=True)
    wait_for(lambda: run.stored() == "|abc")
    run.end()
    assert run.said == []


def test_the_end_is_copied_with_the_tables(tmp_path, store, quick):
    run = Run(tmp_path / "run", store).start()
    (run.folder / SWEEP_FILE).write_text('{"status": "running"}')
    wait_for(lambda: store.read(SWEEP_FILE) is not None)
    (run.folder / "trials.parquet").write_bytes(b"t")
    run.write("ab")
    (run.folder / SWEEP_FILE).write_text('{"status": "finished"}')
    run.end()
    assert run.stored() == "|ab"
    assert json.loads(store.read(SWEEP_FILE)) == {"status": "finished"}
    assert store.read("trials.parquet") == b"t"


def test_many_small_objects_become_one(tmp_path, store, quick, monkeypatch):
    monkeypatch.setattr(journal_mirror, "MERGED_PARTS", 4)
    run = Run(tmp_path / "run", store).start()
    folder = tmp_path / "storage" / "run" / "journal" / run.claim.name

    def is_small():
        return folder.is_dir() and len(list(folder.iterdir())) <= 5

    for number, kind in enumerate("abcdefghijkl", 2):
        run.write(kind)
        wait_for(lambda number=number: len(kinds_of(store)) == number)
    wait_for(is_small)
    run.end()
    assert run.stored() == "|abcdefghijkl"


def test_a_process_that_was_replaced_says_so_ends_and_writes_nothing_more(tmp_path, store, quick):
    old = Run(tmp_path / "run", store).start()
    old.write("ab")
    wait_for(lambda: old.stored() == "|ab")
    other = tmp_path / "other"
    (other / JOURNAL_FOLDER).mkdir(parents=True)
    (other / JOURNAL_FOLDER / "000001.log").write_bytes(b"".join(store.read_journal()))
    new = Run(other, RunStore(store.location)).start()
    wait_for(lambda: old.stops)
    assert "another process goes on" in old.said[0]
    assert not old.mirror.is_ours()
    assert new.mirror.is_ours()
    old.write("xyz", is_synced=True)
    new.write("cd")
    old.end()
    new.end()
    assert new.stored() == "|ab|cd"
    assert new.said == []
    assert (old.mirror.first_lease, new.mirror.first_lease) == (1, 2_000_000)


def test_what_a_killed_process_had_not_copied_its_successor_copies(tmp_path, store, quick):
    old = Run(tmp_path / "run", store).start()
    old.write("a")
    old.end()
    journal = Journal(old.folder / JOURNAL_FOLDER, 2)
    journal.append("b")  # as if the process had been killed before it was copied
    journal.close()
    new = Run(old.folder, store).start()
    new.write("c")
    new.end()
    assert new.stored() == "|ab|c"


def test_an_outage_is_waited_for_and_nothing_is_lost_or_out_of_order(tmp_path, monkeypatch, quick):
    """It takes some seconds: so long the AWS SDK tries by itself."""
    with s3_server() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        run = Run(tmp_path / "run", RunStore(f"s3://{BUCKET}/outage/run")).start()
        run.write("ab")
        wait_for(lambda: run.stored() == "|ab")
        server.stop()
        run.write("cdefg", is_synced=True)
        wait_for(lambda: run.said)
        run.write("hij")
        server.start()
        wait_for(lambda: run.stored() == "|abcdefghij")
        run.end()
    assert "the journal, to be copied, waits for the storage: it doesn't answer" in run.said[0]
    assert run.said[1:] == ["the journal, to be copied, goes on: the storage is there again"]


class Out:
    """A store that refuses to write; only what the mirror asks of one."""

    location = "out://there/run"

    def __init__(self, claim):
        self._claim = claim

    def newest_claim(self):
        return self._claim.name

    def write_part(self, claim, first, lines):
        raise OSError("no rights")


def test_a_storage_that_is_out_at_the_end_is_not_waited_for_long(
    tmp_path, store, quick, monkeypatch
):
    monkeypatch.setattr(journal_mirror, "CLOSE_TIMEOUT_S", 0.5)
    run = Run(tmp_path / "run", store)
    run.mirror = JournalMirror(Out(run.claim), run.claim, run.folder)
    run.start()
    run.write("ab")
    run.end()
    assert any("can't be copied to out://there/run: no rights" in line for line in run.said)
    assert "misses the end of the journal: go on with the run here" in run.said[-1]
