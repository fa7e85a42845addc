"""TensorBoard: curves and hyperparameters, one event file a trial."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

SCALARS: Final = (
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


class TensorBoardTracker:
    """Writes each trial into a folder of its own, as TensorBoard's hparams page wants it.

    Args:
        folder: TensorBoard's log folder.
        objectives: columns shown as the trial's metrics.
    """

    def __init__(self, folder: Path, objectives: tuple[str, ...]) -> None:
        self._folder = folder
        self._objectives = objectives
        self._writers: dict[str, SummaryWriter] = {}

    def report(self, trial_id: str, row: Mapping[str, Any]) -> None:
        """Add an epoch's numbers."""
        writer = self._writer(trial_id)
        for name in SCALARS:
            if row.get(name) is not None:
                writer.add_scalar(name, row[name], row["epoch"])

    def finish(self, trial_id: str, config: Mapping[str, Any], row: Mapping[str, Any]) -> None:
        """Add the hyperparameters with the objectives reached, and close the file."""
        metrics = {
            f"objective/{name}": row[name] for name in self._objectives if row.get(name) is not None
        }
        if not metrics:
            return
        writer = self._writer(trial_id)
        for summary in hparams(dict(config), metrics):  # type: ignore[no-untyped-call]
            writer._get_file_writer().add_summary(summary)  # type: ignore[no-untyped-call]
        for name, value in metrics.items():
            writer.add_scalar(name, value, row["epoch"])
        writer.close()
        del self._writers[trial_id]

    def close(self) -> None:
        """Close what is still open."""
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()

    def _writer(self, trial_id: str) -> SummaryWriter:
        if trial_id not in self._writers:
            self._writers[trial_id] = SummaryWriter(str(self._folder / trial_id))
        return self._writers[trial_id]
