"""What is known of a sweep's trials while it runs, and the one writer of it.

Ray's callbacks, the exploit hook and the launcher tell the recorder what happened; the run
folder, TensorBoard and the live table show what it knows. It knows nothing of Ray.
"""

from __future__ import annotations

import json
import math
import shlex
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

from analysis.records import (
    RESULTS_FILE,
    RESULTS_SCHEMA,
    TRIALS_FILE,
    TrialStatus,
)
from sweeps.journal import Event, Write
from sweeps.run_folder import RunFolder
from sweeps.slo import Refusal
from sweeps.trackers.protocol import Tracker
from sweeps.trackers.tensorboard import TensorBoardTracker
from sweeps.trial_record import (
    EPOCH_COLUMNS,
    JOURNALLED,
    OPEN,
    Architecture,
    Pricing,
    TrialRecord,
    add_joules,
    details_of,
    go_back,
    reopen,
    trials_table,
)
from trainables.cost import carbon_kg
from trainables.ledger import Account

FLUSH_INTERVAL_S: Final = 5.0
"""Seconds between two writes of the Parquet files while trials run."""


def _nowhere(kind: str, *, is_synced: bool = False, **fields: Any) -> None:
    """Write nothing: the event is in the journal already."""


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
        write: puts what happened into the journal, before it is entered here.
    """

    def __init__(
        self,
        folder: RunFolder,
        describe: Callable[[Mapping[str, Any]], Architecture],
        pricing: Pricing,
        objectives: tuple[str, ...],
        clock: Callable[[], float] = time.monotonic,
        write: Write = _nowhere,
    ) -> None:
        self.trials: dict[str, TrialRecord] = {}
        self._folder = folder
        self._describe = describe
        self._pricing = pricing
        self._write = write
        self._clock = clock
        self._written = RESULTS_SCHEMA.empty_table()
        self._new_results: list[dict[str, Any]] = []
        self._trackers: list[Tracker] = [TensorBoardTracker(folder.tensorboard, objectives)]
        self._exploits: dict[str, _Exploit] = {}  # of trials that have not begun since
        self._begun: dict[str, _Exploit] = {}  # of trials that have not reported since
        self._saved: dict[str, str] = {}  # the newest checkpoint of each trial
        self._flushed_s = -math.inf

    def follow(self, trackers: Sequence[Tracker]) -> None:
        """Let other trackers hear of what comes from now on."""
        self._trackers += trackers

    def replay(self, events: Iterable[Event]) -> None:
        """Enter what the journal of an earlier process of this run holds."""
        entries: dict[str, Callable[..., Any]] = {
            "add": self._enter_trial,
            "refuse": self._enter_refusal,
            "begin": self._enter_begin,
            "report": self._enter_report,
            "exploit": self._enter_exploit,
            "saved": self._enter_save,
            "forget": self._enter_forgetting,
            "finish": self._enter_end,
            "reopen": self._enter_reopening,
        }
        for event in events:
            if event.kind in entries:
                entries[event.kind](**event.fields)

    def open_trials(self) -> list[TrialRecord]:
        """Return the trials that have not ended."""
        return [trial for trial in self.trials.values() if trial.status in OPEN]

    def add(self, trial_id: str, config: Mapping[str, Any]) -> None:
        """Enter a trial that waits for its gang."""
        self._write("add", trial_id=trial_id, config=dict(config))
        self._enter_trial(trial_id, config)

    def _enter_trial(self, trial_id: str, config: Mapping[str, Any]) -> None:
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
        self._write("refuse", trial_id=trial_id, reason=reason)
        self._enter_refusal(trial_id, reason)

    def _enter_refusal(self, trial_id: str, reason: str) -> None:
        self.trials[trial_id].status = "refused"
        self.trials[trial_id].reason = reason

    def _set_architecture(self, record: TrialRecord) -> None:
        known = self._describe(record.config)
        record.architecture = known.fingerprint
        record.figures.update(known.figures)

    def begin(self, trial_id: str) -> None:
        """Note that a trial begins, or goes on, on a gang."""
        self._write("begin", trial_id=trial_id)
        self._enter_begin(trial_id)

    def _enter_begin(self, trial_id: str) -> None:
        if trial_id in self._exploits:
            self._begun[trial_id] = self._exploits.pop(trial_id)
        self.set_status(trial_id, "running")

    def _enter_reopening(self, trial_id: str, config: Mapping[str, Any]) -> None:
        reopen(self.trials[trial_id], config)

    def set_status(self, trial_id: str, status: TrialStatus) -> None:
        """Note that a trial runs, waits or is paused."""
        self.trials[trial_id].status = status

    def report(
        self, trial_id: str, result: Mapping[str, Any], decision: Mapping[str, Any] | None = None
    ) -> None:
        """Enter an epoch's result.

        Args:
            trial_id: whose.
            result: what the trial reported.
            decision: what the scheduler made of it, for the journal.
        """
        if self._is_known(trial_id, result):
            # Its actor was lost: the epoch is the same again, but lies elsewhere.
            if result.get("checkpoint"):
                self.save(trial_id, str(result["checkpoint"]))
            return
        decision = decision or {"decision": "CONTINUE"}
        kept = {name: result[name] for name in JOURNALLED if name in result}
        if decision["decision"] != "CONTINUE" or result.get("done"):
            kept["val_details"] = result.get("val_details")  # large, and only the last one counts
        if kept.get("checkpoint"):
            kept["checkpoint"] = self._relative(str(kept["checkpoint"]))
        is_synced = decision["decision"] != "CONTINUE"
        self._write("report", is_synced=is_synced, trial_id=trial_id, result=kept, **decision)
        row = self._enter_report(trial_id, result)
        for tracker in self._trackers:
            tracker.report(trial_id, self.trials[trial_id].config, row)
        self.flush(is_due_only=True)

    def _is_known(self, trial_id: str, result: Mapping[str, Any]) -> bool:
        """Tell whether an epoch was reported before, by a trial that has exploited none since."""
        return trial_id not in self._begun and result["epoch"] <= self.trials[trial_id].epoch

    def _enter_report(self, trial_id: str, result: Mapping[str, Any], **_: Any) -> dict[str, Any]:
        record = self.trials[trial_id]
        exploit = self._begun.pop(trial_id, None)
        if exploit is not None:
            self._become(record, exploit)
        if result.get("went_back_to_epoch") is not None:
            go_back(record, int(result["went_back_to_epoch"]))
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
            energy_kwh=add_joules(
                record.figures.get("energy_kwh", 0.0), result.get("energy_joules")
            ),
        )
        record.epoch = int(result["epoch"])
        record.is_stopped_early = bool(result.get("is_stopped_early"))
        record.val_seconds = float(result["val_seconds"])
        record.figures.update({name: row[name] for name in EPOCH_COLUMNS})
        carbon = carbon_kg(row["energy_kwh"], self._pricing.carbon_kg_per_kwh)
        record.figures["carbon_kg"] = carbon
        record.details = details_of(result.get("val_details"))
        if result.get("checkpoint"):
            record.checkpoint = self._relative(str(result["checkpoint"]))
            self._saved[trial_id] = record.checkpoint
        self._new_results.append(row)
        return row

    def save(self, trial_id: str, location: str) -> bool:
        """Note a checkpoint; tell whether no report had told of it."""
        checkpoint = self._relative(location)
        if checkpoint == self._saved.get(trial_id):
            return False
        self._write("saved", trial_id=trial_id, checkpoint=checkpoint)
        self._enter_save(trial_id, checkpoint)
        return True

    def _enter_save(self, trial_id: str, checkpoint: str) -> None:
        self._saved[trial_id] = checkpoint
        if trial_id not in self._begun and trial_id not in self._exploits:
            self.trials[trial_id].checkpoint = checkpoint

    def exploit(
        self, trial_id: str, donor_id: str, donor_epoch: int, config: Mapping[str, Any]
    ) -> None:
        """Note that a trial will go on from a donor's checkpoint with another config.

        Its record changes with the first report after it began again: until then its figures and
        checkpoint are those of what it was. The report that led to the exploit comes after it.
        """
        self._write(
            "exploit",
            is_synced=True,
            trial_id=trial_id,
            donor_id=donor_id,
            donor_epoch=donor_epoch,
            config=dict(config),
        )
        self._enter_exploit(trial_id, donor_id, donor_epoch, config)

    def _enter_exploit(
        self, trial_id: str, donor_id: str, donor_epoch: int, config: Mapping[str, Any]
    ) -> None:
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

    def forget_checkpoint(self, trial_id: str) -> None:
        """Note that a trial's checkpoint was deleted."""
        self._write("forget", trial_id=trial_id)
        self._enter_forgetting(trial_id)

    def _enter_forgetting(self, trial_id: str) -> None:
        self.trials[trial_id].checkpoint = None

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
        # Of this kind alone, and so no end in the journal: with another budget it goes on.
        self._write("unpaid", trial_id=trial_id, reason=why)
        epoch = self.trials[trial_id].epoch
        if epoch:
            reason = f"stopped by the budget after epoch {epoch}: {why}"
            self._show_end(trial_id, "stopped", reason)
        else:
            self._enter_refusal(trial_id, f"trained no epoch: {why}")

    def end_all_unpaid(self, denials: Mapping[str, str], reason: str) -> None:
        """Note that the budget leaves all trials where they are.

        Args:
            denials: why some were denied an epoch, by trial.
            reason: for the others.
        """
        for record in list(self.trials.values()):
            if record.status in OPEN:
                self.end_unpaid(record.trial_id, denials.get(record.trial_id, reason))

    def finish(self, trial_id: str, status: TrialStatus, reason: str | None = None) -> None:
        """Note how a trial ended."""
        self._write("finish", is_synced=True, trial_id=trial_id, status=status, reason=reason)
        self._show_end(trial_id, status, reason)

    def _enter_end(self, trial_id: str, status: TrialStatus, reason: str | None) -> None:
        self.trials[trial_id].status = status
        self.trials[trial_id].reason = reason

    def _show_end(self, trial_id: str, status: TrialStatus, reason: str | None) -> None:
        self._enter_end(trial_id, status, reason)
        record = self.trials[trial_id]
        row = record.row()
        for tracker in self._trackers:
            tracker.finish(trial_id, record.config, row)
        self.flush(is_due_only=True)

    def close(self) -> None:
        """Write all that is known; trials that still ran are interrupted, and can be resumed."""
        for record in self.trials.values():
            if record.status in OPEN:
                # Not in the journal: there they go on.
                self._show_end(record.trial_id, "interrupted", "the sweep ended before it did")
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
        self._folder.replace_table(TRIALS_FILE, trials_table(list(self.trials.values())))
        self._flushed_s = self._clock()

    def _relative(self, location: str) -> str:
        return location.removeprefix(f"{self._folder.path}/")
