import pyarrow.fs
import pytest
import torch

from trainables import checkpoint_store
from trainables.checkpoint import CheckpointError
from trainables.checkpoint_store import (
    STATE_FILE,
    delete_checkpoint,
    open_location,
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
    assert files(tmp_path) == [f"trial/epoch_0001/{STATE_FILE}"]
    state = read_checkpoint(location, CPU)
    assert torch.equal(state["model"]["weight"], STATE["model"]["weight"])
    assert (state["epoch"], state["config"]) == (3, {"width": 4})


def test_writing_again_replaces(location, tmp_path):
    write_checkpoint(STATE, location)
    write_checkpoint({**STATE, "epoch": 4}, location)
    assert read_checkpoint(location, CPU)["epoch"] == 4
    assert len(files(tmp_path)) == 1


def test_deleting_leaves_its_neighbours_and_may_be_done_twice(location, tmp_path):
    neighbour = location.replace("epoch_0001", "epoch_0002")
    write_checkpoint(STATE, location)
    write_checkpoint(STATE, neighbour)
    delete_checkpoint(location)
    delete_checkpoint(location)
    assert files(tmp_path) == [f"trial/epoch_0002/{STATE_FILE}"]


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
