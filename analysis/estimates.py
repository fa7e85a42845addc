"""What further seeds say of finalists: means with intervals, and how their errors go together.

The truth that an estimate is of: what a config reaches on average over trainings with seeds drawn
at random, on samples drawn at random from where the validation part came from; for a latency, the
figure that very many processes would agree on. A further training's score misses it twice:

- by its seed. The mean of m trainings has the variance s2 / m. A finalist's own three scores say
  little of s2, so it is pooled over all finalists, which differ little in it, and has a Student t
  distribution with the pooled degrees of freedom.
- by the finite validation part, which is the same for all of them, so that more seeds don't help.
  Of one training that is p (1 - p) / n in all (binomial). What of it changes with the seed is in
  s2 already: the rest is p (1 - p) / n - s2. That takes all of s2 for the chance of which samples
  a training happens to get right, which it nearly is (Jordan, "On the variance of neural network
  training with respect to test sets and distributions", 2024); where seeds matter more, half of
  the binomial variance is kept. Samples that are hard for one model are hard for others (Mania et
  al., "Model similarity mitigates test set overuse", 2019), so that part of this error moves all
  finalists together and decides nothing between them.

The score that a finalist was chosen by has no part in it: it is too good by having been chosen.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from analysis.load import Run, RunError
from analysis.ranking import Ranking
from analysis.records import SCORE_NAMES, SEEDS_FILE, SEEDS_SCHEMA, TRIALS_FILE, Objective

COUNTED: Final = ("accuracy", "top5_accuracy")
"""Scores that are fractions of a part's samples, so that their number gives an error."""

KEPT_FRACTION: Final = 0.5
"""Of the binomial variance that is at least taken for the samples' and not the seeds'."""

SHARED_FRACTION: Final = 0.6
"""Of the samples' variance that all finalists have in common."""

MEDIAN_SD: Final = 0.54
"""Standard deviation of the median of five normal figures, in spans of their middle half."""

Z_95: Final = 1.959964
"""Standard deviations to both sides that hold 95 % of a normal distribution."""

_LATENCY_PREFIXES: Final = {
    "latency_ms": "latency", "latency_p50_ms": "p50", "latency_p95_ms": "p95",
    "latency_p99_ms": "p99", "serving_usd_per_million": "latency",
}  # fmt: skip
_FRACTIONS: Final = {f"val_{name}" for name in SCORE_NAMES if name != "loss"}
_RETRAINED: Final = {*SEEDS_SCHEMA.names} - {"trial_id", "seed", "status", "reason", "epoch"}


@dataclass(frozen=True)
class Retraining:
    """The further trainings of a finalist.

    Attributes:
        trial_id: the finalist.
        num_failed: trainings that failed.
        scores: [num_finished] a column of `seeds.parquet`; NaN where it is null.
    """

    trial_id: str
    num_failed: int
    scores: dict[str, NDArray[np.float64]]

    @property
    def num_seeds(self) -> int:
        """Trainings that finished."""
        return len(self.scores["val_accuracy"])


@dataclass(frozen=True)
class Estimates:
    """What is known of finalists in each objective, with its errors.

    Attributes:
        trial_ids: [num_finalists], in the ranking's order.
        objectives: [num_objectives].
        values: [num_finalists, num_objectives] estimates, in the objectives' own units.
        chosen_by: the same figures as the ranking has them, which the finalists were chosen by.
        seed_sd: of the values, by the seeds; their squares have a chi-squared distribution.
        seed_dof: [num_objectives] of these; 0 where there is no such error.
        sample_sd: of the values, by the finite validation part.
        relative_sd: of the values, by the measuring of a latency.
    """

    trial_ids: tuple[str, ...]
    objectives: tuple[Objective, ...]
    values: NDArray[np.float64]
    chosen_by: NDArray[np.float64]
    seed_sd: NDArray[np.float64]
    seed_dof: NDArray[np.int64]
    sample_sd: NDArray[np.float64]
    relative_sd: NDArray[np.float64]

    def intervals(self) -> NDArray[np.float64]:
        """Return [2, num_finalists, num_objectives]: low and high ends of 95 % intervals.

        Those of scores that are fractions are cut off at 0 and 1.
        """
        t = np.array([_t_95(dof) if dof else 0.0 for dof in self.seed_dof])
        half = np.hypot(t * self.seed_sd, Z_95 * self.sample_sd)
        factor = np.exp(Z_95 * self.relative_sd)
        ends = np.stack([(self.values - half) / factor, (self.values + half) * factor])
        is_fraction = [objective.column in _FRACTIONS for objective in self.objectives]
        return np.where(is_fraction, np.clip(ends, 0.0, 1.0), ends)


def gather_retrainings(run: Run) -> dict[str, Retraining]:
    """Return the finalists' further trainings, by trial id.

    Raises:
        RunError: if one is of no trial of the run, or a trial's seed stands there twice.
    """
    trials = set(run.trials["trial_id"].to_pylist()) if len(run.seeds) else set()
    rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
    seen = set()
    for row in run.seeds.to_pylist():
        key = (row["trial_id"], row["seed"])
        if row["trial_id"] not in trials or key in seen:
            rule = f"a trial of {TRIALS_FILE}" if key not in seen else "there once with a seed"
            raise RunError(
                f"trial_id in {SEEDS_FILE} must be {rule}, got {row['trial_id']!r}; copy the file "
                "again from where the sweep wrote it"
            )
        seen.add(key)
        rows[row["trial_id"]].append(row)
    return {trial_id: _retraining(trial_id, found) for trial_id, found in rows.items()}


def _retraining(trial_id: str, rows: Sequence[dict[str, Any]]) -> Retraining:
    finished = [row for row in rows if row["status"] == "finished"]
    scores = {c: np.array([row[c] for row in finished], np.float64) for c in sorted(_RETRAINED)}
    return Retraining(trial_id, len(rows) - len(finished), scores)


def estimate_finalists(
    run: Run, ranking: Ranking, left_out: Collection[str] = ()
) -> Estimates | None:
    """Return what further seeds and measured latencies say of a ranking's finalists.

    Args:
        run: from `load_run`.
        ranking: its ranking.
        left_out: finalists that are no candidates.

    Returns:
        The estimates; None where nobody was trained again, or too few to tell what a seed changes.

    Raises:
        RunError: as `gather_retrainings`.
    """
    found = gather_retrainings(run)
    rows = [row for row in ranking.rows if row.trial_id in found and row.trial_id not in left_out]
    columns = [o.column for o in ranking.objectives if o.column in _RETRAINED]
    rows = [row for row in rows if _is_told(found[row.trial_id], columns)]
    if not rows or sum(found[row.trial_id].num_seeds - 1 for row in rows) < 1:
        return None
    chosen_by = np.array([row.values for row in rows])
    shape = chosen_by.shape
    values, relative = chosen_by.copy(), np.zeros(shape)
    seed_sd, sample_sd, dof = np.zeros(shape), np.zeros(shape), np.zeros(shape[1], np.int64)
    shipped = _measured(run)
    for index, objective in enumerate(ranking.objectives):
        column = objective.column
        if column in _RETRAINED:
            scores = [found[row.trial_id].scores[column] for row in rows]
            variance, dof[index] = pooled_variance(scores)
            values[:, index] = [one.mean() for one in scores]
            seed_sd[:, index] = [np.sqrt(variance / len(one)) for one in scores]
            sample_sd[:, index] = _sample_sd(run, column, values[:, index], variance)
        elif column in _LATENCY_PREFIXES:
            measured = [shipped.get(row.trial_id) for row in rows]
            values[:, index], relative[:, index] = _latencies(column, measured, values[:, index])
    trial_ids = tuple(row.trial_id for row in rows)
    return Estimates(
        trial_ids, ranking.objectives, values, chosen_by, seed_sd, dof, sample_sd, relative
    )


def _is_told(one: Retraining, columns: Sequence[str]) -> bool:
    return one.num_seeds > 0 and all(np.isfinite(one.scores[c]).all() for c in columns)


def pooled_variance(scores: Sequence[NDArray[np.float64]]) -> tuple[float, int]:
    """Return the variance within groups of scores, and its degrees of freedom.

    Example:
        >>> pooled_variance([np.array([1.0, 3.0]), np.array([5.0, 5.0, 8.0])])
        (2.6666666666666665, 3)
    """
    dof = sum(len(one) - 1 for one in scores)
    squares = sum(float(((one - one.mean()) ** 2).sum()) for one in scores)
    return squares / dof, dof


def sample_variance(
    fractions: NDArray[np.float64], num_samples: int, seed_variance: float
) -> NDArray[np.float64]:
    """Return what a finite part adds to the error of a mean over seeds; see the module.

    Args:
        fractions: of samples, from 0 to 1.
        num_samples: of the part.
        seed_variance: of one training's score about the mean over seeds.
    """
    binomial = fractions * (1 - fractions) / num_samples
    return np.asarray(np.maximum(binomial - seed_variance, KEPT_FRACTION * binomial))


def part_interval(
    scores: NDArray[np.float64], seed_variance: float, dof: int, num_samples: int | None
) -> tuple[float, float]:
    """Return the 95 % interval of an accuracy from its scores by several seeds on one part.

    Args:
        scores: [num_seeds >= 1].
        seed_variance: pooled over finalists.
        dof: its degrees of freedom.
        num_samples: of the part; None: it is not known, and the interval is for these samples.
    """
    mean = float(scores.mean())
    samples = sample_variance(np.array(mean), num_samples, seed_variance) if num_samples else 0.0
    half = np.hypot(_t_95(dof) * np.sqrt(seed_variance / len(scores)), Z_95 * np.sqrt(samples))
    return max(0.0, mean - float(half)), min(1.0, mean + float(half))


def num_samples(run: Run, part: str) -> int | None:
    """Return how many samples a part has: val or test; None where that was not recorded."""
    dataset = run.spec.get("dataset")
    count = dataset.get(f"num_{part}") if isinstance(dataset, dict) else None
    return count if isinstance(count, int) and count > 0 else None


def _sample_sd(
    run: Run, column: str, values: NDArray[np.float64], seed_variance: float
) -> NDArray[np.float64]:
    part, _, score = column.partition("_")
    count = num_samples(run, part)
    if score not in COUNTED or count is None:
        return np.zeros(len(values))
    return np.sqrt(sample_variance(values, count, seed_variance))


def _measured(run: Run) -> dict[str, dict[str, Any]]:
    """Return finalists' exact latencies as shipped, without compression, by trial id."""
    return {
        row["trial_id"]: row
        for row in run.latency.to_pylist()
        if row["trial_id"] and row["compression"] is None and row["status"] == "exact"
    }


def _latencies(
    column: str, measured: Sequence[dict[str, Any] | None], ranked: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return values and relative standard deviations of a column of latencies.

    A `latency_ms` has the middle half of its processes' figures: the deviation of their median
    follows, and is pooled. A quantile has its 95 % interval. What was not measured from trained
    weights keeps its architecture's figure, with the largest deviation of the others.
    """
    prefix = _LATENCY_PREFIXES[column]
    values, deviations = ranked.copy(), np.full(len(ranked), np.nan)
    for index, row in enumerate(measured):
        if row is None or not (row[f"{prefix}_low_ms"] and row[f"{prefix}_ms"]):
            continue
        span = np.log(row[f"{prefix}_high_ms"] / row[f"{prefix}_low_ms"])
        deviations[index] = MEDIAN_SD * span if prefix == "latency" else span / (2 * Z_95)
        if column != "serving_usd_per_million":
            values[index] = row[f"{prefix}_ms"]
    if np.isnan(deviations).all():
        return values, np.zeros(len(ranked))
    if prefix == "latency":
        return values, np.full(len(ranked), np.sqrt(np.nanmean(deviations**2)))
    return values, np.where(np.isnan(deviations), np.nanmax(deviations), deviations)


def _t_95(dof: int) -> float:
    from scipy.stats import t  # takes longer to import than all else here

    return float(t.ppf(0.975, dof))
