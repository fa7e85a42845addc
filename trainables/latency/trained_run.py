"""The trials of a run folder as something to be measured, read by the names of its columns."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import moocore
import numpy as np
import pyarrow.parquet as pq

from trainables.data.dataset import SplitData
from trainables.data.load import load_recorded
from trainables.errors import InputError
from trainables.latency.measure import Subject
from trainables.trial_config import TrialConfig

_SWEEP_FILE = "sweep.json"
_TRIALS_FILE = "trials.parquet"
_RANKED = ("completed", "stopped", "interrupted", "running", "paused")
_MAX_NAMED = 8
_MIN_LIKENESS = 0.8  # trial_0012 of trial_0021 has 0.9


@dataclass(frozen=True, eq=False)
class TrainedRun:
    """A run folder.

    Attributes:
        folder: of the run.
        sweep: content of `sweep.json`.
        trials: rows of `trials.parquet`, by trial.
    """

    folder: Path
    sweep: Mapping[str, Any]
    trials: Mapping[str, Mapping[str, Any]]

    def subjects(self, trial_ids: Sequence[str]) -> list[Subject]:
        """Return trials with their trained weights: those that are named, or the front.

        Raises:
            InputError: if one isn't there or has no weights, or no trial of the front has.
        """
        for trial_id in trial_ids:
            if trial_id not in self.trials:
                raise InputError(
                    f"--trial must be a trial of {self.folder}, got {trial_id!r}; it has "
                    f"{self._near(trial_id)} …"
                )
            if self.trials[trial_id]["checkpoint"] is None:
                raise InputError(
                    f"--trial must be one with a checkpoint, got {trial_id!r} without; name another"
                )
        chosen = list(trial_ids) or [t for t in self._front() if self.trials[t]["checkpoint"]]
        if not chosen:
            raise InputError(
                f"MODEL must be a run with a checkpoint of its front, got {self.folder} without; "
                "train one"
            )
        return [self._subject(self.trials[trial_id]) for trial_id in chosen]

    def load_data(self, data_dir: str | None) -> SplitData:
        """Return the run's data.

        Args:
            data_dir: where CIFAR lies; None: where it lay.

        Raises:
            InputError: if the data are not those of the run.
        """
        return load_recorded(self.sweep, data_dir)

    def _near(self, trial_id: str) -> str:
        """Return trials whose names are like one that isn't there, or else the first ones."""
        names = list(self.trials)
        near = difflib.get_close_matches(trial_id, names, _MAX_NAMED, _MIN_LIKENESS)
        return ", ".join(sorted(near) or names[:_MAX_NAMED])

    def _subject(self, row: Mapping[str, Any]) -> Subject:
        checkpoint = row["checkpoint"]
        if "://" not in checkpoint:
            checkpoint = str(self.folder.absolute() / checkpoint)
        return Subject(
            TrialConfig.from_dict(json.loads(row["config"])), checkpoint, row["trial_id"]
        )

    def _front(self) -> list[str]:
        """Return the trials that none dominates, by the objectives of the run."""
        objectives = [text.partition(":")[::2] for text in self.sweep["objectives"]]
        ranked = {
            trial_id: [
                -row[column] if direction == "max" else row[column]
                for column, direction in objectives
            ]
            for trial_id, row in self.trials.items()
            if row["status"] in _RANKED and all(row[column] is not None for column, _ in objectives)
        }
        if not ranked:
            return []
        is_kept = moocore.is_nondominated(np.array(list(ranked.values())), keep_weakly=True)
        return [trial_id for trial_id, kept in zip(ranked, is_kept, strict=True) if kept]


def read_run(folder: Path, name: str = "MODEL", others: str = "an ONNX file or ") -> TrainedRun:
    """Return a run folder.

    Args:
        folder: of the run.
        name: what the caller's user calls it.
        others: what else it may be.

    Raises:
        InputError: if it is none, or not whole.
    """
    if not (folder / _SWEEP_FILE).is_file():
        raise InputError(
            f"{name} must be {others}a run folder, got {folder} without {_SWEEP_FILE}; name another"
        )
    try:
        sweep = json.loads((folder / _SWEEP_FILE).read_text(encoding="utf-8"))
        rows = pq.read_table(folder / _TRIALS_FILE).to_pylist()
    except (OSError, ValueError) as error:  # ArrowInvalid and JSONDecodeError are ValueErrors
        raise InputError(f"{name} must be a whole run folder, got {folder} ({error})") from None
    return TrainedRun(folder, sweep, {row["trial_id"]: row for row in rows})
