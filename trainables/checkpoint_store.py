"""Where checkpoints lie: a local folder, or any storage that pyarrow.fs opens.

A checkpoint is a folder with one file, `state.pt`, which appears whole or not at all.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pyarrow.fs

if TYPE_CHECKING:
    import torch

STATE_FILE: Final = "state.pt"


def open_location(location: str) -> tuple[pyarrow.fs.FileSystem, str]:
    """Return the file system and the path of a local path or URI."""
    if "://" in location:
        filesystem, path = pyarrow.fs.FileSystem.from_uri(location)
        return filesystem, path
    return pyarrow.fs.LocalFileSystem(), str(Path(location).absolute())


def checkpoint_location(root: str, trial_id: str, epoch: int, lease_id: int) -> str:
    """Return where a trial's checkpoint goes.

    After an exploit a trial passes an epoch a second time, on another lease: the name must not
    come again, since the first may still be read, or be about to be deleted.
    """
    return f"{root}/{trial_id}/epoch_{epoch:04d}-{lease_id}"


def checkpoint_epoch(location: str) -> int:
    """Return the epoch of a checkpoint from its location."""
    return int(location.rsplit("/epoch_", 1)[1].partition("-")[0])


def checkpoint_trial(location: str) -> str:
    """Return the trial that a checkpoint is of, from its location."""
    return location.rsplit("/", 2)[1]


def checkpoint_lease(location: str) -> int:
    """Return the lease on which a checkpoint was made, from its location."""
    return int(location.rsplit("-", 1)[1])


def write_checkpoint(state: dict[str, Any], location: str) -> None:
    """Write a trial's state into the checkpoint folder at `location`, atomically."""
    from trainables import checkpoint

    filesystem, path = open_location(location)
    filesystem.create_dir(path, recursive=True)
    if isinstance(filesystem, pyarrow.fs.LocalFileSystem):
        checkpoint.save(state, Path(path) / STATE_FILE)
        return
    with tempfile.TemporaryDirectory() as folder:
        local = Path(folder) / STATE_FILE
        checkpoint.save(state, local)
        # An object store shows an object only once it is whole.
        pyarrow.fs.copy_files(str(local), f"{path}/{STATE_FILE}", destination_filesystem=filesystem)


def read_checkpoint(location: str, device: torch.device) -> dict[str, Any]:
    """Return the state that `write_checkpoint` wrote, on `device`.

    Raises:
        CheckpointError: if it is missing, truncated or of another format.
    """
    from trainables import checkpoint

    filesystem, path = open_location(location)
    if isinstance(filesystem, pyarrow.fs.LocalFileSystem):
        return checkpoint.load(Path(path) / STATE_FILE, device)
    with tempfile.TemporaryDirectory() as folder:
        local = Path(folder) / STATE_FILE
        pyarrow.fs.copy_files(f"{path}/{STATE_FILE}", str(local), source_filesystem=filesystem)
        return checkpoint.load(local, device)


def read_served_weights(location: str) -> dict[str, Any]:
    """Return the weights of a checkpoint that are served: the average, where there is one.

    Raises:
        CheckpointError: as `read_checkpoint`.
    """
    import torch

    state = read_checkpoint(location, torch.device("cpu"))
    average: dict[str, Any] | None = state["average"]
    weights: dict[str, Any] = state["model"] if average is None else average["model"]
    return weights


def checkpoints_of(root: str, trial_id: str) -> list[str]:
    """Return where the checkpoints of a trial lie, oldest lease first."""
    filesystem, path = open_location(root)
    selector = pyarrow.fs.FileSelector(f"{path}/{trial_id}", allow_not_found=True)
    names = [info.base_name for info in filesystem.get_file_info(selector)]
    found = [f"{root}/{trial_id}/{name}" for name in names if name.startswith("epoch_")]
    return sorted(found, key=lambda location: (checkpoint_lease(location), location))


def delete_checkpoint(location: str) -> None:
    """Delete a checkpoint folder; one that is already gone is fine."""
    filesystem, path = open_location(location)
    if filesystem.get_file_info(path).type != pyarrow.fs.FileType.NotFound:
        filesystem.delete_dir(path)
