"""What a tracker is: somewhere else that a sweep's trials are shown, beside the run folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Protocol

CURVES: Final = (
    "train_loss",
    "train_accuracy",
    "val_loss",
    "val_accuracy",
    "val_f1_macro",
    "val_roc_auc",
    "val_ece",
    "generalisation_gap",
    "learning_rate",
    "samples_per_second",
    "train_seconds",
    "val_seconds",
    "gang_seconds",
    "cost_usd",
)
"""Columns of `results.parquet` that are shown over the epochs."""


class Tracker(Protocol):
    """Shows trials as they run; may raise what it likes where `BackgroundTracker` calls it."""

    def report(self, trial_id: str, config: Mapping[str, Any], row: Mapping[str, Any]) -> None:
        """Take an epoch's result.

        Args:
            trial_id: of the trial; it may be the first that is heard of it.
            config: with which it trained.
            row: of `results.parquet`.
        """
        ...

    def finish(self, trial_id: str, config: Mapping[str, Any], row: Mapping[str, Any]) -> None:
        """Take what came of a trial, which may have reported nothing.

        Args:
            trial_id: of the trial.
            config: its last one.
            row: of `trials.parquet`, without what is a table.
        """
        ...

    def examine(self, trial_id: str, scores: Mapping[str, float | None]) -> None:
        """Take a finalist's scores on the test part, by column."""
        ...

    def conclude(self, run: Path, sweep: Mapping[str, Any]) -> None:
        """Take the whole sweep, after its report; nothing comes after it.

        Args:
            run: run folder.
            sweep: content of `sweep.json`.
        """
        ...
