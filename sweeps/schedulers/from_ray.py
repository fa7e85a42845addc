"""Ray Tune's own schedulers, set up so that they work on gangs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from ray.tune.experiment import Trial
from ray.tune.schedulers import (
    AsyncHyperBandScheduler,
    FIFOScheduler,
    PopulationBasedTraining,
    TrialScheduler,
)

from sweeps.plan import SweepPlan
from sweeps.schedulers.explore import Explore
from trainables.checkpoint_store import checkpoint_epoch

OnExploit = Callable[[str, str, int, Mapping[str, Any]], None]
"""Hears of (trial id, donor id, the donor's epoch, the new config)."""

RESAMPLE_PROBABILITY: Final = 0.25
"""Share of hyperparameters that explore draws anew instead of perturbing."""


class RecordedPBT(PopulationBasedTraining):  # type: ignore[misc]  # Ray's classes are untyped
    """Ray's PBT that tells of each exploit, and knows which checkpoints it may still need."""

    def __init__(self, on_exploit: OnExploit, **options: Any) -> None:
        super().__init__(**options)
        self._on_exploit = on_exploit

    def _exploit(self, tune_controller: Any, trial: Trial, trial_to_clone: Trial) -> None:
        super()._exploit(tune_controller, trial, trial_to_clone)
        epoch = checkpoint_epoch(trial.checkpoint.path)
        self._on_exploit(trial.trial_id, trial_to_clone.trial_id, epoch, trial.config)

    def donor_checkpoints(self) -> set[str]:
        """Return the paths of checkpoints that the next exploit may copy."""
        checkpoints = (state.last_checkpoint for state in self._trial_state.values())
        return {c.path for c in checkpoints if hasattr(c, "path")}


def make_ray_scheduler(plan: SweepPlan, on_exploit: OnExploit) -> TrialScheduler:
    """Return the scheduler that the plan names; the first objective steers it."""
    steering = plan.objectives[0]
    common = {"time_attr": "epoch", "metric": steering.column, "mode": steering.direction}
    if plan.spec.scheduler == "asha":
        return AsyncHyperBandScheduler(
            max_t=plan.num_epochs,
            grace_period=min(plan.spec.grace_epochs, plan.num_epochs),
            reduction_factor=plan.spec.reduction_factor,
            **common,
        )
    if plan.spec.scheduler == "pbt":
        return RecordedPBT(
            on_exploit,
            perturbation_interval=plan.perturbation_epochs,
            custom_explore_fn=Explore(plan.mutable, plan.spec.seed, RESAMPLE_PROBABILITY),
            log_config=False,
            **common,
        )
    return FIFOScheduler()
