import json
import os
import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analysis.records import SWEEP_FILE
from sweeps.run_folder import RunFolder, default_run_path
from trainables.errors import InputError

SCHEMA = pa.schema([pa.field("epoch", pa.int32(), nullable=False), pa.field("loss", pa.float64())])


def listing(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.fixture
def other_run(tmp_path):
    folder = tmp_path / "other"
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "checkpoints" / "state.pt").touch()
    (folder / SWEEP_FILE).write_text("{}")
    return folder


def test_a_new_folder_is_made_only_by_create(tmp_path):
    folder = RunFolder(tmp_path / "runs" / "x", overwrite=False)
    assert listing(tmp_path) == []
    folder.create()
    assert folder.path.is_dir()
    assert folder.checkpoints == folder.path / "checkpoints"
    assert folder.tensorboard.parent == folder.path
    assert folder.log_path.parent == folder.path


def test_an_empty_folder_may_be_used(tmp_path):
    RunFolder(tmp_path, overwrite=False).create()
    RunFolder(tmp_path, overwrite=True).create()
    assert listing(tmp_path) == []


def test_a_relative_path_stays_where_it_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = RunFolder(default_run_path("pbt"), overwrite=False)
    monkeypatch.chdir("/")
    assert folder.path.parent == tmp_path / "runs"
    assert re.fullmatch(r"pbt-\d{8}-\d{6}", folder.path.name)


def test_overwriting_deletes_the_other_run_only_at_create(other_run):
    before = listing(other_run)
    folder = RunFolder(other_run, overwrite=True)
    assert listing(other_run) == before
    folder.create()
    assert listing(other_run) == []


def refusal(path, *, overwrite=False):
    with pytest.raises(InputError) as caught:
        RunFolder(path, overwrite=overwrite)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_run_in_use_is_refused_and_left_alone(other_run):
    before = listing(other_run)
    message = refusal(other_run)
    assert message.startswith(f"--out must be a new or empty folder, got {other_run} in use; ")
    assert "--overwrite" in message
    assert listing(other_run) == before


def test_a_folder_that_is_no_run_is_never_overwritten(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    message = refusal(tmp_path, overwrite=True)
    assert f"--overwrite must name a run folder, got {tmp_path} without {SWEEP_FILE}" in message
    assert listing(tmp_path) == ["thesis.tex"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_file_is_no_folder(tmp_path, overwrite):
    (tmp_path / "file").touch()
    assert "must be a folder, got the file" in refusal(tmp_path / "file", overwrite=overwrite)
    below = refusal(tmp_path / "file" / "below", overwrite=overwrite)
    assert f"--out must be a folder that can be written, got {tmp_path}/file/below" in below
    assert listing(tmp_path) == ["file"]


def test_a_folder_that_cannot_be_written_is_refused(tmp_path, monkeypatch):
    # Root may write anywhere, so the answer of the system is replaced.
    monkeypatch.setattr(os, "access", lambda path, mode: not str(path).startswith(str(tmp_path)))
    message = refusal(tmp_path / "new" / "run")
    assert f"got {tmp_path}/new/run ({tmp_path} can't); name another" in message


def test_json_is_replaced_whole(tmp_path):
    folder = RunFolder(tmp_path, overwrite=False)
    folder.write_json("sweep.json", {"status": "running", "long": "x" * 100})
    folder.write_json("sweep.json", {"status": "finished"})
    assert json.loads((tmp_path / "sweep.json").read_text()) == {"status": "finished"}
    assert listing(tmp_path) == ["sweep.json"]


def test_tables_keep_to_their_schema(tmp_path):
    folder = RunFolder(tmp_path, overwrite=False)
    folder.write_table("t.parquet", SCHEMA, ({"epoch": i, "loss": None} for i in range(3)))
    folder.write_table("t.parquet", SCHEMA, [{"epoch": 1, "loss": 0.5}])
    table = pq.read_table(tmp_path / "t.parquet")
    assert table.schema == SCHEMA
    assert table.to_pylist() == [{"epoch": 1, "loss": 0.5}]
    folder.write_table("empty.parquet", SCHEMA, [])
    assert pq.read_table(tmp_path / "empty.parquet").schema == SCHEMA
    assert listing(tmp_path) == ["empty.parquet", "t.parquet"]


def test_a_row_that_does_not_fit_leaves_the_old_file(tmp_path):
    folder = RunFolder(tmp_path, overwrite=False)
    folder.write_table("t.parquet", SCHEMA, [{"epoch": 1, "loss": 0.5}])
    with pytest.raises(pa.ArrowException):
        folder.write_table("t.parquet", SCHEMA, [{"epoch": "one", "loss": 0.5}])
    assert pq.read_table(tmp_path / "t.parquet").num_rows == 1
    assert listing(tmp_path) == ["t.parquet"]
