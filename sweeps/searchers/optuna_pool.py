"""A pool of configs under Optuna's samplers: the nearest config that was not tried yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
)
from optuna.trial import FrozenTrial

from analysis.records import Objective
from sweeps.searchers.optuna_searcher import OptunaOptions, OptunaSearcher, suggest_value
from sweeps.searchers.pool import LOG_RANGE

MAX_CATEGORIES: Final = 5
"""Numbers of which there are no more are taken for words."""


class PoolCandidates:
    """The configs of a pool, or the rows of a recorded table; `Candidates`.

    A sampler asks for any hyperparameters inside the pool's bounds. The candidate is the config
    that differs least: where the pool holds every combination, that very one.

    Args:
        configs: [num] hyperparameters by name: words, numbers or booleans; each has all of them.
        known: [num] of what is known before training, by column.
    """

    def __init__(
        self, configs: Sequence[Mapping[str, Any]], known: Mapping[str, NDArray[np.float64]]
    ) -> None:
        names = sorted(configs[0]) if configs else []
        self._columns = {name: _Column([config[name] for config in configs]) for name in names}
        self.distributions: dict[str, BaseDistribution] = {
            name: column.distribution for name, column in self._columns.items()
        }
        self._known = dict(known)
        self._is_free = np.ones(len(configs), dtype=np.bool_)

    @property
    def is_empty(self) -> bool:
        """See `Candidates`."""
        return not self._is_free.any()

    def choose(self, trial: optuna.Trial) -> int | None:
        """See `Candidates`."""
        distance = np.zeros(len(self._is_free))
        for name, column in self._columns.items():
            distance += column.distance(suggest_value(trial, name, column.distribution))
        index = int(np.where(self._is_free, distance, np.inf).argmin())
        self._is_free[index] = False
        return index

    def restore(self, index: int, trial: FrozenTrial) -> None:
        """See `Candidates`."""
        self._is_free[index] = False

    def known(self, index: int) -> Mapping[str, float]:
        """See `Candidates`."""
        return {name: float(values[index]) for name, values in self._known.items()}


def search_pool(
    name: str,
    configs: Sequence[Mapping[str, Any]],
    known: Mapping[str, NDArray[np.float64]],
    objectives: Sequence[Objective],
    options: OptunaOptions,
) -> OptunaSearcher:
    """Return a searcher over a pool.

    Args:
        name: in `SAMPLERS`.
        configs: see `PoolCandidates`.
        known: see `PoolCandidates`; with the objectives that no trial reports.
        objectives: that the sampler is told.
        options: of the search.
    """
    return OptunaSearcher(name, PoolCandidates(configs, known), objectives, options)


class _Column:
    """The values of one hyperparameter."""

    def __init__(self, values: Sequence[Any]) -> None:
        self._values = np.array(values, dtype=object)
        distinct = sorted(set(values), key=str)
        is_number = all(type(value) in (int, float) for value in values)
        self._scaled: NDArray[np.float64] | None = None
        self._is_log = False
        self.distribution: BaseDistribution = CategoricalDistribution(distinct)
        if is_number and len(distinct) > MAX_CATEGORIES:
            low, high = float(min(distinct)), float(max(distinct))
            self._is_log = low > 0 and high > LOG_RANGE * low
            self.distribution = FloatDistribution(low, high, log=self._is_log)
            self._scaled = self._scale(self._values.astype(np.float64))

    def distance(self, value: Any) -> NDArray[np.float64]:
        """Return [num] how far each is from a value: from 0 to 1."""
        if self._scaled is None:
            return np.asarray(self._values != value, dtype=np.float64)
        span = np.ptp(self._scaled)
        return np.asarray(np.abs(self._scaled - self._scale(np.float64(value))) / span)

    def _scale(self, values: Any) -> Any:
        return np.log(values) if self._is_log else values
