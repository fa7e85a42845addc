"""The scheduler that a sweep's plan names."""

from __future__ import annotations

from typing import Final

from ray.tune.schedulers import TrialScheduler

from sweeps.plan import SweepPlan
from sweeps.schedulers.explore import Explore
from sweeps.schedulers.from_ray import Fifo, make_population
from sweeps.schedulers.mo_asha import HalvingOptions, MoAsha
from sweeps.schedulers.mo_pbt import MoPbt, PopulationOptions
from sweeps.schedulers.ray_stopping import RAY_STOPPING, RayStopping, StoppingOptions
from sweeps.schedulers.tune_adapter import Known, OnExploit, TuneAdapter
from sweeps.spec import POPULATION

RESAMPLE_PROBABILITY: Final = 0.2
"""Share of hyperparameters that MO-PBT draws anew."""


def make_scheduler(plan: SweepPlan, known: Known, on_exploit: OnExploit) -> TrialScheduler:
    """Return the scheduler that the plan names.

    Args:
        plan: of the sweep.
        known: returns what is known of a config before it trains.
        on_exploit: hears of exploits.
    """
    spec, objectives = plan.spec, plan.steering
    if spec.scheduler == "mo_asha":
        options = HalvingOptions(
            plan.num_epochs,
            min(spec.grace_epochs, plan.num_epochs),
            spec.reduction_factor,
            spec.halving_order,
            spec.halving_variant,
        )
        columns = [o.column for o in objectives if o.is_known_before_training]
        return TuneAdapter(MoAsha(objectives, columns, options), known, on_exploit)
    if spec.scheduler == "mo_pbt":
        population = PopulationOptions(
            plan.perturbation_epochs, plan.num_epochs, quorum_fraction=spec.pbt_quorum
        )
        explore = Explore(plan.mutable, spec.seed, RESAMPLE_PROBABILITY)
        scheduler = MoPbt(objectives, explore, population, spec.seed)
        return TuneAdapter(scheduler, known, on_exploit)
    if spec.scheduler in RAY_STOPPING:
        stopping = StoppingOptions(plan.num_epochs, spec.grace_epochs, spec.reduction_factor)
        return TuneAdapter(RayStopping(spec.scheduler, objectives[0], stopping), known, on_exploit)
    return make_population(plan, on_exploit) if spec.scheduler in POPULATION else Fifo()
