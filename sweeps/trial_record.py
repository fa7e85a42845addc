"""What is known of a trial, as it becomes a row of `trials.parquet`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa

from analysis.records import RESULTS_SCHEMA, TRIALS_SCHEMA, TrialStatus
from trainables.cost import energy_kwh, time_usd
from trainables.epoch_result import IS_LAST

EPOCH_COLUMNS: Final = tuple(
    name
    for name in TRIALS_SCHEMA.names
    if name in RESULTS_SCHEMA.names and name not in ("trial_id", "parent_trial_id")
)
"""What a trial's row repeats of its last epoch."""


DETAILS_SCHEMA: Final = pa.schema(
    [TRIALS_SCHEMA.field(name) for name in ("val_confusion", "val_per_class", "val_roc_curve")]
)
"""Columns of `trials.parquet` that are tables themselves."""

_PLAIN_SCHEMA: Final = pa.schema(
    [field for field in TRIALS_SCHEMA if field.name not in DETAILS_SCHEMA.names]
)


JOURNALLED: Final = frozenset(
    {
        *RESULTS_SCHEMA.names,
        "checkpoint",
        "done",
        "energy_joules",
        "is_stopped_early",
        IS_LAST,
        "went_back_to_epoch",
    }
)
"""What the journal keeps of a report, beside the details of the last one."""

OPEN: Final = ("pending", "running", "paused")
"""What a trial is that has not ended."""


@dataclass(frozen=True)
class Architecture:
    """What is known of a config before it trains.

    Attributes:
        fingerprint: the key of `latency.parquet`.
        figures: columns of `trials.parquet`: sizes and latency.
    """

    fingerprint: str
    figures: Mapping[str, float | str | None]


@dataclass
class TrialRecord:
    """A row of `trials.parquet` in the making.

    Attributes:
        figures: its columns that have no field here: scores, sizes, times.
        details: the last epoch's scores that are tables, as one row of `DETAILS_SCHEMA`: they are
            large, and turned into Arrow once an epoch instead of at every flush.
        lineage_gang_seconds: that its weights took, those of its donors before it included.
        lineage_by_epoch: that figure after each epoch, for those who go on from its checkpoints.
        epoch_seconds: of each epoch it reported: training and validation.
        around_seconds: that a gang spent for each of them beside these.
        val_seconds: of its last epoch's validation.
    """

    trial_id: str
    config: Mapping[str, Any]
    status: TrialStatus = "pending"
    reason: str | None = None
    lineage: list[dict[str, Any]] = field(default_factory=list)
    parent_trial_id: str | None = None
    parent_epoch: int | None = None
    num_exploits: int = 0
    architecture: str | None = None
    epoch: int = 0
    is_stopped_early: bool = False
    gang_seconds: float = 0.0
    gpu_seconds: float = 0.0
    cost_usd: float | None = None
    lost_seconds: float = 0.0
    lineage_gang_seconds: float = 0.0
    lineage_cost_usd: float | None = None
    lineage_by_epoch: dict[int, float] = field(default_factory=dict)
    epoch_seconds: list[float] = field(default_factory=list)
    around_seconds: list[float] = field(default_factory=list)
    val_seconds: float = 0.0
    checkpoint: str | None = None
    reproduce: str | None = None
    figures: dict[str, Any] = field(default_factory=dict)
    details: pa.Table | None = None

    def value(self, column: str) -> Any:
        """Return what stands in a column of `trials.parquet`; None where nothing does yet."""
        return getattr(self, column) if hasattr(self, column) else self.figures.get(column)

    def row(self) -> dict[str, Any]:
        """Return the row as Parquet takes it, without the details."""
        names = (name for name in TRIALS_SCHEMA.names if name not in DETAILS_SCHEMA.names)
        return {**{name: self.value(name) for name in names}, "config": json.dumps(self.config)}


@dataclass(frozen=True)
class Pricing:
    """What a gang-second costs.

    Attributes:
        gpus_per_gang: GPUs that it holds.
        usd_per_gang_hour: None without a price.
        carbon_kg_per_kwh: of the electricity; None: not given.
    """

    gpus_per_gang: float
    usd_per_gang_hour: float | None
    carbon_kg_per_kwh: float | None = None

    def cost_usd(self, gang_seconds: float) -> float | None:
        """Return the price of holding a gang, or None where none was given."""
        if self.usd_per_gang_hour is None:
            return None
        return time_usd(gang_seconds, self.usd_per_gang_hour)


def go_back(record: TrialRecord, epoch: int) -> None:
    """Enter that a trial's weights come from an earlier checkpoint than was thought.

    Those after it were damaged: its config was in force from there, over what donors did then.
    """
    last = record.lineage[-1]
    if last["from_epoch"] > epoch:
        earlier = [step for step in record.lineage[:-1] if step["from_epoch"] < epoch]
        record.lineage = [*earlier, {**last, "from_epoch": epoch}]
        if last["parent_trial_id"] is not None:
            record.parent_epoch = epoch


def reopen(record: TrialRecord, config: Mapping[str, Any]) -> None:
    """Enter that a trial which was trained to the end goes on, with more epochs."""
    record.config, record.status, record.reason = dict(config), "pending", None
    step = {
        "from_epoch": record.epoch,
        "parent_trial_id": None,  # its own weights
        "config": json.dumps(record.config),
    }
    record.lineage = [*record.lineage, step]


def add_joules(before_kwh: float | None, joules: float | None) -> float | None:
    """Return the energy of a trial so far [kWh]; None from the first epoch on that has none."""
    if before_kwh is None or joules is None:
        return None
    return before_kwh + energy_kwh(joules)


def details_of(text: str | None) -> pa.Table | None:
    """Return the tables of an epoch's scores as one row."""
    if text is None:
        return None
    row = {f"val_{name}": table for name, table in json.loads(text).items()}
    return pa.Table.from_pylist([row], schema=DETAILS_SCHEMA)


def trials_table(records: list[TrialRecord]) -> pa.Table:
    """Return `trials.parquet`."""
    plain = pa.Table.from_pylist([record.row() for record in records], schema=_PLAIN_SCHEMA)
    none = pa.Table.from_pylist([{}], schema=DETAILS_SCHEMA)
    rows = [none if record.details is None else record.details for record in records]
    details = pa.concat_tables(rows) if rows else DETAILS_SCHEMA.empty_table()
    columns = dict(zip(plain.column_names, plain.columns, strict=True))
    columns |= dict(zip(details.column_names, details.columns, strict=True))
    return pa.table([columns[name] for name in TRIALS_SCHEMA.names], schema=TRIALS_SCHEMA)
