"""Hears of Ray Tune's events and tells the recorder, the checkpoint keeper and the desk."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from ray import cloudpickle
from ray.tune import Callback, Checkpoint, Stopper
from ray.tune.experiment import Trial

from analysis.records import TrialStatus
from sweeps.checkpoint_keeper import CheckpointKeeper
from sweeps.past import Standstill
from sweeps.plan import SweepPlan
from sweeps.recorder import SweepRecorder
from sweeps.trial_maker import begin_at, checkpoint_at
from sweeps.trial_record import TrialRecord
from trainables.checkpoint_store import checkpoint_key, previous_checkpoint
from trainables.epoch_result import unpack, without_packed

STATUS_INTERVAL_S: Final = 0.5

_STATUS: Final[dict[str, TrialStatus]] = {
    Trial.PENDING: "pending",
    Trial.RUNNING: "running",
    Trial.PAUSED: "paused",
}


class SweepCallback(Callback):  # type: ignore[misc]  # Ray's classes are untyped
    """See the module's text.

    Args:
        recorder: hears of trials, results and ends.
        keeper: hears of checkpoints.
        storage: folder or URI under which they lie.
        donor_checkpoints: returns the paths that the scheduler may still need.
        release: ends the lease of a trial that is over.
        plan: of the sweep.
        denial: returns why the budget denied a trial its next epoch; None if it did not.
        decision: returns what the scheduler made of a trial's last report.
        standstills: of earlier processes of the sweep, which will go on from their checkpoints.
        seconds_before: that trials held gangs for in these processes.
        tell: hears what the user shall know at once.
    """

    def __init__(
        self,
        recorder: SweepRecorder,
        keeper: CheckpointKeeper,
        *,
        storage: str,
        donor_checkpoints: Callable[[], set[str]],
        release: Callable[[str], Any],
        plan: SweepPlan,
        denial: Callable[[str], str | None] = lambda _: None,
        decision: Callable[[str], Mapping[str, Any]],
        standstills: Mapping[str, Standstill] = MappingProxyType({}),
        seconds_before: Mapping[str, float] = MappingProxyType({}),
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._recorder = recorder
        self._keeper = keeper
        self._storage = storage
        self._donor_checkpoints = donor_checkpoints
        self._release = release
        self._plan = plan
        self._denial = denial
        self._decision = decision
        self._standstills = dict(standstills)
        self._seconds_before = seconds_before
        self._tell = tell
        self._live: dict[str, Trial] = {}
        self._checkpoints: dict[str, Checkpoint | None] = {}  # with which live trials would go on
        self._synced_s = 0.0

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        """Note that a trial runs, for the first time or again."""
        self._live[trial.trial_id] = trial
        self._checkpoints[trial.trial_id] = trial.checkpoint
        self._standstills.pop(trial.trial_id, None)
        self._recorder.begin(trial.trial_id)

    def on_trial_recover(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        """Send a trial whose actor was lost back to its newest checkpoint.

        Tune knows only of those that a scheduler asked for.
        """
        self._release(trial.trial_id)
        begin_at(trial, self._checkpoints[trial.trial_id])

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **_: Any
    ) -> None:
        """Enter an epoch and its checkpoint."""
        row = unpack(result)
        row["gang_seconds"] += self._seconds_before.get(trial.trial_id, 0.0)
        self._recorder.report(trial.trial_id, row, self._decision(trial.trial_id))
        for line in row.get("went_back", ()):
            self._tell(line)
        if result.get("checkpoint"):
            self._keep(trial, result["checkpoint"], row.get("previous_checkpoint"))

    def on_checkpoint(
        self, iteration: int, trials: list[Trial], trial: Trial, checkpoint: Checkpoint, **_: Any
    ) -> None:
        """Enter a checkpoint that no result told of: the scheduler asked for it."""
        location = f"{self._storage}/{checkpoint_key(checkpoint.path)}"
        if trial.trial_id in self._live and not self._keeper.knows(location):
            self._recorder.save(trial.trial_id, location)
            previous = None
            with contextlib.suppress(OSError):
                previous = previous_checkpoint(location)
            self._keep(trial, location, previous)

    def _keep(self, trial: Trial, location: str, previous: str | None) -> None:
        self._checkpoints[trial.trial_id] = checkpoint_at(location)
        needed = {t.checkpoint.path for t in self._live.values() if t.checkpoint}
        needed |= {s.checkpoint for s in self._standstills.values() if s.checkpoint is not None}
        self._keeper.add(trial.trial_id, location, needed | self._donor_checkpoints(), previous)

    def on_trial_complete(
        self, iteration: int, trials: list[Trial], trial: Trial, **_: Any
    ) -> None:
        """Note that a trial was trained to the end, or stopped."""
        self._end(trial)
        record = self._recorder.trials[trial.trial_id]
        why = self._denial(trial.trial_id) if record.epoch < self._plan.num_epochs else None
        if why is not None:
            self._recorder.end_unpaid(trial.trial_id, why)
        else:
            self._recorder.finish(trial.trial_id, *ending_of(record, self._plan))

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        """Note that a trial failed, with the traceback of the worker."""
        self._end(trial)
        self._recorder.finish(trial.trial_id, "failed", failure_text(trial))

    def _end(self, trial: Trial) -> None:
        # Tune keeps the last result of every trial to the end.
        trial.run_metadata.last_result = without_packed(trial.run_metadata.last_result)
        self._live.pop(trial.trial_id, None)
        self._checkpoints.pop(trial.trial_id, None)
        self._keeper.end(trial.trial_id)
        self._release(trial.trial_id)

    def on_step_end(self, iteration: int, trials: list[Trial], **_: Any) -> None:
        """Bring the states of live trials up to date: Tune tells of no pause."""
        if time.monotonic() - self._synced_s < STATUS_INTERVAL_S:
            return
        self._synced_s = time.monotonic()
        for trial_id, trial in self._live.items():
            if trial.status in _STATUS:
                self._recorder.set_status(trial_id, _STATUS[trial.status])


def ending_of(record: TrialRecord, plan: SweepPlan) -> tuple[TrialStatus, str | None]:
    """Return how a trial ended that has reported its last epoch, and why."""
    if record.epoch >= plan.num_epochs:
        return "completed", None
    by: str = plan.spec.scheduler
    if record.is_stopped_early:
        by = f"its patience of {record.config['patience_epochs']} epochs"
    return "stopped", f"stopped by {by} after epoch {record.epoch}"


def failure_text(trial: Trial) -> str:
    """Return why a trial failed: one line, then the traceback where there is one."""
    if trial.pickled_error_file is None:
        return "failed before its first step"
    with Path(trial.pickled_error_file).open("rb") as file:
        error = cloudpickle.load(file)  # written by this very process
    cause = getattr(error, "cause", None) or error
    return str(cause).strip() or type(cause).__name__


class StopOnRequest(Stopper):  # type: ignore[misc]  # Ray's classes are untyped
    """Ends the experiment as soon as `is_requested` says so; no trial is ended by itself."""

    def __init__(self, is_requested: Callable[[], bool]) -> None:
        self._is_requested = is_requested

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Never stop a single trial."""
        return False

    def __reduce__(self) -> tuple[Any, ...]:
        """Leave the request out of Tune's own state file: it belongs to this process."""
        return StopOnRequest, (_never,)

    def stop_all(self) -> bool:
        """Tell whether the sweep shall end."""
        return self._is_requested()


def _never() -> bool:
    return False
