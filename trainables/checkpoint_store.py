"""Where checkpoints lie: a local folder, or any storage that pyarrow.fs opens.

A checkpoint is a folder TRIAL/epoch_EPOCH-LEASE with two files: `previous` names the checkpoint
that the trial came from, for the case that this one is damaged; `state.pt` appears after it, whole
or not at all.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pyarrow.fs

from trainables.storage_outage import ride_out

if TYPE_CHECKING:
    import torch

STATE_FILE: Final = "state.pt"
PREVIOUS_FILE: Final = "previous"

_KEY: Final = re.compile(r"(?!\.\.?/)[^/\\]+/epoch_\d+-\d+")
_MAX_KEY_BYTES: Final = 1024


def _say_nothing(line: str) -> None:
    pass


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


def checkpoint_lease(location: str) -> int:
    """Return the lease on which a checkpoint was made, from its location."""
    return int(location.rsplit("-", 1)[1])


def checkpoint_key(location: str) -> str:
    """Return TRIAL/epoch_EPOCH-LEASE, the same for a URI and the path inside its file system."""
    return "/".join(location.rsplit("/", 2)[-2:])


def checkpoint_trial(location: str) -> str:
    """Return whose checkpoint it is."""
    return location.rsplit("/", 2)[-2]


def write_checkpoint(
    state: dict[str, Any],
    location: str,
    previous: str | None = None,
    tell: Callable[[str], None] = _say_nothing,
) -> None:
    """Write a trial's state into the checkpoint folder at `location`, atomically.

    A full disk, or a storage that is out, is waited for.

    Args:
        state: of the trial.
        location: of the checkpoint.
        previous: where the checkpoint lies that the trial came from; None: it began from scratch.
        tell: hears once that it waits, and that it goes on.

    Raises:
        OSError: for a storage that no waiting will mend.
    """
    from trainables import checkpoint

    content = checkpoint.to_bytes(state)
    origin = b"" if previous is None else checkpoint_key(previous).encode()

    def write() -> None:
        filesystem, path = open_location(location)
        filesystem.create_dir(path, recursive=True)
        write_file(filesystem, f"{path}/{PREVIOUS_FILE}", origin)
        write_file(filesystem, f"{path}/{STATE_FILE}", content)

    ride_out(write, f"{checkpoint_key(location)}, to be saved,", tell)


def write_file(filesystem: pyarrow.fs.FileSystem, path: str, content: memoryview | bytes) -> None:
    """Write a file of a storage, which is there whole or not at all; a local folder must exist."""
    from trainables import checkpoint

    if isinstance(filesystem, pyarrow.fs.LocalFileSystem):
        checkpoint.write_whole(content, Path(path))
        return
    # An object store shows an object only once it is whole.
    with filesystem.open_output_stream(path) as stream:
        stream.write(content)


def read_checkpoint(
    location: str, device: torch.device, tell: Callable[[str], None] = _say_nothing
) -> dict[str, Any]:
    """Return the state that `write_checkpoint` wrote, on `device`.

    A storage that is out is waited for.

    Args:
        location: of the checkpoint.
        device: where its tensors go.
        tell: hears once that it waits, and that it goes on.

    Raises:
        CheckpointError: if it is missing, truncated, damaged or of another format.
        OSError: for a storage that no waiting will mend.
    """
    from trainables import checkpoint

    def read() -> dict[str, Any]:
        filesystem, path = open_location(location)
        path = f"{path}/{STATE_FILE}"
        if isinstance(filesystem, pyarrow.fs.LocalFileSystem):
            return checkpoint.load(Path(path), device)
        return checkpoint.from_bytes(read_file(filesystem, path), location, device)

    try:
        return ride_out(read, f"{checkpoint_key(location)}, to be read,", tell)
    except FileNotFoundError as error:
        raise checkpoint.CheckpointError(
            f"{location} must be a whole checkpoint, got none; go on from an earlier one"
        ) from error


def read_file(filesystem: pyarrow.fs.FileSystem, path: str) -> bytes:
    """Return what a file of a storage holds."""
    with filesystem.open_input_file(path) as file:  # a stream would ask for it piece by piece
        content: bytes = file.read()
    return content


def previous_checkpoint(location: str) -> str | None:
    """Return where the checkpoint lies that a trial came from when it wrote this one.

    Returns:
        None where it began from scratch.

    Raises:
        OSError: if that is not recorded (or not readable, where its name is none).
    """
    filesystem, path = open_location(location)
    content = read_file(filesystem, f"{path}/{PREVIOUS_FILE}")
    if not content:
        return None
    key = content[:_MAX_KEY_BYTES].decode(errors="replace")
    if not _KEY.fullmatch(key):
        raise OSError(f"{location}/{PREVIOUS_FILE} must name a checkpoint, got {key[:80]!r}")
    return f"{location.rsplit('/', 2)[0]}/{key}"


def checkpoint_bytes(location: str) -> int:
    """Return the size of a checkpoint's file; 0 where there is none."""
    filesystem, path = open_location(location)
    return filesystem.get_file_info(f"{path}/{STATE_FILE}").size or 0


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
