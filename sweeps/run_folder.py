"""The run folder on disk: a fixed number of files, each replaced whole."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from analysis.records import CHECKPOINTS_FOLDER, JOURNAL_FOLDER, SWEEP_FILE, TENSORBOARD_FOLDER
from trainables.errors import InputError


class RunFolder:
    """A run's files. Making one only checks; `create` makes the folder.

    Args:
        path: the run folder; new, empty, or with `overwrite` another run's.
        overwrite: delete another run that lies there.
        is_resumed: the run that lies there goes on.
        stored_at: where the run lies in a storage as well; None: nowhere.

    Raises:
        InputError: if `path` can't be written or is in use.
    """

    def __init__(
        self,
        path: Path,
        *,
        overwrite: bool,
        is_resumed: bool = False,
        stored_at: str | None = None,
    ) -> None:
        self.path = path.absolute()
        self.stored_at = stored_at
        self.overwrite = overwrite
        self._is_resumed = is_resumed
        self._check()
        self.log_path = self.path / "sweep.log"

    def _check(self) -> None:
        if self.path.is_symlink() or (self.path.exists() and not self.path.is_dir()):
            raise InputError(
                f"--out must be a folder, got the file or link {self.path}; name another"
            )
        parent = next(folder for folder in (self.path, *self.path.parents) if folder.exists())
        if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
            raise InputError(
                f"--out must be a folder that can be written, got {self.path} ({parent} can't); "
                "name another"
            )
        if self._is_empty() or self._is_resumed:
            return
        if not self.overwrite:
            raise InputError(
                f"--out must be a new or empty folder, got {self.path} in use; name another, add "
                f"--overwrite to delete it, or go on with it: --resume {self.path}"
            )
        if not (self.path / SWEEP_FILE).is_file():
            raise InputError(
                f"--overwrite must name a run folder, got {self.path} without {SWEEP_FILE}; "
                "delete it by hand if that is meant"
            )

    def _is_empty(self) -> bool:
        return not self.path.is_dir() or not any(self.path.iterdir())

    def create(self) -> None:
        """Make the folder; delete the run that it held, unless it goes on.

        Raises:
            InputError: if someone else has taken it since.
        """
        self._check()
        if not self._is_empty() and not self._is_resumed:
            shutil.rmtree(self.path)
        self.path.mkdir(parents=True, exist_ok=True)

    @property
    def checkpoints(self) -> Path:
        """Where checkpoints go unless `--storage` says otherwise."""
        return self.path / CHECKPOINTS_FOLDER

    @property
    def checkpoint_root(self) -> str:
        """Where checkpoints go: an absolute path or a URI."""
        return (
            str(self.checkpoints)
            if self.stored_at is None
            else (f"{self.stored_at}/{CHECKPOINTS_FOLDER}")
        )

    @property
    def journal(self) -> Path:
        """The journal's folder."""
        return self.path / JOURNAL_FOLDER

    @property
    def tensorboard(self) -> Path:
        """TensorBoard's log folder."""
        return self.path / TENSORBOARD_FOLDER

    def locate(self, checkpoint: str) -> str:
        """Return the location of a checkpoint that is recorded relative to the run folder."""
        return checkpoint if "://" in checkpoint else str(self.path.absolute() / checkpoint)

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Replace a JSON file."""
        self._replace(name, json.dumps(content, indent=1).encode())

    def write_table(self, name: str, schema: pa.Schema, rows: Iterable[Mapping[str, Any]]) -> None:
        """Replace a Parquet file with `rows`."""
        self.replace_table(name, pa.Table.from_pylist(list(rows), schema=schema))

    def replace_table(self, name: str, table: pa.Table) -> None:
        """Replace a Parquet file with `table`."""
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink)
        self._replace(name, sink.getvalue())

    def _replace(self, name: str, content: bytes | pa.Buffer) -> None:
        temporary = self.path / f".{name}.tmp"
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self.path / name)


def default_run_path(name: str) -> Path:
    """Return runs/NAME-DATE-TIME."""
    return Path("runs") / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"
