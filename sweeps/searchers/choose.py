"""The searcher that a sweep's plan names, and what its candidates are."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from sweeps.draw import draw_accepted
from sweeps.plan import SweepPlan
from sweeps.searchers.protocol import Searcher
from sweeps.slo import Refusal
from trainables.errors import InputError
from trainables.trial_config import TrialConfig

POOL_SIZE: Final = 1000
"""Configs that are drawn as candidates, at least; of a grid all."""

POOL_PER_TRIAL: Final = 4
"""Configs that are drawn for each trial, at least, so that there is something to choose."""

Known = Callable[[Mapping[str, Any]], Mapping[str, float]]
"""Returns what is known of a config before it trains, by column."""


@dataclass(frozen=True)
class Search:
    """A searcher that chooses the trials while they run.

    Attributes:
        searcher: suggests candidates by number.
        config: returns the config of a candidate.
        stand_ins: configs in the place of those that are not chosen yet, for the forecast; as many
            as there will be trials.
        words: what chooses, for the user.
    """

    searcher: Searcher
    config: Callable[[int], TrialConfig]
    stand_ins: Sequence[TrialConfig]
    words: str


def make_search(
    plan: SweepPlan, refusal: Callable[[TrialConfig], Refusal | None], known: Known
) -> Search | None:
    """Return the search of a sweep; None if its trials are drawn before the start.

    Args:
        plan: of the sweep.
        refusal: returns why a config may not train, or None; such a config is no candidate.
        known: returns what is known of a config before it trains.

    Raises:
        InputError: if the space has too few configs that may train.
    """
    if plan.searcher == "random":
        return None
    if plan.searcher == "known_latency":
        return _among_pool(plan, refusal, known)
    # Here, because Optuna is an extra.
    from sweeps.searchers.optuna_searcher import OptunaOptions, OptunaSearcher
    from sweeps.searchers.optuna_space import SpaceCandidates

    def may_train(config: TrialConfig) -> bool:
        return refusal(config) is None

    candidates = SpaceCandidates(plan.sampler, may_train, known)
    options = OptunaOptions(plan.num_epochs, plan.num_trials, plan.spec.seed)
    searcher = OptunaSearcher(plan.searcher, candidates, plan.searching, options)
    stand_ins = draw_accepted(plan, refusal)
    return Search(searcher, candidates.config, stand_ins, f"chosen by {plan.searcher}")


def _among_pool(
    plan: SweepPlan, refusal: Callable[[TrialConfig], Refusal | None], known: Known
) -> Search:
    """Return the search for the best of a pool, of which all is known but what training tells."""
    # Here, because scikit-learn takes a second to import.
    from sweeps.searchers.known_latency import KnownLatencyOptions, KnownLatencySearcher
    from sweeps.searchers.pool import make_pool

    num = plan.sampler.num_configs or max(POOL_SIZE, POOL_PER_TRIAL * plan.num_trials)
    drawn = [plan.sampler.draw(index) for index in range(num)]
    (learnt,) = (o for o in plan.searching if not o.is_known_before_training)
    objectives = [o for o in plan.searching if o.is_known_before_training]
    columns = [objective.column for objective in objectives]
    found = _with_figures(drawn, columns, refusal, known)
    if not found:
        raise InputError(
            f"--searcher known_latency must have configs that may train, with {', '.join(columns)} "
            f"known, got none among {num}; raise the SLO or choose --searcher random"
        )
    configs = [config for config, _ in found]
    values = {column: np.array([figures[column] for _, figures in found]) for column in columns}
    # The seed of a trial is none of its hyperparameters.
    rows = [{k: v for k, v in config.to_dict().items() if k != "seed"} for config in configs]
    searcher = KnownLatencySearcher(
        make_pool(rows, values, objectives),
        learnt,
        KnownLatencyOptions(plan.num_epochs, plan.spec.seed, seconds_column="gang_seconds"),
    )
    words = f"chosen by known_latency among {len(configs)} candidates"
    if len(configs) < num:
        words += f" ({num - len(configs)} more are refused or have no {' or '.join(columns)})"
    return Search(searcher, configs.__getitem__, configs[: plan.num_trials], words)


def _with_figures(
    drawn: Sequence[TrialConfig],
    columns: Sequence[str],
    refusal: Callable[[TrialConfig], Refusal | None],
    known: Known,
) -> list[tuple[TrialConfig, Mapping[str, float]]]:
    """Return the configs that may train and of which all columns are known, with what is known."""
    by_architecture: dict[tuple[tuple[str, Any], ...], Mapping[str, float]] = {}
    found = []
    for config in drawn:
        architecture = tuple(config.architecture().items())
        if architecture not in by_architecture:
            figures = known(config.to_dict()) if refusal(config) is None else {}
            by_architecture[architecture] = figures
        figures = by_architecture[architecture]
        if all(math.isfinite(figures.get(column, math.nan)) for column in columns):
            found.append((config, figures))
    return found
