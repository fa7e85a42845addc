"""Checkpoints in one file: written whole or not at all, read without running code from them.

The file is what `torch.save` writes, a zip archive, with the SHA-256 of all before it as the
archive's comment: so it carries its own checksum, and Torch reads it as any other.
"""

from __future__ import annotations

import hashlib
import io
import os
import pickle
from pathlib import Path
from typing import IO, Any, Final
from uuid import uuid4

import torch
from torch.serialization import get_crc32_options, set_crc32_options

FORMAT_VERSION: Final = 3
"""3 added the checksum."""

_MARK: Final = b"paretune sha256 "
_NUM_DIGITS: Final = 64
_CHUNK_BYTES: Final = 1 << 20


class CheckpointError(RuntimeError):
    """A file that is no checkpoint of ours, or only a part of one, or damaged."""


def to_bytes(state: dict[str, Any]) -> memoryview:
    """Return the content of a checkpoint file.

    Made in memory, so that a full disk or a storage that is out can be waited for with the state
    as it was, and nothing half-written is left.

    Args:
        state: of tensors and plain Python values.
    """
    buffer = io.BytesIO()
    computes_crc32 = get_crc32_options()
    set_crc32_options(False)  # a third of the time; the checksum is over the whole
    try:
        torch.save({"format_version": FORMAT_VERSION, **state}, buffer)
    finally:
        set_crc32_options(computes_crc32)
    buffer.seek(-2, os.SEEK_END)  # the length of the archive's comment, its last field
    buffer.write((len(_MARK) + _NUM_DIGITS).to_bytes(2, "little") + _MARK)
    digest = hashlib.sha256(buffer.getbuffer()).hexdigest()
    buffer.write(digest.encode())
    return buffer.getbuffer()


def write_whole(content: memoryview | bytes, path: Path) -> None:
    """Write a file, which holds the old content until the new one is complete.

    It is not synced to the disk: it outlives the process; after a loss of power the checksum tells.

    Args:
        content: of the file.
        path: in a folder that exists.
    """
    temporary = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def save(state: dict[str, Any], path: Path) -> None:
    """Write a state to `path`, as `write_whole` does."""
    write_whole(to_bytes(state), path)


def load(path: Path, map_location: torch.device | str = "cpu") -> dict[str, Any]:
    """Read a state that `save` wrote.

    On the CPU the tensors are private views of the file: copy what you keep.

    Raises:
        CheckpointError: if the file is missing, cut off, damaged or something else.
        OSError: if it can't be read.
    """
    try:
        with path.open("rb") as file:
            _check(file, str(path))
    except FileNotFoundError as error:
        raise _not_whole(str(path), error) from error
    return _read(path, str(path), map_location, is_mapped=True)


def from_bytes(
    content: bytes, name: str, map_location: torch.device | str = "cpu"
) -> dict[str, Any]:
    """Read a state from the content of a file.

    Args:
        content: as `to_bytes` gave it.
        name: of the file, for errors.
        map_location: where the tensors go.

    Raises:
        CheckpointError: if it is cut off, damaged or something else.
    """
    file = io.BytesIO(content)
    _check(file, name)
    return _read(file, name, map_location, is_mapped=False)


def _check(file: IO[bytes], name: str) -> None:
    """Hold a file against its own checksum, before anything else is read of it.

    Raises:
        CheckpointError: if they differ, or it has none.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - len(_MARK) - _NUM_DIGITS))
    mark, digits = file.read(len(_MARK)), file.read()
    if mark != _MARK or len(digits) != _NUM_DIGITS:
        raise CheckpointError(
            f"{name} must be a whole checkpoint of format {FORMAT_VERSION}, got {size} bytes "
            "without its checksum: it was cut off, is something else or of an older version; go on "
            "from an earlier one"
        )
    file.seek(0)
    digest, left = hashlib.sha256(), size - _NUM_DIGITS
    while left > 0:
        chunk = file.read(min(left, _CHUNK_BYTES))
        digest.update(chunk)
        left -= len(chunk)
    if digest.hexdigest().encode() != digits:
        raise CheckpointError(
            f"{name} must be a whole checkpoint, got one that differs from its checksum; go on "
            "from an earlier one"
        )
    file.seek(0)


def _read(
    file: Path | IO[bytes], name: str, map_location: torch.device | str, *, is_mapped: bool
) -> dict[str, Any]:
    try:
        state = torch.load(file, map_location=map_location, weights_only=True, mmap=is_mapped)
    except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError) as error:
        raise _not_whole(name, error) from error
    version = state.pop("format_version", None) if isinstance(state, dict) else None
    if version != FORMAT_VERSION:
        raise CheckpointError(
            f"{name} must be a checkpoint of format {FORMAT_VERSION}, got {version}; read it with "
            "the version that wrote it"
        )
    return dict(state)


def _not_whole(name: str, error: Exception) -> CheckpointError:
    line = str(error).strip().partition("\n")[0]
    return CheckpointError(
        f"{name} must be a whole checkpoint, got {type(error).__name__}: {line}; go on from an "
        "earlier one"
    )
