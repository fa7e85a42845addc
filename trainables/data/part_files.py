"""Which files of a folder are its test part, by their names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from trainables.errors import InputError


def part_files(
    folder: Path, files: Sequence[Path], *, suffix: str = ""
) -> tuple[list[Path], list[Path]]:
    """Return the files of the rest and of the test part.

    `train*` and `test*` are these if both are there; otherwise all files together have no test
    part.

    Args:
        folder: that holds the files, for the error.
        files: at least one.
        suffix: that all of them have, for the error.

    Raises:
        InputError: if other files lie beside both.
    """
    train, test = (
        [file for file in files if file.name.startswith(prefix)] for prefix in ("train", "test")
    )
    if not (train and test):
        return list(files), []
    unused = [file.name for file in files if file not in train and file not in test]
    if unused:
        raise InputError(
            f"files in {folder} must be train*{suffix} and test*{suffix} or have other names "
            f"altogether, got {', '.join(unused)} beside them; move these out of the folder"
        )
    return train, test
