"""What an epoch of training gave. Needs no Torch."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from trainables.metrics import Scores

GAP_SAMPLES = 1024
"""Samples of the train part, at most, whose accuracy without augmentation gives the
generalisation gap."""


def num_validated(num_val: int, num_train: int) -> int:
    """Return how many samples an epoch's validation looks at, for the gap too."""
    return num_val + min(GAP_SAMPLES, num_train)


DETAILS = ("confusion", "per_class", "roc_curve")
"""Scores that are tables; they travel together, as JSON."""


STEERING_COLUMNS = (
    "val_accuracy",
    "val_loss",
    "val_precision_macro",
    "val_recall_macro",
    "val_f1_macro",
    "val_f1_weighted",
    "val_ece",
    "train_loss",
    "train_accuracy",
    "generalisation_gap",
)
"""What every epoch reports, and never as None, and so what a scheduler can decide by."""

IS_LAST = "is_last"
"""Stands in a trial's last report; Tune also sets `done` where a trial is stopped."""

_PACKED = "packed"


@dataclass(frozen=True)
class EpochResult:
    """What an epoch gave; equal on all workers, but for the times and the peak memory.

    Attributes:
        epoch: from 1.
        train_loss: mean over samples of what was minimised (so with augmentation, mixing and label
            smoothing), nats.
        train_accuracy: of up to `GAP_SAMPLES` samples without augmentation, fraction.
        val: scores of the validation part.
        learning_rate: of the last step.
        train_seconds: of the training steps.
        val_seconds: of the validation.
        data_wait_fraction: share of `train_seconds` that the worker spent making batches.
        started_unix_s: when the first step began.
        ended_unix_s: when the validation was done.
        num_train_samples: trained on, by all workers together.
        peak_memory_bytes: greatest allocation on this worker's GPU; None on a CPU, where the
            process is shared with other trials.
        energy_joules: of the GPUs of all workers, as NVML counts; None where it doesn't.
        is_stopped_early: the validation loss hasn't improved for `patience_epochs`.
    """

    epoch: int
    train_loss: float
    train_accuracy: float
    val: Scores
    learning_rate: float
    train_seconds: float
    val_seconds: float
    data_wait_fraction: float
    started_unix_s: float
    ended_unix_s: float
    num_train_samples: int
    peak_memory_bytes: int | None
    energy_joules: float | None
    is_stopped_early: bool

    def to_dict(self) -> dict[str, Any]:
        """Return a flat row: scores with `val_` before their names, tables as `val_details`."""
        row = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        scores = dataclasses.asdict(row.pop("val"))
        details = {name: scores.pop(name) for name in DETAILS}
        return {
            **row,
            **{f"val_{name}": value for name, value in scores.items()},
            "val_details": json.dumps(details),
            "generalisation_gap": self.train_accuracy - self.val.accuracy,
            "samples_per_second": self.num_train_samples / self.train_seconds,
        }


def pack(row: Mapping[str, Any], steering_columns: Sequence[str]) -> dict[str, Any]:
    """Return a trial's row as Ray Tune shall see it: what it needs, and the rest as one text.

    Tune keeps statistics of every number that it sees, kilobytes each, for every trial.

    Args:
        row: of JSON's types.
        steering_columns: what the scheduler decides by.
    """
    names = ("epoch", "done", "checkpoint", *steering_columns)
    seen = {name: row[name] for name in names if name in row}
    others = {name: value for name, value in row.items() if name not in seen}
    return {**seen, _PACKED: json.dumps(others)}


def unpack(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return the row that `pack` was given, with what Tune has added."""
    return {**without_packed(result), **json.loads(result.get(_PACKED, "{}"))}


def without_packed(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return what Tune needs of a result that was entered already."""
    return {name: value for name, value in result.items() if name != _PACKED}


def numbers_of(result: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers of what Tune has of a result."""
    numbers = (int, float, np.number)
    return {name: float(value) for name, value in result.items() if isinstance(value, numbers)}
