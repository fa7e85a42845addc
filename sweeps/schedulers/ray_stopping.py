"""Ray Tune's own stopping schedulers as pure ones, told only what they can bear.

Ray's classes hold Tune's trials and call its controller. Here they get stand-ins for both, so that
they stand the same tests as ours, and can be restored: their state is what they were told, told
again. What is mended on the way:

- a trial that is added again (a retry) keeps its bracket and its records, and epochs that it
  reports again change nothing;
- NaN is worse than any number: ASHA would let it go on, the median rule would never again see the
  trial's best, HyperBand would sort by it at random;
- ASHA enters a report that jumped over a rung in the highest one, and later ones in no lower rung;
- the median rule counts the last report of a trial once, and not again when it ends;
- a bracket of HyperBand is full once it was given its trials, and waits for them: Ray counts those
  that live, and halves whoever is there, so that where trials come one by one the first bracket,
  which stops none, takes them all;
- HyperBand looks at a bracket again whenever a trial of it has ended: Ray's does so only up to the
  first halving, and after it the others would wait for ever.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ray.tune.experiment import Trial
from ray.tune.schedulers import (
    AsyncHyperBandScheduler,
    HyperBandScheduler,
    MedianStoppingRule,
    TrialScheduler,
)
from ray.tune.schedulers.hyperband import _Bracket

from analysis.records import Objective
from sweeps.schedulers.protocol import Decision, Drop, Report, Resume

EPOCH: Final = "epoch"

WORST: Final = 1e300
"""Stands for the loss of a trial that has none; finite, as Ray averages and interpolates."""

_DECISIONS: Final = {
    TrialScheduler.CONTINUE: Decision.CONTINUE,
    TrialScheduler.PAUSE: Decision.PAUSE,
    TrialScheduler.STOP: Decision.STOP,
}


@dataclass(frozen=True)
class StoppingOptions:
    """How trials are stopped.

    Attributes:
        max_epochs: of a full training.
        grace_epochs: before a trial may be stopped.
        reduction_factor: one in this many goes on at a rung.
    """

    max_epochs: int
    grace_epochs: int = 1
    reduction_factor: float = 3


@dataclass(eq=False)
class _StandIn:
    """What a scheduler sees of a trial."""

    trial_id: str
    status: str = Trial.RUNNING
    is_saving: bool = False
    epoch: int = 0  # of the newest report
    level: int = -1  # the rung reached last
    is_stopped: bool = False


class RayStopping:
    """See the module's text; a `Scheduler`.

    Args:
        name: in `RAY_STOPPING`.
        objective: what it decides by.
        options: of the rungs.
    """

    def __init__(self, name: str, objective: Objective, options: StoppingOptions) -> None:
        self.makes_room = name == "median"
        self._name = name
        self._objective = objective
        self._options = options
        self._begin()

    def _begin(self) -> None:
        self._inner = RAY_STOPPING[self._name](self._objective, self._options)
        self._trials: dict[str, _StandIn] = {}
        self._dropped: dict[str, None] = {}
        self._is_contended = False
        self._log: list[list[Any]] = []

    def on_add(self, trial_id: str, config: Mapping[str, Any], known: Mapping[str, float]) -> None:
        """See `Scheduler`."""
        if trial_id in self._trials:
            return
        self._log.append(["add", trial_id])
        self._trials[trial_id] = _StandIn(trial_id)
        self._inner.on_trial_add(self, self._trials[trial_id])

    def on_report(self, report: Report) -> Decision:
        """See `Scheduler`."""
        value = report.values.get(self._objective.column, math.nan)
        if not math.isfinite(value):
            value = self._objective.loss(WORST)
        return self._hear(report.trial_id, report.epoch, value, report.is_contended)

    def _hear(self, trial_id: str, epoch: int, value: float, is_contended: bool) -> Decision:
        trial = self._trials[trial_id]
        if trial.is_stopped:
            return Decision.STOP
        if epoch <= trial.epoch:
            return Decision.CONTINUE
        trial.epoch, trial.status = epoch, Trial.RUNNING
        level = self._level(epoch)
        if level is not None and level == trial.level:
            return Decision.CONTINUE
        trial.level = -1 if level is None else level
        self._log.append(["report", trial_id, epoch, value, is_contended])
        self._is_contended = is_contended
        result = {EPOCH: epoch, self._objective.column: value}
        decision = _DECISIONS[self._inner.on_trial_result(self, trial, result)]
        trial.is_stopped = decision is Decision.STOP
        if decision is Decision.PAUSE:
            trial.status = Trial.PAUSED
        return decision

    def _level(self, epoch: int) -> int | None:
        """Return how many rungs of ASHA an epoch has reached, with the end; None for the others."""
        if not isinstance(self._inner, AsyncHyperBandScheduler):
            return None
        milestones = [float(milestone) for milestone, _ in self._inner._brackets[0]._rungs]
        return sum(epoch >= milestone for milestone in (*milestones, self._options.max_epochs))

    def on_complete(self, trial_id: str) -> None:
        """See `Scheduler`."""
        self._end(trial_id)

    def on_error(self, trial_id: str) -> None:
        """See `Scheduler`."""
        self._end(trial_id)

    def _end(self, trial_id: str) -> None:
        trial = self._trials[trial_id]
        if trial.status == Trial.TERMINATED:
            return
        self._log.append(["end", trial_id])
        trial.status = Trial.TERMINATED
        was_dropped = trial_id in self._dropped
        self._dropped.pop(trial_id, None)
        if isinstance(self._inner, _HyperBand) and not was_dropped:
            for bracket in self._inner.brackets():
                bracket.is_being_processed = False
            self._inner.on_trial_remove(self, trial)

    def choose_next(self, paused: Collection[str], num_pending: int) -> Resume | Drop | None:
        """See `Scheduler`."""
        self._wait_for_more(num_pending > 0)
        dropped = next((trial_id for trial_id in paused if trial_id in self._dropped), None)
        if dropped is not None:
            return Drop(dropped)
        if not isinstance(self._inner, _HyperBand):
            # First in, first out: those that have not begun, then whoever was added first.
            first = next((trial_id for trial_id in self._trials if trial_id in paused), None)
            return Resume(first) if first is not None and not num_pending else None
        chosen = self._inner.choose_trial_to_run(self)
        if chosen is None or chosen.trial_id not in paused:
            return None
        self._resume(chosen.trial_id)
        return Resume(chosen.trial_id)

    def _wait_for_more(self, is_waiting: bool) -> None:
        """Note whether there are trials to come; if not, brackets go on with those they have."""
        inner = self._inner
        if not isinstance(inner, _HyperBand) or inner.is_waiting == is_waiting:
            return
        self._log.append(["wait", None, is_waiting])
        inner.is_waiting = is_waiting
        for bracket in inner.brackets() if not is_waiting else ():
            if bracket.current_trials() and bracket.cur_iter_done():
                inner._process_bracket(self, bracket)

    def _resume(self, trial_id: str) -> None:
        self._log.append(["resume", trial_id])
        self._trials[trial_id].status = Trial.RUNNING

    def state_dict(self) -> dict[str, Any]:
        """See `Scheduler`."""
        return {"log": [list(told) for told in self._log]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See `Scheduler`."""
        self._begin()
        for kind, trial_id, *report in state["log"]:
            if kind == "add":
                self.on_add(trial_id, {}, {})
            elif kind == "report":
                self._hear(trial_id, *report)
            elif kind == "resume":
                self._resume(trial_id)
            elif kind == "wait":
                self._wait_for_more(*report)
            else:
                self._end(trial_id)

    def __reduce__(self) -> tuple[Any, ...]:
        """Be pickled as what it was told: Ray's HyperBand holds functions that can't be."""
        return _restore, (self._name, self._objective, self._options, self.state_dict())

    # --- What Ray's schedulers call of Tune's controller:

    def stop_trial(self, trial: _StandIn) -> None:
        """Note that a paused trial will not go on."""
        self._dropped[trial.trial_id] = None
        self._inner.on_trial_remove(self, trial)

    def get_live_trials(self) -> list[_StandIn]:
        """Return a trial that waits, if there is any: more is not asked."""
        return [_StandIn("waiting", Trial.PENDING)] if self._is_contended else []


class _HyperBand(HyperBandScheduler):  # type: ignore[misc]  # Ray's classes are untyped
    """HyperBand with brackets that wait until they are full, and are so for good.

    Attributes:
        is_waiting: there are trials to come.
    """

    is_waiting = True

    def brackets(self) -> list[_Bracket]:
        """Return all brackets, of all iterations."""
        return [bracket for bracket in itertools.chain(*self._hyperbands) if bracket is not None]

    def _create_bracket(self, s: int) -> _Bracket:
        bracket = super()._create_bracket(s)
        size, have_all_reported = bracket._n0, bracket.cur_iter_done
        bracket.filled = lambda: len(bracket._all_trials) >= size
        bracket.cur_iter_done = lambda: (
            (bracket.filled() or not self.is_waiting) and have_all_reported()
        )
        return bracket


def _restore(
    name: str, objective: Objective, options: StoppingOptions, state: Mapping[str, Any]
) -> RayStopping:
    scheduler = RayStopping(name, objective, options)
    scheduler.load_state_dict(state)
    return scheduler


def _common(objective: Objective) -> dict[str, Any]:
    return {"time_attr": EPOCH, "metric": objective.column, "mode": objective.direction}


def _asha(objective: Objective, options: StoppingOptions) -> TrialScheduler:
    return AsyncHyperBandScheduler(
        max_t=options.max_epochs,
        grace_period=min(options.grace_epochs, options.max_epochs),
        reduction_factor=options.reduction_factor,
        **_common(objective),
    )


def _hyperband(objective: Objective, options: StoppingOptions) -> TrialScheduler:
    return _HyperBand(
        max_t=options.max_epochs, reduction_factor=options.reduction_factor, **_common(objective)
    )


def _median(objective: Objective, options: StoppingOptions) -> TrialScheduler:
    # A trial makes room for others once, until there are enough to take a median of.
    return MedianStoppingRule(
        grace_period=options.grace_epochs,
        min_time_slice=options.max_epochs,
        **_common(objective),
    )


RAY_STOPPING: Final[Mapping[str, Callable[[Objective, StoppingOptions], TrialScheduler]]] = {
    "asha": _asha,
    "hyperband": _hyperband,
    "median": _median,
}
