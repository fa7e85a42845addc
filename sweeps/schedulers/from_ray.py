"""Ray Tune's own schedulers, set up so that they work on gangs."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, Final

from ray.tune.experiment import Trial
from ray.tune.schedulers import (
    AsyncHyperBandScheduler,
    FIFOScheduler,
    PopulationBasedTraining,
    TrialScheduler,
)

from sweeps.journal import Event
from sweeps.plan import SweepPlan
from sweeps.schedulers.explore import Explore
from sweeps.schedulers.pbt_past import PbtPast
from trainables.checkpoint_store import checkpoint_epoch

OnExploit = Callable[[str, str, int, Mapping[str, Any]], None]
"""Hears of (trial id, donor id, the donor's epoch, the new config)."""

RESAMPLE_PROBABILITY: Final = 0.25
"""Share of hyperparameters that explore draws anew instead of perturbing."""


class RecordedPBT(PopulationBasedTraining):  # type: ignore[misc]  # Ray's classes are untyped
    """Ray's PBT that tells of each exploit, and knows which checkpoints it may still need."""

    def __init__(self, on_exploit: OnExploit, explore: Explore, **options: Any) -> None:
        super().__init__(custom_explore_fn=explore, **options)
        self._on_exploit = on_exploit
        self._explore = explore
        self._past = PbtPast(self._metric, self._metric_op, self._perturbation_interval)

    def replay(self, event: Event) -> None:
        """See `Replayable`."""
        self._past.replay(event)

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        """See `TrialScheduler`; a member of a resumed sweep is what it was."""
        super().on_trial_add(tune_controller, trial)
        if trial.trial_id in self._past.members:
            vars(self._trial_state[trial]).update(vars(self._past.members[trial.trial_id]))
            self._trial_state[trial].last_checkpoint = trial.checkpoint

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """See `TrialScheduler`; what is drawn depends on the report, not on what was before."""
        # Ray draws donors from the global generator.
        random.seed(f"{self._explore.seed} {trial.trial_id} {result['epoch']}")
        self._explore.restart(trial.trial_id, result["epoch"])
        decision: str = super().on_trial_result(tune_controller, trial, result)
        return decision

    def _exploit(self, tune_controller: Any, trial: Trial, trial_to_clone: Trial) -> None:
        super()._exploit(tune_controller, trial, trial_to_clone)
        epoch = checkpoint_epoch(trial.checkpoint.path)
        self._on_exploit(trial.trial_id, trial_to_clone.trial_id, epoch, trial.config)

    def donor_checkpoints(self) -> set[str]:
        """Return the paths of checkpoints that the next exploit may copy."""
        checkpoints = (state.last_checkpoint for state in self._trial_state.values())
        return {c.path for c in checkpoints if hasattr(c, "path")}


class ReplayableFIFO(FIFOScheduler):  # type: ignore[misc]  # Ray's classes are untyped
    """Ray's scheduler that decides nothing."""

    def replay(self, event: Event) -> None:
        """See `Replayable`; it remembers nothing."""


class ReplayableASHA(AsyncHyperBandScheduler):  # type: ignore[misc]  # Ray's classes are untyped
    """Ray's ASHA, that can be told again what it was told."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._last_results: dict[str, Mapping[str, Any]] = {}

    def replay(self, event: Event) -> None:
        """See `Replayable`; of a trial it looks at the id alone."""
        trial = SimpleNamespace(trial_id=event.fields["trial_id"])
        if event.kind == "admit":
            self.on_trial_add(None, trial)
        elif event.kind == "report":
            self._last_results[trial.trial_id] = event.fields["result"]
            self.on_trial_result(None, trial, event.fields["result"])
        elif event.kind == "finish" and event.fields["status"] != "failed":
            self.on_trial_complete(None, trial, self._last_results.pop(trial.trial_id, {}))


def make_ray_scheduler(plan: SweepPlan, on_exploit: OnExploit) -> TrialScheduler:
    """Return the scheduler that the plan names; the first objective steers it."""
    steering = plan.objectives[0]
    common = {"time_attr": "epoch", "metric": steering.column, "mode": steering.direction}
    if plan.spec.scheduler == "asha":
        return ReplayableASHA(
            max_t=plan.num_epochs,
            grace_period=min(plan.spec.grace_epochs, plan.num_epochs),
            reduction_factor=plan.spec.reduction_factor,
            **common,
        )
    if plan.spec.scheduler == "pbt":
        return RecordedPBT(
            on_exploit,
            Explore(plan.mutable, plan.spec.seed, RESAMPLE_PROBABILITY),
            perturbation_interval=plan.perturbation_epochs,
            log_config=False,
            **common,
        )
    return ReplayableFIFO()
