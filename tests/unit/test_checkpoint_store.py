import pyarrow.fs
import pytest
import torch

from trainables import checkpoint_store
from trainables.checkpoint import CheckpointError
from trainables.checkpoint_store import (
    PREVIOUS_FILE,
    STATE_FILE,
    checkpoint_bytes,
    checkpoint_key,
    delete_checkpoint,
    open_location,
    previous_checkpoint,
    read_checkpoint,
    write_checkpoint,
)

CPU = torch.device("cpu")
STATE = {"model": {"weight": torch.arange(6.0).reshape(2, 3)}, "epoch": 3, "config": {"width": 4}}


class ObjectStore:
    """Any storage that is not the local file system; here it lies in a local folder."""

    def __init__(self, folder):
        self._filesystem = pyarrow.fs.SubTreeFileSystem(str(folder), pyarrow.fs.LocalFileSystem())

    def open(self, location):
        assert location.startswith("store://")
        return self._filesystem, location.removeprefix("store://")


@pytest.fixture(params=["path", "file URI", "object store"])
def location(request, tmp_path, monkeypatch):
    if request.param == "object store":
        monkeypatch.setattr(checkpoint_store, "open_location", ObjectStore(tmp_path).open)
        return "store://trial/epoch_0001"
    path = tmp_path / "trial" / "epoch_0001"
    return str(path) if request.param == "path" else path.as_uri()


def files(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_what_is_written_is_read(location, tmp_path):
    write_checkpoint(STATE, location)
    assert files(tmp_path) == [
        f"trial/epoch_0001/{PREVIOUS_FILE}",
        f"trial/epoch_0001/{STATE_FILE}",
    ]
    state = read_checkpoint(location, CPU)
    assert torch.equal(state["model"]["weight"], STATE["model"]["weight"])
    assert (state["epoch"], state["config"]) == (3, {"width": 4})


def test_writing_again_replaces(location, tmp_path):
    write_checkpoint(STATE, location)
    write_checkpoint({**STATE, "epoch": 4}, location)
    assert read_checkpoint(location, CPU)["epoch"] == 4
    assert len(files(tmp_path)) == 2


def test_deleting_leaves_its_neighbours_and_may_be_done_twice(location, tmp_path):
    neighbour = location.replace("epoch_0001", "epoch_0002")
    write_checkpoint(STATE, location)
    write_checkpoint(STATE, neighbour)
    delete_checkpoint(location)
    delete_checkpoint(location)
    assert f"trial/epoch_0002/{STATE_FILE}" in files(tmp_path)
    assert not [name for name in files(tmp_path) if "epoch_0001" in name]


@pytest.mark.parametrize("num_bytes", [0, 10, -10])
def test_a_truncated_checkpoint_is_not_read(tmp_path, num_bytes):
    write_checkpoint(STATE, str(tmp_path))
    file = tmp_path / STATE_FILE
    file.write_bytes(file.read_bytes()[:num_bytes])
    with pytest.raises(CheckpointError, match="must be a whole checkpoint"):
        read_checkpoint(str(tmp_path), CPU)


def test_a_missing_checkpoint_is_not_read(tmp_path):
    with pytest.raises(CheckpointError, match="must be a whole checkpoint"):
        read_checkpoint(str(tmp_path / "none"), CPU)


def test_paths_and_uris_open_the_same_place(tmp_path, monkeypatch):
    for location in (str(tmp_path), tmp_path.as_uri()):
        filesystem, path = open_location(location)
        assert isinstance(filesystem, pyarrow.fs.LocalFileSystem)
        assert path == str(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert open_location("below")[1] == str(tmp_path / "below")


def test_an_unknown_scheme_is_refused():
    with pytest.raises(ValueError, match="nowhere"):
        open_location("nowhere://bucket/x")


def test_a_checkpoint_names_the_one_it_came_from(location, tmp_path):
    root = location.rsplit("/", 2)[0]
    write_checkpoint(STATE, f"{root}/a/epoch_0001-1")
    write_checkpoint(STATE, f"{root}/b/epoch_0002-4", f"{root}/a/epoch_0001-1")
    assert previous_checkpoint(f"{root}/b/epoch_0002-4") == f"{root}/a/epoch_0001-1"
    assert previous_checkpoint(f"{root}/a/epoch_0001-1") is None
    with pytest.raises(FileNotFoundError):
        previous_checkpoint(f"{root}/c/epoch_0001-1")


@pytest.mark.parametrize(
    "name", [b"../epoch_0001-1", b"a/../../epoch_1-1", b"/etc/epoch_1-1", b"a", b"\xff\xfe", b"a/b"]
)
def test_a_name_that_is_no_checkpoint_is_never_a_path(tmp_path, name):
    location = str(tmp_path / "a" / "epoch_0002-1")
    write_checkpoint(STATE, location)
    (tmp_path / "a" / "epoch_0002-1" / PREVIOUS_FILE).write_bytes(name)
    with pytest.raises(OSError, match="must name a checkpoint"):
        previous_checkpoint(location)


def test_a_key_is_the_same_for_a_uri_and_its_path():
    assert checkpoint_key("s3://bucket/run/a/epoch_0001-1") == checkpoint_key(
        "bucket/run/a/epoch_0001-1"
    )


def test_the_size_of_a_checkpoint_is_that_of_its_state(location, tmp_path):
    write_checkpoint(STATE, location)
    (file,) = tmp_path.rglob(STATE_FILE)
    assert checkpoint_bytes(location) == file.stat().st_size
    assert checkpoint_bytes(location + "0") == 0
