"""Ray Tune's own population schedulers, set up so that they work on gangs.

Both draw from Python's and NumPy's global generators, and hold Tune's trials and checkpoints: their
state does not survive the process. `mo_pbt` with one objective is PBT that does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

from ray.tune.experiment import Trial
from ray.tune.schedulers import PopulationBasedTraining, TrialScheduler
from ray.tune.schedulers.pb2 import PB2

from sweeps.plan import SweepPlan
from sweeps.schedulers.explore import Explore
from sweeps.spaces import bounded_part
from trainables.checkpoint_store import checkpoint_epoch

OnExploit = Callable[[str, str, int, Mapping[str, Any]], None]
"""Hears of (trial id, donor id, the donor's epoch, the new config)."""

RESAMPLE_PROBABILITY: Final = 0.25
"""Share of hyperparameters that explore draws anew instead of perturbing."""


class _Recorded:
    """Tells of each exploit, and knows which checkpoints it may still need.

    A report of NaN is taken for the worst that any member has reported: Ray would sort by it at
    random, and PB2 fail.
    """

    _on_exploit: OnExploit
    _worst: float | None = None

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """See `TrialScheduler`."""
        name, sign = self._metric, self._metric_op  # type: ignore[attr-defined]
        value = result.get(name, math.nan)
        if not math.isfinite(value):
            result = {**result, name: self._worst if self._worst is not None else 0.0}
        elif self._worst is None or sign * value < sign * self._worst:
            self._worst = value
        decision: str = super().on_trial_result(  # type: ignore[misc]
            tune_controller, trial, result
        )
        return decision

    def _exploit(self, tune_controller: Any, trial: Trial, trial_to_clone: Trial) -> None:
        super()._exploit(tune_controller, trial, trial_to_clone)  # type: ignore[misc]
        epoch = checkpoint_epoch(trial.checkpoint.path)
        self._on_exploit(trial.trial_id, trial_to_clone.trial_id, epoch, trial.config)

    def donor_checkpoints(self) -> set[str]:
        """Return the paths of checkpoints that the next exploit may copy."""
        states = self._trial_state.values()  # type: ignore[attr-defined]
        checkpoints = (state.last_checkpoint for state in states)
        return {c.path for c in checkpoints if hasattr(c, "path")}


class RecordedPBT(_Recorded, PopulationBasedTraining):  # type: ignore[misc]  # untyped
    """Ray's PBT; see `_Recorded`."""

    def __init__(self, on_exploit: OnExploit, **options: Any) -> None:
        super().__init__(**options)
        self._on_exploit = on_exploit


class RecordedPB2(_Recorded, PB2):  # type: ignore[misc]  # untyped
    """Ray's PB2; see `_Recorded`."""

    def __init__(self, on_exploit: OnExploit, **options: Any) -> None:
        super().__init__(**options)
        self._on_exploit = on_exploit


def make_population(plan: SweepPlan, on_exploit: OnExploit) -> TrialScheduler:
    """Return Ray's PBT or PB2; the first objective steers it.

    PB2's Gaussian process chooses the numbers that have one pair of bounds; the others are explored
    as PBT does.
    """
    steering = plan.objectives[0]
    common = {
        "time_attr": "epoch",
        "metric": steering.column,
        "mode": steering.direction,
        "perturbation_interval": plan.perturbation_epochs,
        "log_config": False,
    }
    if plan.spec.scheduler == "pbt":
        explore = Explore(plan.mutable, plan.spec.seed, RESAMPLE_PROBABILITY)
        return RecordedPBT(on_exploit, custom_explore_fn=explore, **common)
    bounds = bounded_part(plan.mutable, plan.space, plan.fixed)
    others = {name: entry for name, entry in plan.mutable.items() if name not in bounds}
    explore = Explore(others, plan.spec.seed, RESAMPLE_PROBABILITY)

    def inside(config: dict[str, Any]) -> dict[str, Any]:
        # PB2 computes in 32 bits, and so may leave a bound by a rounding.
        clipped = {name: min(max(config[name], low), high) for name, (low, high) in bounds.items()}
        return explore({**config, **clipped})

    return RecordedPB2(
        on_exploit,
        hyperparam_bounds={name: list(pair) for name, pair in bounds.items()},
        custom_explore_fn=inside,
        **common,
    )
