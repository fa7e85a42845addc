"""Any Tune scheduler, with what it hears and decides in the journal, and told again on a resume."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol, runtime_checkable

from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler

from sweeps.journal import Event, Write

SCHEDULER_EVENTS = ("admit", "report", "exploit", "pending", "resume", "finish", "reopen")
"""What a scheduler must be told again."""


@runtime_checkable
class Replayable(Protocol):
    """A Tune scheduler that can be brought to where it was."""

    def replay(self, event: Event) -> object:
        """Hear again of an event of `SCHEDULER_EVENTS`, in the order in which they came."""
        ...


class JournaledScheduler(TrialScheduler):  # type: ignore[misc]  # Ray's classes are untyped
    """Stands before a scheduler and hides nothing of it.

    Reports and ends are written down by the recorder, exploits by whoever hears of them; here is
    only what nobody else learns of.

    Args:
        scheduler: decides; it must be `Replayable` before it is told again.
        write: puts an event into the journal.
    """

    def __init__(self, scheduler: TrialScheduler, write: Write) -> None:
        super().__init__()
        self._scheduler = scheduler
        self._write = write
        self._admitted: set[str] = set()  # in this process or an earlier one
        self._live: set[str] = set()  # added in this one
        self._decisions: dict[str, dict[str, Any]] = {}
        self._resumed: Trial | None = None
        self._num_pending = 0  # as it was written last

    def replay(self, events: Iterable[Event]) -> None:
        """Tell the scheduler what it was told before."""
        for event in events:
            if event.kind == "admit":
                self._admitted.add(event.fields["trial_id"])
            if event.kind == "pending":
                self._num_pending = event.fields["num_pending"]
            was_heard = event.fields.get("is_heard", True)
            if event.kind in SCHEDULER_EVENTS and was_heard:
                self._scheduler.replay(event)

    def decision(self, trial_id: str) -> Mapping[str, Any]:
        """Return what was made of a trial's last report, as the journal keeps it."""
        unheard = {"decision": TrialScheduler.STOP, "is_heard": False}  # Tune ended it by itself
        decision: Mapping[str, Any] = self._decisions.pop(trial_id, unheard)
        return decision

    def donor_checkpoints(self) -> set[str]:
        """Return the paths of checkpoints that the next exploit may copy."""
        donors = getattr(self._scheduler, "donor_checkpoints", set)
        found: set[str] = donors()
        return found

    def set_search_properties(self, metric: str | None, mode: str | None, **spec: Any) -> bool:
        """See `TrialScheduler`."""
        return bool(self._scheduler.set_search_properties(metric, mode, **spec))

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        """See `TrialScheduler`."""
        if trial.trial_id in self._live:
            return  # its actor was lost: for the scheduler nothing has happened
        self._live.add(trial.trial_id)
        if trial.trial_id not in self._admitted:
            self._admitted.add(trial.trial_id)
            self._write("admit", trial_id=trial.trial_id, config=dict(trial.config))
        self._scheduler.on_trial_add(tune_controller, trial)

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """See `TrialScheduler`."""
        decision: str = self._scheduler.on_trial_result(tune_controller, trial, result)
        is_contended = getattr(self._scheduler, "is_contended", False)
        self._decisions[trial.trial_id] = {"decision": decision, "is_contended": is_contended}
        return decision

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> None:
        """See `TrialScheduler`."""
        self._scheduler.on_trial_complete(tune_controller, trial, result)

    def on_trial_remove(self, tune_controller: Any, trial: Trial) -> None:
        """See `TrialScheduler`."""
        self._scheduler.on_trial_remove(tune_controller, trial)

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        """See `TrialScheduler`; one that Tune tries again has its end behind it already."""
        if trial.status != Trial.ERROR:
            self._scheduler.on_trial_error(tune_controller, trial)

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        """See `TrialScheduler`."""
        chosen: Trial | None = self._scheduler.choose_trial_to_run(tune_controller)
        num_pending = getattr(self._scheduler, "num_pending", 0)
        if (num_pending > 0) != (self._num_pending > 0):  # of the number nobody makes more
            self._write("pending", num_pending=num_pending)
            self._num_pending = num_pending
        if chosen is not None and chosen is not self._resumed and chosen.status == Trial.PAUSED:
            self._write("resume", is_synced=True, trial_id=chosen.trial_id)
        self._resumed = chosen
        return chosen

    def debug_string(self) -> str:
        """See `TrialScheduler`."""
        return str(self._scheduler.debug_string())
