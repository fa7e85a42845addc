"""Optuna's samplers as searchers over a recorded table, for `benchmarks/search.py` alone.

A sampler suggests hyperparameters, and the trial is the config of the table that is nearest to
them and was not tried yet (for tables that hold every combination: that very one). It is told of
the objectives when the trial ends: those of a trial that was stopped early are its last ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray

from analysis.records import Objective
from sweeps.simulate.recorded_table import RecordedTable

SAMPLERS = {
    "motpe": lambda seed: optuna.samplers.TPESampler(seed=seed, multivariate=True),
    "nsga2": lambda seed: optuna.samplers.NSGAIISampler(seed=seed),
}


class OptunaSearcher:
    """See the module's text; a `Searcher` without a state that could be saved."""

    def __init__(
        self, table: RecordedTable, objectives: Sequence[Objective], name: str, seed: int
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._table = table
        self._objectives = objectives
        self._study = optuna.create_study(
            directions=["minimize" if o.direction == "min" else "maximize" for o in objectives],
            sampler=SAMPLERS[name](seed),
        )
        self._columns = {
            name: np.array([config[name] for config in table.configs], dtype=object)
            for name in table.hyperparameters
        }
        self._distributions = {n: _distribution(column) for n, column in self._columns.items()}
        self._is_free = np.ones(len(table.configs), dtype=np.bool_)
        self._trials: dict[int, optuna.Trial] = {}
        self._last: dict[int, float] = {}

    def suggest(self) -> int | None:
        """See `Searcher`."""
        if not self._is_free.any():
            return None
        trial = self._study.ask(self._distributions)
        distances = sum(
            (_distance(column, trial.params[name]) for name, column in self._columns.items()),
            np.zeros(len(self._is_free)),
        )
        index = int(np.where(self._is_free, distances, np.inf).argmin())
        self._is_free[index] = False
        self._trials[index] = trial
        return index

    def on_report(self, index: int, epoch: int, values: Mapping[str, float]) -> None:
        """See `Searcher`."""
        self._last[index] = values[self._objectives[0].column]

    def on_complete(self, index: int, is_whole: bool) -> None:
        """See `Searcher`."""
        if index not in self._last:
            return self.on_error(index)
        known = [float(self._table.columns[o.column][index]) for o in self._objectives[1:]]
        self._study.tell(self._trials[index], [self._last[index], *known])
        return None

    def on_error(self, index: int) -> None:
        """See `Searcher`."""
        self._study.tell(self._trials[index], state=optuna.trial.TrialState.FAIL)


def _is_number(column: NDArray[Any]) -> bool:
    return all(isinstance(value, int | float) for value in column)


def _distribution(column: NDArray[Any]) -> optuna.distributions.BaseDistribution:
    values = sorted(set(column), key=str)
    if not _is_number(column) or len(values) <= 5:
        return optuna.distributions.CategoricalDistribution(values)
    low, high = float(min(values)), float(max(values))
    is_log = low > 0 and high / low > 100
    return optuna.distributions.FloatDistribution(low, high, log=is_log)


def _distance(column: NDArray[Any], value: Any) -> NDArray[np.float64]:
    if not _is_number(column) or len(set(column)) <= 5:
        return np.asarray(column != value, dtype=np.float64)
    numbers = column.astype(np.float64)
    if numbers.min() > 0 and numbers.max() / numbers.min() > 100:
        numbers, value = np.log(numbers), np.log(value)
    return np.abs(numbers - value) / np.ptp(numbers)
