"""Which hyperparameters an objective depends on: fANOVA, by Optuna's evaluator.

Needs the extra `analysis` (Optuna, which brings neither Ray nor Torch).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from analysis.configs import differing_keys, read_configs
from analysis.load import Run
from analysis.ranking import rankable_rows
from analysis.records import Objective

MIN_TRIALS: Final = 10
MAX_TRIALS: Final = 200
"""Evaluated, drawn at random: a forest's marginals take time that grows with its leaves."""
NUM_TREES: Final = 16
MAX_DEPTH: Final = 8
NUM_OUT_OF_BAG_TREES: Final = 100
LOG_RATIO: Final = 10.0
"""Positive numbers that span this ratio are taken by their logarithm."""

_CHANCE: Final = tuple(f"random numbers {index}" for index in range(3))
"""Columns put beside the hyperparameters."""
_ABSENT: Final = "(absent)"


@dataclass(frozen=True)
class Importance:
    """How much of an objective's variance each hyperparameter explains.

    Attributes:
        column: the objective's.
        fractions: by hyperparameter, of what the forest explains, the greatest first.
        explained_fraction: of the objective's variance, on trials that a forest has not seen (R
            squared, out of bag); about 0 or below: it has learnt nothing, and fractions are noise.
        chance_fraction: the greatest of three columns of random numbers put beside them: what is
            not clearly above it may be noise.
        num_trials: evaluated.
    """

    column: str
    fractions: Mapping[str, float]
    explained_fraction: float
    chance_fraction: float
    num_trials: int


def find_importance(run: Run, objective: Objective, *, seed: int = 0) -> Importance:
    """Return the importance of each hyperparameter that differs between ranked trials.

    The fraction of the variance of a random forest's prediction that a hyperparameter explains
    alone, over its whole range (fANOVA: Hutter, Hoos and Leyton-Brown, 2014). A number that some
    configs lack counts there as the median; which they are, the forest is told by the others.

    Args:
        run: from `load_run`.
        objective: whose values are explained; its direction does not matter.
        seed: of the forest, and of the draw where trials are more than `MAX_TRIALS`.

    Raises:
        ValueError: if fewer than `MIN_TRIALS` trials are ranked, their configs are the same, or
            they all have one value.
        ImportError: if Optuna is not installed.
    """
    rows = rankable_rows(run, [objective])
    generator = np.random.default_rng(seed)
    if len(rows) > MAX_TRIALS:
        rows = np.sort(generator.choice(rows, MAX_TRIALS, replace=False))
    trials = run.trials.take(rows)
    configs = read_configs(trials)
    values = np.asarray(trials[objective.column], dtype=np.float64)
    keys = differing_keys(configs)
    _check(objective, keys, values)
    columns: dict[str, list[Any]] = {
        key: [config.get(key, _ABSENT) for config in configs] for key in keys
    }
    explained = _explained(columns, values, seed)
    columns |= {name: generator.random(len(values)).tolist() for name in _CHANCE}
    found = _fanova(columns, values, seed)
    chance = max(found.pop(name) for name in _CHANCE)
    return Importance(objective.column, found, explained, chance, len(values))


def _check(objective: Objective, keys: Sequence[str], values: NDArray[np.float64]) -> None:
    if len(values) < MIN_TRIALS:
        raise ValueError(
            f"ranked trials must be >= {MIN_TRIALS} to tell importance, got {len(values)}; run "
            "more trials"
        )
    if not keys:
        raise ValueError(
            "configs must differ to tell importance, got the same in all trials; search over "
            "hyperparameters"
        )
    if np.ptp(values) == 0:
        raise ValueError(
            f"{objective.column} must differ between trials to tell importance, got {values[0]:g} "
            "in all; choose another objective"
        )


def _fanova(
    columns: Mapping[str, Sequence[Any]], values: NDArray[np.float64], seed: int
) -> dict[str, float]:
    """Return Optuna's importances, the greatest first."""
    import optuna  # takes a second, and is an extra

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space: dict[str, optuna.distributions.BaseDistribution] = {}
    coded: dict[str, Sequence[Any]] = {}
    for name, cells in columns.items():
        numbers = _numbers(cells)
        if numbers is None:
            coded[name] = [c if isinstance(c, (str, bool)) else str(c) for c in cells]
            choices = sorted(set(coded[name]), key=str)
            space[name] = optuna.distributions.CategoricalDistribution(choices)
        else:
            coded[name] = numbers.tolist()
            low, high = float(numbers.min()), float(numbers.max())
            space[name] = optuna.distributions.FloatDistribution(low, high)
    study = optuna.create_study()
    study.add_trials(
        [
            optuna.trial.create_trial(
                params={name: cells[row] for name, cells in coded.items()},
                distributions=space,
                value=value,
            )
            for row, value in enumerate(values.tolist())
        ]
    )
    evaluator = optuna.importance.FanovaImportanceEvaluator(
        n_trees=NUM_TREES, max_depth=MAX_DEPTH, seed=seed
    )
    found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return {name: float(fraction) for name, fraction in found.items()}


def _explained(
    columns: Mapping[str, Sequence[Any]], values: NDArray[np.float64], seed: int
) -> float:
    """Return the R squared of a random forest on trials that its trees have not seen."""
    from sklearn.ensemble import RandomForestRegressor

    coded = []
    for cells in columns.values():
        numbers = _numbers(cells)
        if numbers is None:
            numbers = np.unique(list(map(str, cells)), return_inverse=True)[1].astype(np.float64)
        coded.append(numbers)
    forest = RandomForestRegressor(NUM_OUT_OF_BAG_TREES, oob_score=True, random_state=seed)
    return float(forest.fit(np.stack(coded, axis=1), values).oob_score_)


def _numbers(cells: Sequence[Any]) -> NDArray[np.float64] | None:
    """Return a column as numbers, logarithms where these suit it; None if it is a choice."""
    known = [c for c in cells if c != _ABSENT]
    if not all(isinstance(c, (int, float)) and not isinstance(c, bool) for c in known):
        return None
    if len(set(known)) < 2:
        return None
    numbers = np.array([np.median(known) if c == _ABSENT else c for c in cells], dtype=np.float64)
    if numbers.min() > 0 and numbers.max() / numbers.min() >= LOG_RATIO:
        return np.log10(numbers)
    return numbers
