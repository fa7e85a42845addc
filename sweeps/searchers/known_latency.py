"""A searcher for objectives of which all but one are known before training, as a latency is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from analysis.records import Objective
from sweeps.searchers.growing_front import GrowingFront
from sweeps.searchers.observations import Observation, Observations, Rows, finite, parse, plain
from sweeps.searchers.pool import CandidatePool
from sweeps.searchers.surrogate import ForestOptions, Outlook, Surrogate
from trainables.errors import InputError

Floats = NDArray[np.float64]

COST_POWER: Final = 0.5
"""Of the predicted cost that an improvement is divided by: half way to improvement per second."""

RANDOM_FRACTION: Final = 0.1
"""Of the suggestions that the surrogate has no say in, so that it can't be wrong for ever."""

REFIT_GROWTH: Final = 0.1
"""The surrogate is fitted anew when the observations have grown by this fraction ..."""

REFIT_MIN_NEW: Final = 4
"""... and by so many."""

MARGIN_FRACTION: Final = 0.1
"""The reference point is worse than the worst by this fraction of the range, as a report's is."""

MAX_INITIAL: Final = 24

GOLDEN_RATIO: Final = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True)
class KnownLatencyOptions:
    """How candidates are searched.

    Attributes:
        max_epochs: of a full training, >= 1.
        seed: >= 0.
        seconds_column: of a trial's training seconds up to a report, for the predicted cost; where
            reports lack it, all cost the same.
        forest: the size of the surrogate.
    """

    max_epochs: int
    seed: int
    seconds_column: str = "seconds"
    forest: ForestOptions = field(default_factory=ForestOptions)


class KnownLatencySearcher:
    """Suggests what is expected to improve the front most for its cost; a `Searcher`.

    The acquisition is the exact expected hypervolume improvement (`known_ehvi`), times the chance
    that the trial does not fail, over the predicted cost to the power `COST_POWER`. The first
    suggestions, and `RANDOM_FRACTION` of the later ones, are spread evenly over the known losses.

    The front that is to be improved holds what trials that were trained in full reached (as it was
    observed: the surrogate smooths the extremes, and then improving on them looks too easy), and of
    trials that are under way what the surrogate expects of them, so that trials at the same time
    don't all try the same ("kriging believer", Ginsbourger et al. 2010). Trials that were stopped
    early are not in it: they are not candidates for anything, and what they said has its say in the
    surrogate, as observations at their own epochs.

    Args:
        pool: the candidates, with one or two known objectives.
        learnt: the objective that training finds out.
        options: of the search.

    Raises:
        InputError: if the pool has no known objective or more than two, or an option is out of
            bounds.
    """

    def __init__(
        self, pool: CandidatePool, learnt: Objective, options: KnownLatencyOptions
    ) -> None:
        if len(pool.objectives) not in (1, 2):
            raise InputError(
                "known objectives must be one or two, got "
                f"{', '.join(o.column for o in pool.objectives) or 'none'}; use RandomSearcher"
            )
        if options.max_epochs < 1 or options.seed < 0:
            raise InputError(
                "max_epochs must be >= 1 and seed >= 0, got "
                f"{options.max_epochs} and {options.seed}; change it"
            )
        self._pool = pool
        self._learnt = learnt
        self._options = options
        self._surrogate = Surrogate(pool, options.max_epochs, options.forest)
        self._places = _places(pool.known, np.random.default_rng(options.seed))
        self._num_initial = max(8, min(2 * len(pool.names), MAX_INITIAL))
        self._is_free = np.ones(len(pool), dtype=np.bool_)
        self._observations = Observations()
        self._failed: list[int] = []
        self._pending: list[int] = []
        self._num_suggested = 0
        self._num_fits = 0
        self._fit: _Fit | None = None

    def suggest(self) -> int | None:
        """See `Searcher`."""
        free = np.flatnonzero(self._is_free)
        if not len(free):
            return None
        if self._is_refit_due():
            self._refit()
        generator = np.random.default_rng([self._options.seed, self._num_suggested])
        index = None
        is_random = generator.random() < RANDOM_FRACTION
        if self._fit is not None and self._num_suggested >= self._num_initial and not is_random:
            index = self._fit.front.best(free)
        if index is None:
            index = self._spread(free)
        self._is_free[index] = False
        self._pending.append(index)
        self._num_suggested += 1
        if self._fit is not None:
            self._fit.front.add(self._pool.known[index], self._fit.outlook.mean[index])
        return index

    def on_report(self, index: int, epoch: int, values: Mapping[str, float]) -> None:
        """See `Searcher`."""
        loss = self._learnt.loss(finite(values, self._learnt.column))
        seconds = finite(values, self._options.seconds_column)
        is_new = index not in self._failed and self._observations.add(
            Observation(index, epoch, loss, seconds)
        )
        if is_new and epoch >= self._options.max_epochs and self._fit is not None:
            self._fit.front.add(self._pool.known[index], loss)

    def on_complete(self, index: int, is_whole: bool) -> None:
        """See `Searcher`."""
        if index in self._pending:
            self._pending.remove(index)
        last = self._observations.end(index) if is_whole else None
        if last is not None and last.epoch < self._options.max_epochs and self._fit is not None:
            self._fit.front.add(self._pool.known[index], last.loss)

    def on_error(self, index: int) -> None:
        """See `Searcher`."""
        self.on_complete(index, is_whole=False)
        self._observations.forget(index)
        if index not in self._failed:
            self._failed.append(index)

    def state_dict(self) -> dict[str, Any]:
        """See `Searcher`."""
        return {
            "num_suggested": self._num_suggested,
            "suggested": np.flatnonzero(~self._is_free).tolist(),
            "pending": list(self._pending),
            "failed": list(self._failed),
            "observations": self._observations.state(),
            "num_fits": self._num_fits,
            "fit": None if self._fit is None else self._fit.state(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See `Searcher`."""
        self._num_suggested = int(state["num_suggested"])
        self._is_free = np.ones(len(self._pool), dtype=np.bool_)
        self._is_free[np.array(state["suggested"], dtype=np.int64)] = False
        self._pending = list(state["pending"])
        self._failed = list(state["failed"])
        self._observations.load(state["observations"])
        self._num_fits = int(state["num_fits"])
        self._fit = None
        if state["fit"] is not None:
            points = np.array(state["fit"]["front"], dtype=np.float64)
            seen, failed = parse(state["fit"]["observations"]), list(state["fit"]["failed"])
            self._fit = self._make_fit(seen, failed, points)

    def _is_refit_due(self) -> bool:
        num_kept = self._observations.num_kept
        if self._fit is None:
            return num_kept >= REFIT_MIN_NEW and self._num_suggested >= self._num_initial
        num_before = len(self._fit.observations)
        return num_kept - num_before >= max(REFIT_MIN_NEW, REFIT_GROWTH * num_before)

    def _refit(self) -> None:
        self._num_fits += 1
        self._fit = self._make_fit(self._observations.all(), list(self._failed), None)

    def _make_fit(self, seen: list[Observation], failed: list[int], points: Floats | None) -> _Fit:
        """Return the surrogate's predictions; with the front of now where no points are given."""
        outlook = self._surrogate.predict(
            Rows.of(seen), np.array(failed, dtype=np.int64), self._options.seed + self._num_fits
        )
        if points is None:
            points = self._front(seen, outlook)
        known = self._pool.known
        worst = np.append(known.max(axis=0), outlook.worst)
        best = np.append(known.min(axis=0), outlook.mean.min())
        reference = worst + MARGIN_FRACTION * (worst - best)
        weight = outlook.success / outlook.cost**COST_POWER
        return _Fit(seen, failed, outlook, GrowingFront(known, outlook, weight, points, reference))

    def _front(self, seen: list[Observation], outlook: Outlook) -> Floats:
        """Return the points of the front; see the class."""
        losses = {index: float(outlook.mean[index]) for index in self._pending}
        rows = Rows.of(seen)
        full = rows.take(np.flatnonzero(rows.is_full(self._options.max_epochs)))
        losses |= dict(zip(full.index.tolist(), full.loss.tolist(), strict=True))
        index = np.array(list(losses), dtype=np.int64)
        return np.column_stack([self._pool.known[index], np.array(list(losses.values()))])

    def _spread(self, free: NDArray[np.int64]) -> int:
        """Return the free candidate nearest to the next of places that fill the quantiles evenly.

        The places are the golden ratio's sequence, which leaves no large gap wherever it ends.
        """
        place = (0.5 + GOLDEN_RATIO * self._num_suggested) % 1
        places = self._places[self._num_suggested % len(self._places)]
        return int(free[np.abs(places[free] - place).argmin()])


@dataclass(frozen=True)
class _Fit:
    """What was seen when the surrogate was fitted, and what followed from it."""

    observations: list[Observation]
    failed: list[int]
    outlook: Outlook
    front: GrowingFront

    def state(self) -> dict[str, Any]:
        return {
            "observations": plain(self.observations),
            "failed": list(self.failed),
            "front": self.front.points.tolist(),
        }


def _places(known: Floats, generator: np.random.Generator) -> Floats:
    """Return [num_known, num] in which quantile of each known loss a candidate is; ties at random.

    Args:
        known: [num, num_known].
        generator: of the order among equal ones.
    """
    num = len(known)
    shuffled = generator.permutation(num)
    places = np.empty((known.shape[1], num))
    for row, column in zip(places, known.T, strict=True):
        row[shuffled[np.argsort(column[shuffled], kind="stable")]] = (np.arange(num) + 0.5) / num
    return places
