"""What is known of a sweep's trials while it runs, and the one writer of it.

Ray's callbacks, the exploit hook and the launcher tell the recorder what happened; the run
folder, TensorBoard and the live table show what it knows. It knows nothing of Ray.
"""

from __future__ import annotations

import json
import math
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa

from analysis.records import (
    RESULTS_FILE,
    RESULTS_SCHEMA,
    TRIALS_FILE,
    TRIALS_SCHEMA,
    TrialStatus,
)
from sweeps.run_folder import RunFolder
from sweeps.slo import Refusal
from sweeps.trackers.protocol import Tracker
from sweeps.trackers.tensorboard import TensorBoardTracker
from trainables.cost import carbon_kg, energy_kwh, time_usd
from trainables.ledger import Account

FLUSH_INTERVAL_S: Final = 5.0
"""Seconds between two writes of the Parquet files while trials run."""

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


@dataclass(frozen=True)
class _Exploit:
    """What a trial will be once it has trained with the donor's weights."""

    donor_id: str
    donor_epoch: int
    config: Mapping[str, Any]
    lineage: list[dict[str, Any]]
    gang_seconds: float  # that the donor's weights took


class SweepRecorder:
    """Keeps a record per trial and writes the run folder.

    Args:
        folder: where to write.
        describe: returns what is known of a config before training.
        pricing: of the sweep's gangs.
        objectives: columns to put beside the hyperparameters in TensorBoard.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        folder: RunFolder,
        describe: Callable[[Mapping[str, Any]], Architecture],
        pricing: Pricing,
        objectives: tuple[str, ...],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.trials: dict[str, TrialRecord] = {}
        self._folder = folder
        self._describe = describe
        self._pricing = pricing
        self._clock = clock
        self._written = RESULTS_SCHEMA.empty_table()
        self._new_results: list[dict[str, Any]] = []
        self._trackers: list[Tracker] = [TensorBoardTracker(folder.tensorboard, objectives)]
        self._exploits: dict[str, _Exploit] = {}  # of trials that have not begun since
        self._begun: dict[str, _Exploit] = {}  # of trials that have not reported since
        self._flushed_s = -math.inf

    def follow(self, trackers: Sequence[Tracker]) -> None:
        """Let other trackers hear of what comes from now on."""
        self._trackers += trackers

    def add(self, trial_id: str, config: Mapping[str, Any]) -> None:
        """Enter a trial that waits for its gang."""
        lineage = [{"from_epoch": 0, "parent_trial_id": None, "config": json.dumps(dict(config))}]
        record = TrialRecord(trial_id, dict(config), lineage=lineage)
        record.reproduce = shlex.join(
            ["python", "-m", "sweeps.reproduce", str(self._folder.path), trial_id]
        )
        self._set_architecture(record)
        self.trials[trial_id] = record

    def on_refuse(self, trial_id: str, refusal: Refusal) -> None:
        """Note that a trial can't run as it would be served, or misses the SLO."""
        self.refuse(trial_id, refusal.reason)

    def refuse(self, trial_id: str, reason: str) -> None:
        """Note that a trial breaks a hard limit and won't train."""
        self.trials[trial_id].status = "refused"
        self.trials[trial_id].reason = reason

    def _set_architecture(self, record: TrialRecord) -> None:
        known = self._describe(record.config)
        record.architecture = known.fingerprint
        record.figures.update(known.figures)

    def begin(self, trial_id: str) -> None:
        """Note that a trial begins, or goes on, on a gang."""
        if trial_id in self._exploits:
            self._begun[trial_id] = self._exploits.pop(trial_id)
        self.set_status(trial_id, "running")

    def set_status(self, trial_id: str, status: TrialStatus) -> None:
        """Note that a trial runs, waits or is paused."""
        self.trials[trial_id].status = status

    def report(self, trial_id: str, result: Mapping[str, Any]) -> None:
        """Enter an epoch's result."""
        record = self.trials[trial_id]
        exploit = self._begun.pop(trial_id, None)
        if exploit is not None:
            self._become(record, exploit)
        seconds = float(result["train_seconds"]) + float(result["val_seconds"])
        record.epoch_seconds.append(seconds)
        record.around_seconds.append(result["gang_seconds"] - record.gang_seconds - seconds)
        self._charge(record, result["gang_seconds"])
        record.lineage_by_epoch[int(result["epoch"])] = record.lineage_gang_seconds
        row = {name: result.get(name) for name in RESULTS_SCHEMA.names}
        row.update(
            trial_id=trial_id,
            parent_trial_id=None if exploit is None else exploit.donor_id,
            gpu_seconds=record.gpu_seconds,
            cost_usd=record.cost_usd,
            energy_kwh=_add_joules(
                record.figures.get("energy_kwh", 0.0), result.get("energy_joules")
            ),
        )
        record.epoch = int(result["epoch"])
        record.val_seconds = float(result["val_seconds"])
        record.figures.update({name: row[name] for name in EPOCH_COLUMNS})
        carbon = carbon_kg(row["energy_kwh"], self._pricing.carbon_kg_per_kwh)
        record.figures["carbon_kg"] = carbon
        record.details = _details(result.get("val_details"))
        if result.get("checkpoint"):
            record.checkpoint = self._relative(str(result["checkpoint"]))
        self._new_results.append(row)
        for tracker in self._trackers:
            tracker.report(trial_id, record.config, row)
        self.flush(is_due_only=True)

    def exploit(
        self, trial_id: str, donor_id: str, donor_epoch: int, config: Mapping[str, Any]
    ) -> None:
        """Note that a trial will go on from a donor's checkpoint with another config.

        Its record changes with the first report after it began again: until then its figures and
        checkpoint are those of what it was. The report that led to the exploit comes after it.
        """
        pending = self._exploits.get(donor_id) or self._begun.get(donor_id)
        past = self.trials[donor_id].lineage if pending is None else pending.lineage
        inherited = [step for step in past if step["from_epoch"] < donor_epoch]
        step = {
            "from_epoch": donor_epoch,
            "parent_trial_id": donor_id,
            "config": json.dumps(dict(config)),
        }
        by_epoch = self.trials[donor_id].lineage_by_epoch
        seconds = by_epoch.get(donor_epoch, 0.0) if pending is None else pending.gang_seconds
        self._exploits[trial_id] = _Exploit(
            donor_id, donor_epoch, config, [*inherited, step], seconds
        )

    def _become(self, record: TrialRecord, exploit: _Exploit) -> None:
        record.config = dict(exploit.config)
        record.lineage = exploit.lineage
        record.parent_trial_id, record.parent_epoch = exploit.donor_id, exploit.donor_epoch
        record.num_exploits += 1
        record.lineage_gang_seconds = exploit.gang_seconds  # its own from now on come on top
        record.checkpoint = None  # it is of what the trial was
        self._set_architecture(record)

    def enter_test(self, trial_id: str, scores: Mapping[str, float | None]) -> None:
        """Enter a finalist's scores on the test part, by name."""
        named = {f"test_{name}": value for name, value in scores.items()}
        self.trials[trial_id].figures.update(named)
        for tracker in self._trackers:
            tracker.examine(trial_id, named)

    def settle(self, account: Account) -> None:
        """Enter what each trial held a gang for, lost and failed epochs included."""
        for trial_id, seconds in account.by_trial.items():
            record = self.trials[trial_id]
            self._charge(record, seconds)
            record.lost_seconds = account.lost_by_trial.get(trial_id, 0.0)

    def _charge(self, record: TrialRecord, gang_seconds: float) -> None:
        record.lineage_gang_seconds += gang_seconds - record.gang_seconds
        record.gang_seconds = gang_seconds
        record.gpu_seconds = gang_seconds * self._pricing.gpus_per_gang
        record.cost_usd = self._pricing.cost_usd(gang_seconds)
        record.lineage_cost_usd = self._pricing.cost_usd(record.lineage_gang_seconds)

    def end_unpaid(self, trial_id: str, why: str) -> None:
        """Note that the budget leaves a trial where it is."""
        epoch = self.trials[trial_id].epoch
        if epoch:
            self.finish(trial_id, "stopped", f"stopped by the budget after epoch {epoch}: {why}")
        else:
            self.refuse(trial_id, f"trained no epoch: {why}")

    def end_all_unpaid(self, denials: Mapping[str, str], reason: str) -> None:
        """Note that the budget leaves all trials where they are.

        Args:
            denials: why some were denied an epoch, by trial.
            reason: for the others.
        """
        for record in list(self.trials.values()):
            if record.status in ("pending", "running", "paused"):
                self.end_unpaid(record.trial_id, denials.get(record.trial_id, reason))

    def finish(self, trial_id: str, status: TrialStatus, reason: str | None = None) -> None:
        """Note how a trial ended."""
        record = self.trials[trial_id]
        record.status, record.reason = status, reason
        row = record.row()
        for tracker in self._trackers:
            tracker.finish(trial_id, record.config, row)
        self.flush(is_due_only=True)

    def close(self) -> None:
        """Write all that is known; trials that still ran are interrupted."""
        for record in self.trials.values():
            if record.status in ("pending", "running", "paused"):
                self.finish(record.trial_id, "interrupted", "the sweep ended before it did")
        self.flush()

    def conclude(self, sweep: Mapping[str, Any]) -> None:
        """Let trackers show the whole sweep, once its report is written.

        Args:
            sweep: content of `sweep.json`.
        """
        for tracker in self._trackers:
            tracker.conclude(self._folder.path, sweep)

    def flush(self, *, is_due_only: bool = False) -> None:
        """Write the Parquet files; with `is_due_only` at most every few seconds."""
        if is_due_only and self._clock() - self._flushed_s < FLUSH_INTERVAL_S:
            return
        added = pa.Table.from_pylist(self._new_results, schema=RESULTS_SCHEMA)
        self._written = pa.concat_tables([self._written, added])
        self._new_results.clear()
        self._folder.replace_table(RESULTS_FILE, self._written)
        self._folder.replace_table(TRIALS_FILE, _trials_table(list(self.trials.values())))
        self._flushed_s = self._clock()

    def _relative(self, location: str) -> str:
        return location.removeprefix(f"{self._folder.path}/")


def _add_joules(before_kwh: float | None, joules: float | None) -> float | None:
    """Return the energy of a trial so far [kWh]; None from the first epoch on that has none."""
    if before_kwh is None or joules is None:
        return None
    return before_kwh + energy_kwh(joules)


def _details(text: str | None) -> pa.Table | None:
    """Return the tables of an epoch's scores as one row."""
    if text is None:
        return None
    row = {f"val_{name}": table for name, table in json.loads(text).items()}
    return pa.Table.from_pylist([row], schema=DETAILS_SCHEMA)


def _trials_table(records: list[TrialRecord]) -> pa.Table:
    """Return `trials.parquet`."""
    plain = pa.Table.from_pylist([record.row() for record in records], schema=_PLAIN_SCHEMA)
    none = pa.Table.from_pylist([{}], schema=DETAILS_SCHEMA)
    rows = [none if record.details is None else record.details for record in records]
    details = pa.concat_tables(rows) if rows else DETAILS_SCHEMA.empty_table()
    columns = dict(zip(plain.column_names, plain.columns, strict=True))
    columns |= dict(zip(details.column_names, details.columns, strict=True))
    return pa.table([columns[name] for name in TRIALS_SCHEMA.names], schema=TRIALS_SCHEMA)
