"""The trials of a sweep, drawn before it starts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from sweeps.plan import SweepPlan
from sweeps.slo import Refusal, RefusalListener
from sweeps.spec import POPULATION
from trainables.errors import InputError
from trainables.trial_config import TrialConfig

MAX_DRAWS_PER_TRIAL: Final = 50
"""Draws for each trial that may train before a hard limit is called too tight."""


@dataclass(frozen=True)
class DrawnTrial:
    """A trial's id and config, and why it may not train, if so."""

    trial_id: str
    config: TrialConfig
    refusal: Refusal | None


def tell_refusals(trials: Iterable[DrawnTrial], listener: RefusalListener) -> None:
    """Tell a listener of each trial that may not train."""
    for trial in trials:
        if trial.refusal is not None:
            listener.on_refuse(trial.trial_id, trial.refusal)


def draw_trials(
    plan: SweepPlan, refusal: Callable[[TrialConfig], Refusal | None]
) -> list[DrawnTrial]:
    """Draw the sweep's configs; the same seed, the same trials.

    A refused config takes one of the sweep's trials, except under PBT: a population must be full,
    so there another is drawn in its place.

    Raises:
        InputError: if a population can't be filled.
    """
    return _draw(plan, refusal, is_filled=plan.spec.scheduler in POPULATION)


def draw_accepted(
    plan: SweepPlan, refusal: Callable[[TrialConfig], Refusal | None]
) -> list[TrialConfig]:
    """Draw as many configs that may train as the sweep has trials.

    Raises:
        InputError: if the space has too few.
    """
    drawn = _draw(plan, refusal, is_filled=True)
    return [trial.config for trial in drawn if trial.refusal is None]


def _draw(
    plan: SweepPlan, refusal: Callable[[TrialConfig], Refusal | None], *, is_filled: bool
) -> list[DrawnTrial]:
    """Draw trials; with `is_filled`, another in the place of each that may not train."""
    drawn: list[DrawnTrial] = []
    num_counted = 0
    while num_counted < plan.num_trials:
        index = len(drawn)
        if index >= plan.num_trials * MAX_DRAWS_PER_TRIAL:
            raise InputError(
                f"--trials must be as many as may train in the space, got {plan.num_trials} with "
                f"{num_counted} of {index} draws accepted; raise the SLO or lower --trials"
            )
        config = plan.sampler.draw(index)
        trial = DrawnTrial(f"trial_{index:04d}", config, refusal(config))
        drawn.append(trial)
        num_counted += trial.refusal is None or not is_filled
    return drawn
