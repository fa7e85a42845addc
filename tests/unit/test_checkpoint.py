import pytest
import torch

from trainables import checkpoint
from trainables.checkpoint import CheckpointError


def test_round_trip_leaves_one_file(tmp_path):
    path = tmp_path / "state.pt"
    state = {"model": {"weight": torch.arange(6.0).view(2, 3)}, "epoch": 3, "config": {"a": "b"}}
    checkpoint.save({"epoch": 1}, path)
    checkpoint.save(state, path)
    loaded = checkpoint.load(path)
    assert torch.equal(loaded["model"]["weight"], state["model"]["weight"])
    assert (loaded["epoch"], loaded["config"]) == (3, {"a": "b"})
    assert [file.name for file in tmp_path.iterdir()] == ["state.pt"]


def test_a_failed_save_keeps_the_old_file(tmp_path):
    path = tmp_path / "state.pt"
    checkpoint.save({"epoch": 1}, path)
    with pytest.raises(AttributeError, match="lambda"):
        checkpoint.save({"epoch": lambda: 2}, path)
    assert checkpoint.load(path)["epoch"] == 1
    assert [file.name for file in tmp_path.iterdir()] == ["state.pt"]


def test_writing_to_what_was_loaded_leaves_the_file_alone(tmp_path):
    path = tmp_path / "state.pt"
    checkpoint.save({"weight": torch.zeros(3)}, path)
    checkpoint.load(path)["weight"].fill_(1)
    assert torch.equal(checkpoint.load(path)["weight"], torch.zeros(3))


def test_a_file_cut_off_anywhere_is_refused(tmp_path):
    path = tmp_path / "state.pt"
    checkpoint.save({"weight": torch.zeros(1000)}, path)
    whole = path.read_bytes()
    for fraction in (0.0, 0.1, 0.5, 0.99):
        path.write_bytes(whole[: int(fraction * len(whole))])
        with pytest.raises(CheckpointError, match="must be a whole checkpoint"):
            checkpoint.load(path)


def test_foreign_files_are_refused(tmp_path):
    path = tmp_path / "state.pt"
    with pytest.raises(CheckpointError, match="FileNotFoundError"):
        checkpoint.load(path)
    path.write_text("hello")
    with pytest.raises(CheckpointError, match="must be a whole checkpoint"):
        checkpoint.load(path)
    torch.save({"weight": torch.zeros(3)}, path)
    with pytest.raises(CheckpointError, match="format 2, got None"):
        checkpoint.load(path)
    torch.save(torch.zeros(3), path)
    with pytest.raises(CheckpointError, match="format 2, got None"):
        checkpoint.load(path)


def test_a_checkpoint_of_an_older_format_is_refused(tmp_path):
    path = tmp_path / "state.pt"
    torch.save({"format_version": 1, "epoch": 3}, path)
    with pytest.raises(CheckpointError, match="format 2, got 1; read it with the version that"):
        checkpoint.load(path)


def test_code_in_a_file_is_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return (print, ("run",))

    path = tmp_path / "state.pt"
    torch.save({"evil": Evil()}, path)
    with pytest.raises(CheckpointError, match="UnpicklingError"):
        checkpoint.load(path)
