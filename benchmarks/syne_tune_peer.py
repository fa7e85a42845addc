"""Syne Tune's MOASHA as one of our schedulers, for `benchmarks/search.py` alone.

It decides as it is (`syne_tune.optimizer.schedulers.multiobjective.moasha`, with its own default
priority, the non-dominated sort with an epsilon net); candidates come from a searcher of ours, as
its own `suggest` draws at random.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from syne_tune.backend.trial_status import Trial
from syne_tune.optimizer.scheduler import SchedulerDecision
from syne_tune.optimizer.schedulers.multiobjective.moasha import MOASHA

from analysis.records import Objective
from sweeps.schedulers.losses import report_losses
from sweeps.schedulers.protocol import Decision, Report, Resume

_DECISIONS = {
    SchedulerDecision.CONTINUE: Decision.CONTINUE,
    SchedulerDecision.STOP: Decision.STOP,
}


class SyneTuneMoasha:
    """See the module's text; a `Scheduler` without a state that could be saved."""

    makes_room = False

    def __init__(self, objectives: Sequence[Objective], max_epochs: int) -> None:
        self._objectives = objectives
        self._moasha = MOASHA(
            config_space={},
            metrics=[objective.column for objective in objectives],
            time_attr="epoch",
            max_t=max_epochs,
            random_seed=0,  # of `suggest`, which nobody asks
        )
        self._trials: dict[str, Trial] = {}

    def on_add(self, trial_id: str, config: Mapping[str, Any], known: Mapping[str, float]) -> None:
        """See `Scheduler`."""
        trial = Trial(len(self._trials), dict(config), datetime.now(UTC))
        self._trials[trial_id] = trial
        self._moasha.on_trial_add(trial)

    def on_report(self, report: Report) -> Decision:
        """See `Scheduler`."""
        losses = report_losses(report, self._objectives)
        values = dict(zip(self._moasha.metric_names(), losses, strict=True))
        result = {**values, "epoch": report.epoch}
        return _DECISIONS[self._moasha.on_trial_result(self._trials[report.trial_id], result)]

    def on_complete(self, trial_id: str) -> None:
        """See `Scheduler`."""
        self._moasha.on_trial_remove(self._trials[trial_id])

    def on_error(self, trial_id: str) -> None:
        """See `Scheduler`."""
        self.on_complete(trial_id)

    def choose_next(self, paused: Collection[str], num_pending: int) -> Resume | None:
        """See `Scheduler`; it pauses none."""
        return None

    def state_dict(self) -> dict[str, Any]:
        """See `Scheduler`."""
        raise NotImplementedError

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See `Scheduler`."""
        raise NotImplementedError
