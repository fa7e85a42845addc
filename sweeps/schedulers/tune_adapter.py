"""Ray Tune's side of our own schedulers: a pure `Scheduler` as a Tune `TrialScheduler`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler

from sweeps.journal import Event
from sweeps.schedulers.protocol import Decision, Drop, Exploit, Report, Scheduler
from trainables.checkpoint_store import checkpoint_epoch
from trainables.epoch_result import numbers_of

OnExploit = Callable[[str, str, int, Mapping[str, Any]], None]
"""Hears of (trial id, donor id, the donor's epoch, the new config)."""

Known = Callable[[Mapping[str, Any]], Mapping[str, float]]
"""Returns what is known of a config before it trains, by column."""

_DECISIONS: dict[Decision, str] = {
    Decision.CONTINUE: TrialScheduler.CONTINUE,
    Decision.SAVE: TrialScheduler.CONTINUE,
    Decision.PAUSE: TrialScheduler.PAUSE,
    Decision.STOP: TrialScheduler.STOP,
}


class TuneAdapter(TrialScheduler):  # type: ignore[misc]  # Ray's classes are untyped
    """Tells a scheduler what Tune tells, and does what it decides.

    Trials that have not begun are started by Tune itself, in their order, as soon as there is
    room; the scheduler is asked for paused ones first.

    Args:
        scheduler: decides.
        known: what of a config is known before it trains; part of every report.
        on_exploit: hears of exploits.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        known: Known = lambda config: {},
        on_exploit: OnExploit = lambda *_: None,
    ) -> None:
        super().__init__()
        self.scheduler = scheduler
        self._known = known
        self._on_exploit = on_exploit
        self._known_by_trial: dict[str, dict[str, float]] = {}
        self._live: dict[str, Trial] = {}
        self._new: dict[str, Trial] = {}  # that had not begun, when they were looked at last
        self._pausing: dict[str, Trial] = {}  # until they are saved
        self._paused: dict[str, Trial] = {}
        self._exploits: dict[str, Exploit] = {}  # of paused trials whose donor is being saved
        self._called: Trial | None = None  # waits for an actor
        self.is_contended = False  # when the last report came
        self.num_pending = 0  # when the scheduler was asked last

    def replay(self, event: Event) -> None:
        """See `Replayable`."""
        fields = event.fields
        if event.kind == "pending":
            self.num_pending = fields["num_pending"]
            self.scheduler.choose_next([], self.num_pending)
            return
        trial_id = fields["trial_id"]
        if event.kind in ("admit", "reopen"):
            self._admit(trial_id, fields["config"])
        elif event.kind == "report":
            decision = self._decide(trial_id, fields["result"], fields["is_contended"])
            if isinstance(decision, Exploit):
                self._exploits[trial_id] = decision
        elif event.kind == "exploit":
            self._exploits.pop(trial_id, None)
        elif event.kind == "resume":
            self._exploits.pop(trial_id, None)  # it went on without: its donor had ended
            self.scheduler.choose_next([trial_id], self.num_pending)
        elif event.kind == "finish":
            self._exploits.pop(trial_id, None)
            has_failed = fields["status"] == "failed"
            (self.scheduler.on_error if has_failed else self.scheduler.on_complete)(trial_id)

    def set_search_properties(self, metric: str | None, mode: str | None, **spec: Any) -> bool:
        """Take no metric: the scheduler has its objectives."""
        return metric is None and mode is None

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        """See `TrialScheduler`; a trial that failed and is tried again keeps what it was."""
        self._live[trial.trial_id] = self._new[trial.trial_id] = trial
        if trial.status == Trial.PAUSED:  # by an earlier process of the sweep
            self._paused[trial.trial_id] = trial
        if trial.trial_id not in self._known_by_trial:
            self._admit(trial.trial_id, trial.config)

    def _admit(self, trial_id: str, config: Mapping[str, Any]) -> None:
        known = dict(self._known(config))
        self._known_by_trial[trial_id] = known
        self.scheduler.on_add(trial_id, config, known)

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """See `TrialScheduler`."""
        self.is_contended = self._is_contended()
        decision = self._decide(trial.trial_id, result, self.is_contended)
        if isinstance(decision, Exploit):
            self._exploits[trial.trial_id] = decision
            decision = Decision.PAUSE  # saved, for the case that the donor ends meanwhile
        if decision is Decision.PAUSE:
            self._pausing[trial.trial_id] = trial
        if decision is Decision.SAVE:
            tune_controller._schedule_trial_save(trial, result=result)
        return _DECISIONS[decision]

    def _decide(
        self, trial_id: str, result: Mapping[str, Any], is_contended: bool
    ) -> Decision | Exploit:
        values = numbers_of(result) | self._known_by_trial[trial_id]
        return self.scheduler.on_report(
            Report(trial_id, int(result["epoch"]), values, is_contended)
        )

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> None:
        """See `TrialScheduler`."""
        self._forget(trial)
        self.scheduler.on_complete(trial.trial_id)

    def on_trial_remove(self, tune_controller: Any, trial: Trial) -> None:
        """See `TrialScheduler`."""
        self._forget(trial)
        self.scheduler.on_complete(trial.trial_id)

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        """See `TrialScheduler`."""
        self._forget(trial)
        self.scheduler.on_error(trial.trial_id)

    def _is_contended(self) -> bool:
        # The newest first: of those some wait as long as there are any to come.
        waiting = (Trial.PENDING, Trial.PAUSED)
        return self.scheduler.makes_room and any(
            trial.status in waiting for trial in reversed(self._live.values())
        )

    def _forget(self, trial: Trial) -> None:
        for known in (self._live, self._new, self._pausing, self._paused, self._exploits):
            known.pop(trial.trial_id, None)
        if self._called is trial:
            self._called = None

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        """Return a paused trial that shall go on; None lets Tune start a new one."""
        if self._called is not None:
            if self._called.status != Trial.RUNNING:
                return self._called
            self._called = None
        saved = [t for t, trial in self._pausing.items() if trial.status == Trial.PAUSED]
        self._paused |= {trial_id: self._pausing.pop(trial_id) for trial_id in saved}
        if not self._paused:
            return None
        chosen = self._exploiting() or self._resumed(tune_controller)
        if chosen is not None:
            del self._paused[chosen.trial_id]
            self._called = chosen
        elif len(self._paused) == len(self._live) and tune_controller.search_alg.is_exhausted:
            self._end(tune_controller)
        return chosen

    def _exploiting(self) -> Trial | None:
        """Return a trial that takes over a donor's weights, if one can now."""
        for trial_id, exploit in self._exploits.items():
            trial, donor = self._paused.get(trial_id), self._live.get(exploit.donor_id)
            if trial is None or (donor is not None and donor.is_saving):
                continue
            del self._exploits[trial_id]
            if donor is not None and donor.latest_checkpoint_result is not None:
                self._take_over(trial, donor, exploit)
            return trial  # a donor that ended meanwhile leaves it as it is
        return None

    def _resumed(self, tune_controller: Any) -> Trial | None:
        begun = [t for t, trial in self._new.items() if trial.status != Trial.PENDING]
        for trial_id in begun:
            del self._new[trial_id]
        while waiting := self._waiting():
            self.num_pending = len(self._new)
            chosen = self.scheduler.choose_next(waiting, self.num_pending)
            if isinstance(chosen, Drop):
                tune_controller.stop_trial(self._paused.pop(chosen.trial_id))
                continue
            if chosen is None:
                return None
            if chosen.exploit is None:
                return self._paused[chosen.trial_id]
            self._exploits[chosen.trial_id] = chosen.exploit
            return self._exploiting()
        return None

    def _waiting(self) -> Collection[str]:
        """Return the paused trials that wait for no donor."""
        if not self._exploits:
            return self._paused.keys()
        return [trial_id for trial_id in self._paused if trial_id not in self._exploits]

    def _take_over(self, trial: Trial, donor: Trial, exploit: Exploit) -> None:
        # What Ray's own PBT does: Tune has no public way to give a trial another's checkpoint.
        checkpoint = donor.latest_checkpoint_result
        trial.run_metadata.checkpoint_manager._latest_checkpoint_result = checkpoint
        trial.set_config({**trial.config, **exploit.config})
        epoch = checkpoint_epoch(checkpoint.checkpoint.path)
        self._on_exploit(trial.trial_id, donor.trial_id, epoch, trial.config)

    def _end(self, tune_controller: Any) -> None:
        """Stop the paused trials: nothing can come any more that would let them go on."""
        for trial in list(self._paused.values()):
            tune_controller.stop_trial(trial)

    def donor_checkpoints(self) -> set[str]:
        """Return the paths of checkpoints that the next exploit may copy."""
        return {trial.checkpoint.path for trial in self._live.values() if trial.checkpoint}

    def debug_string(self) -> str:
        """See `TrialScheduler`."""
        return type(self.scheduler).__name__
