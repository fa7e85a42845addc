import pytest

from sweeps.journal import parse_record
from sweeps.run_claim import claim_run, open_store
from sweeps.run_store import RunStore
from tests.stored_journal import stored
from trainables.errors import InputError


def events(store):
    return [parse_record(line[:-1]) for line in store.read_journal()]


def test_without_a_storage_there_is_none():
    assert open_store(None, is_resumed=False, overwrite=False) is None


def test_a_new_run_takes_no_others_place(tmp_path):
    stored(tmp_path / "run", "ab")
    location = str(tmp_path / "run")
    with pytest.raises(InputError, match=r"in use; .* go on with it: --resume "):
        open_store(location, is_resumed=False, overwrite=False)
    assert open_store(location, is_resumed=True, overwrite=False) is not None
    store = open_store(location, is_resumed=False, overwrite=True)
    claim = claim_run(store, None, overwrite=True)
    assert store.claims() == [claim]
    assert store.read_journal() == []


def test_a_run_goes_on_after_what_its_storage_holds(tmp_path):
    store = stored(tmp_path, "abc")
    (before,) = store.claims()
    with pytest.raises(InputError, match=r"another process .* is writing"):
        claim_run(store, events(store)[:2])  # one more came since it was read
    with pytest.raises(InputError, match=r"another process .* is writing"):
        claim_run(store, events(store))  # of a process that this journal doesn't know
    assert store.claims() == [before]


def test_a_claim_after_which_nothing_came_is_no_process_that_writes(tmp_path):
    store = stored(tmp_path, "abc")
    silent = store.claim(store.claims()[0], 3)
    claim = claim_run(store, events(store))
    assert (claim.generation, claim.first) == (silent.generation + 1, 3)


def test_two_that_claim_at_once_are_one(tmp_path, monkeypatch):
    store = stored(tmp_path, "abc")
    silent = store.claim(store.claims()[0], 3)
    known = events(store)
    write = RunStore.write

    def write_second(self, name, content):
        monkeypatch.setattr(RunStore, "write", write)
        write(self, "claims/000003-ffffffff.json", content)  # another's, a moment before
        write(self, name, content)

    monkeypatch.setattr(RunStore, "write", write_second)
    with pytest.raises(InputError, match=r"another process .* is writing"):
        claim_run(store, known)
    assert store.newest_claim() == "000003-ffffffff"
    assert silent.name < "000003"


def test_a_storage_that_can_not_be_read_is_one_line(tmp_path):
    (tmp_path / "run").write_text("a file")
    with pytest.raises(InputError, match="--storage must be one that can be read") as told:
        claim_run(RunStore(str(tmp_path / "run" / "x")), None)
    assert "\n" not in str(told.value)


def test_what_is_no_run_is_not_deleted(tmp_path):
    (tmp_path / "letters.txt").write_text("dear")
    with pytest.raises(InputError, match=r"--overwrite must name a run, got .* without one"):
        open_store(str(tmp_path), is_resumed=False, overwrite=True)
    assert (tmp_path / "letters.txt").read_text() == "dear"
    assert open_store(str(tmp_path / "new"), is_resumed=False, overwrite=True) is not None


def test_of_two_new_runs_of_one_name_one_goes_on(tmp_path):
    store = RunStore(str(tmp_path))
    claims = []
    for _ in range(20):  # by the token, which is drawn
        try:
            claims.append(claim_run(store, None).name)
        except InputError:
            assert claims
    assert claims == sorted(claims)
    assert store.newest_claim() == claims[-1]
