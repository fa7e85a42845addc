"""Ray Tune's own schedulers, set up so that they work on gangs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from ray.tune.experiment import Trial
from ray.tune.schedulers import (
    AsyncHyperBandScheduler,
    FIFOScheduler,
    PopulationBasedTraining,
    TrialScheduler,
)

from sweeps.combinations import used_domains
from sweeps.domains import Space
from sweeps.plan import SweepPlan
from trainables.checkpoint_store import checkpoint_epoch

OnExploit = Callable[[str, str, int, Mapping[str, Any]], None]
"""Hears of (trial id, donor id, the donor's epoch, the new config)."""

RESAMPLE_PROBABILITY: Final = 0.25
"""Share of hyperparameters that explore draws anew instead of perturbing."""

_EXPLORE: Final = 0xE8B1  # a stream of its own: trials draw from (seed, index)


class Explore:
    """PBT's explore step, kept inside the space's bounds, which Ray's own is not.

    Each mutable hyperparameter is drawn anew with `RESAMPLE_PROBABILITY`, else perturbed
    (Jaderberg et al. 2017, section 4).
    """

    def __init__(self, mutable: Space, seed: int) -> None:
        self._mutable = mutable
        self._generator = np.random.default_rng((seed, 0, _EXPLORE))

    def __call__(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Return a changed copy of a donor's config."""
        explored = dict(config)
        for name, domain in used_domains(self._mutable, config).items():
            if self._generator.random() < RESAMPLE_PROBABILITY:
                explored[name] = domain.sample(self._generator)
            else:
                explored[name] = domain.perturb(explored[name], self._generator)
        return explored


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


def make_scheduler(plan: SweepPlan, on_exploit: OnExploit) -> TrialScheduler:
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
            custom_explore_fn=Explore(plan.mutable, plan.spec.seed),
            log_config=False,
            **common,
        )
    return FIFOScheduler()
