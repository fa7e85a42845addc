import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

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
    with pytest.raises(CheckpointError, match="without its checksum"):
        checkpoint.load(path)


def test_a_checkpoint_of_another_format_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "state.pt"
    torch.save({"format_version": 2, "epoch": 3}, path)
    with pytest.raises(CheckpointError, match="of an older version; go on from an earlier one"):
        checkpoint.load(path)
    monkeypatch.setattr(checkpoint, "FORMAT_VERSION", 4)
    checkpoint.save({"epoch": 3}, path)
    monkeypatch.undo()
    with pytest.raises(CheckpointError, match="format 3, got 4; read it with the version that"):
        checkpoint.load(path)


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_a_flipped_bit_anywhere_is_found(data):
    whole = bytes(checkpoint.to_bytes({"weight": torch.arange(300.0), "epoch": 3}))
    position = data.draw(st.integers(0, len(whole) - 1))
    damaged = bytearray(whole)
    damaged[position] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(CheckpointError, match="must be a whole checkpoint"):
        checkpoint.from_bytes(bytes(damaged), "state.pt")
    assert checkpoint.from_bytes(whole, "state.pt")["epoch"] == 3


@pytest.mark.parametrize("content", [b"", b"paretune sha256 ", b"paretune sha256 " + b"0" * 63])
def test_a_mark_without_its_checksum_is_refused(content):
    with pytest.raises(CheckpointError, match="without its checksum"):
        checkpoint.from_bytes(content, "state.pt")


def test_torch_itself_reads_what_is_written(tmp_path):
    checkpoint.save({"weight": torch.ones(3)}, tmp_path / "state.pt")
    assert torch.equal(torch.load(tmp_path / "state.pt")["weight"], torch.ones(3))


def test_code_in_a_file_is_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return (print, ("run",))

    path = tmp_path / "state.pt"
    checkpoint.save({"evil": Evil()}, path)
    with pytest.raises(CheckpointError, match="UnpicklingError"):
        checkpoint.load(path)
