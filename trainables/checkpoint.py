"""Checkpoints in one file: written whole or not at all, read without running code from them."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any
from uuid import uuid4

import torch
from torch.serialization import get_crc32_options, set_crc32_options

FORMAT_VERSION = 2


class CheckpointError(RuntimeError):
    """A file that is no checkpoint of ours, or only a part of one."""


def save(state: dict[str, Any], path: Path) -> None:
    """Write a state to `path`, which holds the old file until the new one is complete.

    The file is not synced to the disk: it outlives the process, not a loss of power.

    Args:
        state: of tensors and plain Python values.
        path: in a folder that exists.
    """
    temporary = path.with_name(f".{path.name}.{uuid4().hex}")
    computes_crc32 = get_crc32_options()
    set_crc32_options(False)  # a third of the time; what is cut off is found without
    try:
        torch.save({"format_version": FORMAT_VERSION, **state}, temporary)
        os.replace(temporary, path)
    finally:
        set_crc32_options(computes_crc32)
        temporary.unlink(missing_ok=True)


def load(path: Path, map_location: torch.device | str = "cpu") -> dict[str, Any]:
    """Read a state that `save` wrote.

    On the CPU the tensors are private views of the file: copy what you keep.

    Raises:
        CheckpointError: if the file is missing, cut off or something else.
    """
    try:
        state = torch.load(path, map_location=map_location, weights_only=True, mmap=True)
    except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError) as error:
        line = str(error).strip().partition("\n")[0]
        raise CheckpointError(
            f"{path} must be a whole checkpoint, got {type(error).__name__}: {line}; go on from "
            "an earlier one"
        ) from error
    version = state.pop("format_version", None) if isinstance(state, dict) else None
    if version != FORMAT_VERSION:
        raise CheckpointError(
            f"{path} must be a checkpoint of format {FORMAT_VERSION}, got {version}; read it with "
            "the version that wrote it"
        )
    return dict(state)
