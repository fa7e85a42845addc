"""A run that was written elsewhere is brought here; one that is here is left as it is."""

import json

import pytest

from analysis.records import JOURNAL_FOLDER, SWEEP_FILE
from sweeps.fetched_run import bring_run, last_claim, stored_location
from sweeps.journal import Journal, read_journal
from sweeps.run_store import RunStore
from tests.s3_server import BUCKET, s3_server
from tests.stored_journal import lines
from trainables.errors import InputError


@pytest.fixture(scope="module")
def server():
    with s3_server() as server:
        yield server


@pytest.fixture(params=["folder", "s3"])
def storage(request, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if request.param == "folder":
        return str(tmp_path / "storage")
    for name, value in request.getfixturevalue("server").environment.items():
        monkeypatch.setenv(name, value)
    return f"s3://{BUCKET}/{request.function.__name__}"


def write_run(storage, name="run", written_to=None):
    """Let a process of another machine write a run."""
    store = RunStore(f"{storage}/{name}")
    claim = store.claim(None, 0)
    store.write(SWEEP_FILE, json.dumps({"stored_at": written_to or store.location}).encode())
    store.write_part(claim, 0, lines("ab"))
    return store


def kinds_in(folder):
    return "".join(event.kind for event in read_journal(folder / JOURNAL_FOLDER))


def test_a_run_lies_under_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "runs" / "x"
    assert stored_location(None, run) is None
    assert stored_location("s3://bucket/all/", run) == "s3://bucket/all/x"
    assert stored_location("shared", run) == f"{tmp_path}/shared/x"
    assert stored_location("runs", run) is None  # it lies there already


def test_a_name_without_a_folder_is_looked_up_in_the_storage(storage, tmp_path):
    write_run(storage)
    assert bring_run("runs/run", storage, None) == "runs/run"
    folder = tmp_path / "runs" / "run"
    assert kinds_in(folder) == "ab"
    assert json.loads((folder / SWEEP_FILE).read_text())["stored_at"] == f"{storage}/run"
    assert sorted(path.name for path in folder.iterdir()) == [JOURNAL_FOLDER, SWEEP_FILE]


def test_a_uri_is_brought_to_runs_or_where_out_says(server, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    store = write_run(f"s3://{BUCKET}/uri")
    assert bring_run(f"{store.location}/", None, None) == "runs/run"
    assert bring_run(store.location, None, str(tmp_path / "here")) == str(tmp_path / "here")
    assert kinds_in(tmp_path / "runs" / "run") == kinds_in(tmp_path / "here") == "ab"


def test_a_folder_without_a_storage_is_left_as_it_is(tmp_path):
    (tmp_path / SWEEP_FILE).write_text("{}")
    assert bring_run(str(tmp_path), None, None) == str(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [SWEEP_FILE]


def test_a_folder_that_has_more_than_the_storage_is_left_as_it_is(storage, tmp_path):
    store = RunStore(f"{storage}/run")
    claim = store.claim(None, 0)
    folder = tmp_path / "run"
    journal = Journal(folder / JOURNAL_FOLDER)
    journal.append("process", claim=claim.name)
    journal.append("a")
    journal.close()
    (folder / SWEEP_FILE).write_text(json.dumps({"stored_at": store.location}))
    bring_run(str(folder), None, None)
    assert last_claim(read_journal(folder / JOURNAL_FOLDER)) == claim.name
    assert kinds_in(folder) == "processa"


def test_a_run_that_went_on_elsewhere_is_brought_again(storage, tmp_path):
    store = write_run(storage)
    folder = tmp_path / "runs" / "run"
    bring_run("runs/run", storage, None)
    journal = Journal(folder / JOURNAL_FOLDER, 2)
    journal.append("x")  # void: another went on from the second record
    journal.close()
    (claim,) = store.claims()
    store.write_part(store.claim(claim, 2), 2, lines("cd", first=2))
    bring_run("runs/run", None, None)
    assert kinds_in(folder) == "abcd"
    (before,) = folder.glob(f"{JOURNAL_FOLDER}-before-000002-*")
    assert (before / "000002.log").read_text().count('"kind": "x"') == 1


def test_what_another_process_of_this_machine_writes_is_not_replaced(storage, tmp_path):
    write_run(storage)
    bring_run("runs/run", storage, None)
    journal = Journal(tmp_path / "runs" / "run" / JOURNAL_FOLDER, 2)
    with pytest.raises(InputError, match="which another process is writing"):
        bring_run("runs/run", None, None)
    journal.close()
    bring_run("runs/run", None, None)


def test_another_runs_folder_is_not_overwritten(server, monkeypatch, tmp_path):
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    store = write_run(f"s3://{BUCKET}/another")
    (tmp_path / SWEEP_FILE).write_text('{"stored_at": "s3://other/run"}')
    with pytest.raises(InputError, match="--out must be a new folder or that of the same run"):
        bring_run(store.location, None, str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == [SWEEP_FILE]


@pytest.mark.parametrize(
    ("resume", "words"),
    [
        ("s3://KEY:hunter2@bucket/run", "must be a folder or URI without credentials"),
        ("s3://bucket/run?endpoint_override=x", "must be a folder or URI without credentials"),
        ("nowhere://bucket/run", "--storage must be a folder or URI that pyarrow opens"),
        ("s3://nosuchbucket/run", "whose storage can be read|got s3://nosuchbucket/run without"),
        (f"s3://{BUCKET}/none", f"must name a run, got s3://{BUCKET}/none without one"),
    ],
)
def test_what_is_no_run_is_one_line_without_secrets(server, monkeypatch, tmp_path, resume, words):
    monkeypatch.chdir(tmp_path)
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=words) as told:
        bring_run(resume, None, None)
    assert "hunter2" not in str(told.value)
    assert "\n" not in str(told.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("sweep", [None, b"", b"[]", b'{"stored_at": "s3://elsewhere/run"}'])
def test_a_run_that_is_not_whole_or_of_elsewhere_is_refused(tmp_path, monkeypatch, sweep):
    monkeypatch.chdir(tmp_path)
    store = RunStore(str(tmp_path / "storage" / "run"))
    store.write_part(store.claim(None, 0), 0, lines("a"))
    if sweep is not None:
        store.write(SWEEP_FILE, sweep)
    with pytest.raises(InputError, match="--resume must name a run"):
        bring_run("runs/run", str(tmp_path / "storage"), None)
    assert not (tmp_path / "runs").exists()
