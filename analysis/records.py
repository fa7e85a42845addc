"""The schema of a run folder: file names, columns, types and units.

This is the one module that `sweeps` (which writes run folders) and `analysis` (which reads
them) share. It needs only pyarrow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import pyarrow as pa

SCHEMA_VERSION = 1

SWEEP_FILE = "sweep.json"
RESULTS_FILE = "results.parquet"
TRIALS_FILE = "trials.parquet"
LATENCY_FILE = "latency.parquet"
TENSORBOARD_FOLDER = "tensorboard"
CHECKPOINTS_FOLDER = "checkpoints"
REPORT_FOLDER = "report"

TrialStatus = Literal[
    "pending",  # waits for a gang
    "running",
    "paused",
    "completed",  # trained to its last epoch
    "stopped",  # ended early by the scheduler
    "failed",  # its own exception, NaN loss or out of memory
    "refused",  # broke a hard limit before training
    "interrupted",  # the sweep ended while it ran
]
TRIAL_STATUSES: tuple[str, ...] = get_args(TrialStatus)
RANKED_STATUSES: tuple[str, ...] = ("completed", "stopped", "interrupted", "running", "paused")
"""Statuses whose last reported values are those of real, saved weights."""

RESULTS_SCHEMA = pa.schema(
    [
        pa.field("trial_id", pa.string(), nullable=False),
        # Our own count, from 1. It goes on from a donor's, so epochs come again after an exploit
        # from a donor that was behind: the later row is what the trial went on with.
        pa.field("epoch", pa.int32(), nullable=False),
        # The donor, where the epoch began with another trial's weights (a PBT exploit).
        pa.field("parent_trial_id", pa.string()),
        pa.field("gang", pa.int32()),
        pa.field("generation", pa.int32()),  # of the gang; grows when the gang is restarted
        pa.field("train_loss", pa.float64()),  # mean over samples, nats
        pa.field("val_loss", pa.float64()),  # mean over samples, nats
        pa.field("val_accuracy", pa.float64()),  # fraction, 0 to 1
        pa.field("learning_rate", pa.float64()),  # at the end of the epoch
        pa.field("train_seconds", pa.float64()),  # this epoch's training steps
        pa.field("val_seconds", pa.float64()),  # this epoch's validation steps
        pa.field("started_unix_s", pa.float64()),  # the epoch's first step, on rank 0
        pa.field("ended_unix_s", pa.float64()),  # the epoch's last validation step, on rank 0
        pa.field("gang_seconds", pa.float64()),  # cumulative seconds this trial held a gang
        pa.field("gpu_seconds", pa.float64()),  # gang_seconds x GPUs of the gang
        pa.field("cost_usd", pa.float64()),  # null where no price was given
    ]
)

LINEAGE_TYPE = pa.list_(
    pa.struct(
        [
            pa.field("from_epoch", pa.int32()),  # epochs already trained when this config began
            pa.field("parent_trial_id", pa.string()),  # the donor; null for the first entry
            pa.field("config", pa.string()),  # JSON
        ]
    )
)
"""How a trial's weights came to be: each config with the epoch from which it was used."""

TRIALS_SCHEMA = pa.schema(
    [
        pa.field("trial_id", pa.string(), nullable=False),
        pa.field("status", pa.string(), nullable=False),  # one of TRIAL_STATUSES
        pa.field("reason", pa.string()),  # why it was refused, stopped or failed
        pa.field("config", pa.string(), nullable=False),  # JSON
        pa.field("lineage", LINEAGE_TYPE, nullable=False),
        pa.field("parent_trial_id", pa.string()),  # the last donor
        pa.field("parent_epoch", pa.int32()),  # the donor's epoch at that exploit
        pa.field("num_exploits", pa.int32()),
        pa.field("architecture", pa.string()),  # fingerprint; the key of latency.parquet
        pa.field("num_parameters", pa.int64()),
        pa.field("epoch", pa.int32()),  # the last reported; 0 if none
        pa.field("train_loss", pa.float64()),  # at that epoch, as are the next two
        pa.field("val_loss", pa.float64()),
        pa.field("val_accuracy", pa.float64()),
        pa.field("latency_p50_ms", pa.float64()),
        pa.field("gang_seconds", pa.float64()),
        pa.field("gpu_seconds", pa.float64()),
        pa.field("cost_usd", pa.float64()),
        pa.field("checkpoint", pa.string()),  # relative to the run folder, or a URI
        pa.field("reproduce", pa.string()),  # the command that trains it again alone
    ]
)

LATENCY_SCHEMA = pa.schema(
    [
        pa.field("architecture", pa.string(), nullable=False),  # fingerprint
        pa.field("description", pa.string()),  # the architecture's config, JSON
        pa.field("runtime", pa.string(), nullable=False),
        pa.field("precision", pa.string(), nullable=False),
        pa.field("batch_size", pa.int32(), nullable=False),
        pa.field("num_threads", pa.int32(), nullable=False),
        pa.field("device", pa.string(), nullable=False),
        pa.field("p50_ms", pa.float64()),
        pa.field("p95_ms", pa.float64()),
        pa.field("p99_ms", pa.float64()),
        pa.field("p50_low_ms", pa.float64()),  # 95 % interval of the median
        pa.field("p50_high_ms", pa.float64()),
        pa.field("num_samples", pa.int32()),
        pa.field("torch_version", pa.string()),
        pa.field("measured_unix_s", pa.float64()),
    ]
)


@dataclass(frozen=True)
class Objective:
    """A column of `trials.parquet` and the direction in which it is better."""

    column: str
    direction: Literal["max", "min"]

    @classmethod
    def parse(cls, text: str) -> Objective:
        """Read `column:max` or `column:min`.

        Raises:
            ValueError: if the column is no number in `trials.parquet` or the direction is missing.

        Example:
            >>> Objective.parse("val_accuracy:max")
            Objective(column='val_accuracy', direction='max')
        """
        column, _, direction = text.partition(":")
        numeric = [
            field.name
            for field in TRIALS_SCHEMA
            if pa.types.is_integer(field.type) or pa.types.is_floating(field.type)
        ]
        if column not in numeric:
            raise ValueError(
                f"objectives must be numeric columns of {TRIALS_FILE}, got {column!r}; "
                f"choose from {', '.join(numeric)}"
            )
        if direction == "max":
            return cls(column, "max")
        if direction == "min":
            return cls(column, "min")
        raise ValueError(
            f"objectives must be column:max or column:min, got {text!r}; write {column}:max or "
            f"{column}:min"
        )

    def __str__(self) -> str:
        return f"{self.column}:{self.direction}"
