"""What every candidate of a pool is expected to reach, and to cost.

The surrogate of the learnt loss is a forest of extremely randomised trees (Geurts et al. 2006)
with the spread of the trees as its uncertainty (as in SMAC, Hutter et al. 2011). Its features are
the hyperparameters, the known losses, the epoch, and what ridge regression expects, which a forest
of few observations can't extrapolate by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesRegressor

from sweeps.searchers.fidelity import on_full_scale
from sweeps.searchers.observations import Rows
from sweeps.searchers.pool import CandidatePool, scaled_known

Floats = NDArray[np.float64]

FEATURE_FRACTION: Final = 0.8
"""Features that a split chooses from."""

MIN_STD_FRACTION: Final = 0.02
"""Least uncertainty of a prediction, as a fraction of the standard deviation of what was seen."""

RIDGE: Final = 5.0
"""Penalty of a standardised weight, in the unit of observations."""

CHUNK: Final = 512
"""Trials that are compared with all others at once, which bounds the memory."""


@dataclass(frozen=True)
class ForestOptions:
    """The size of a surrogate.

    Attributes:
        num_trees: more are smoother and slower.
        max_rows: observations that a forest is fitted to at most; a seeded choice of them.
    """

    num_trees: int = 50
    max_rows: int = 1500


@dataclass(frozen=True)
class Outlook:
    """What is expected of each candidate, trained in full.

    Attributes:
        mean: [num] of the learnt loss.
        std: [num] of the learnt loss, >= 0.
        cost: [num] relative cost of a full training, > 0.
        success: [num] chance that the trial does not fail.
        worst: the worst loss seen, on the scale of full trainings.
    """

    mean: Floats
    std: Floats
    cost: Floats
    success: Floats
    worst: float


class Surrogate:
    """Predicts a pool from observations; the same observations and seed, the same predictions.

    Args:
        pool: all candidates.
        max_epochs: of a full training.
        options: of the forest.
    """

    def __init__(self, pool: CandidatePool, max_epochs: int, options: ForestOptions) -> None:
        self._known = pool.known
        self._features = np.hstack([pool.features, scaled_known(pool.known)])
        self._max_epochs = max_epochs
        self._options = options

    def predict(self, rows: Rows, failed: NDArray[np.int64], seed: int) -> Outlook:
        """Return what is expected of each candidate.

        Args:
            rows: at least one; of trials that did not fail.
            failed: candidates whose trials failed.
            seed: of the forests.
        """
        generator = np.random.default_rng(seed)
        losses = on_full_scale(rows, self._max_epochs)
        newest = np.flatnonzero(np.append(rows.index[1:] != rows.index[:-1], True))
        held = self._hold_bad(losses, rows.index, newest)
        linear, expected = ridge(self._features, rows.index[newest], held[newest])
        of_row = np.searchsorted(rows.index[newest], rows.index)
        depth = np.log(rows.epoch) / np.log(max(self._max_epochs, 2))
        depth[rows.is_full(self._max_epochs)] = 1.0
        table = np.column_stack([self._features[rows.index], depth, expected[of_row]])
        kept = self._choose(rows, generator)
        forest = self._fit(table[kept], held[kept], generator)
        pool = np.column_stack([self._features, np.ones(len(linear)), linear])
        mean, std = _spread(forest, pool)
        return Outlook(
            mean=mean,
            std=np.maximum(std, MIN_STD_FRACTION * held.std()),
            cost=self._cost(rows.take(newest)),
            success=self._success(rows.index[newest], failed, generator),
            worst=float(losses.max()),
        )

    def _hold_bad(
        self, losses: Floats, index: NDArray[np.int64], newest: NDArray[np.int64]
    ) -> Floats:
        """Return losses of which the bad ones are held at a limit.

        How bad a bad candidate is does not matter, and the forest would spend its leaves on it. The
        limit is worse than the front at the candidate's own known losses, by as much as the median
        is worse than the best.
        """
        last = losses[newest]
        known = self._known[index[newest]]
        front = np.empty(len(last))
        for start in range(0, len(last), CHUNK):
            part = slice(start, start + CHUNK)
            is_below = (known[None, :, :] <= known[part, None, :]).all(axis=2)
            front[part] = np.where(is_below, last, np.inf).min(axis=1)
        limit = front + (np.median(last) - last.min())
        return np.asarray(np.minimum(losses, limit[np.searchsorted(index[newest], index)]))

    def _choose(self, rows: Rows, generator: np.random.Generator) -> NDArray[np.int64]:
        """Return the rows that the forest is fitted to; half of the places for full trainings."""
        is_full = rows.is_full(self._max_epochs)
        full, partial = np.flatnonzero(is_full), np.flatnonzero(~is_full)
        limit = self._options.max_rows
        if len(rows) <= limit:
            return np.arange(len(rows))
        num_full = min(len(full), max(limit // 2, limit - len(partial)))
        full = generator.choice(full, num_full, replace=False)
        partial = generator.choice(partial, limit - num_full, replace=False)
        return np.sort(np.concatenate([full, partial]))

    def _fit(
        self, table: Floats, targets: Floats, generator: np.random.Generator
    ) -> ExtraTreesRegressor:
        return ExtraTreesRegressor(
            n_estimators=self._options.num_trees,
            max_features=FEATURE_FRACTION,
            random_state=int(generator.integers(2**31)),
            n_jobs=1,
        ).fit(table, targets)

    def _cost(self, newest: Rows) -> Floats:
        """Return the seconds an epoch, by ridge regression of their logarithm; else 1 for all."""
        timed = np.flatnonzero(np.isfinite(newest.seconds) & (newest.seconds > 0))
        if len(timed) < 2:
            return np.ones(len(self._features))
        log_seconds = np.log(newest.seconds[timed] / newest.epoch[timed])
        predicted, _ = ridge(self._features, newest.index[timed], log_seconds)
        # A line knows no bounds; what was seen gives them.
        bounded = np.clip(predicted, log_seconds.min(), log_seconds.max())
        return np.asarray(np.exp(bounded - log_seconds.mean()))

    def _success(
        self, good: NDArray[np.int64], failed: NDArray[np.int64], generator: np.random.Generator
    ) -> Floats:
        if not len(failed):
            return np.ones(len(self._features))
        trials = np.concatenate([good, failed])[-self._options.max_rows :]
        is_good = np.concatenate([np.ones(len(good)), np.zeros(len(failed))])
        forest = self._fit(self._features[trials], is_good[-len(trials) :], generator)
        return _spread(forest, self._features)[0]


def ridge(features: Floats, index: NDArray[np.int64], targets: Floats) -> tuple[Floats, Floats]:
    """Fit ridge regression to some candidates.

    Args:
        features: [num, num_features] of all candidates.
        index: [num_seen >= 1] of the candidates that were seen, each once.
        targets: [num_seen].

    Returns:
        predicted: [num] of all candidates.
        expected: [num_seen] of each candidate that was seen, had it been left out: what it adds
            beyond itself, as a feature of another model.
    """
    seen = features[index]
    center, scale = seen.mean(axis=0), seen.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    table = (seen - center) / scale
    inverse = np.linalg.inv(table.T @ table + RIDGE * np.eye(table.shape[1]))
    weights = inverse @ (table.T @ (targets - targets.mean()))
    fitted = targets.mean() + table @ weights
    leverage = np.minimum(((table @ inverse) * table).sum(axis=1) + 1 / len(index), 0.95)
    expected = targets - (targets - fitted) / (1 - leverage)
    return targets.mean() + ((features - center) / scale) @ weights, expected


def _spread(forest: ExtraTreesRegressor, table: Floats) -> tuple[Floats, Floats]:
    """Return mean and standard deviation over the trees."""
    single = np.ascontiguousarray(table, dtype=np.float32)  # What a tree's own predict takes.
    total, squares = np.zeros(len(table)), np.zeros(len(table))
    for tree in forest.estimators_:
        values = tree.tree_.predict(single)[:, 0]
        total += values
        squares += values * values
    num = len(forest.estimators_)
    mean = total / num
    return mean, np.sqrt(np.maximum(squares / num - mean * mean, 0.0))
