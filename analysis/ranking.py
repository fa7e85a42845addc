"""Ranks the trials of a run by Pareto dominance and picks the knee of the front."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from analysis.choice import knee_index
from analysis.configs import read_config
from analysis.constraints import Rule, parse_constraints
from analysis.hypervolume import hypervolume, reference_point
from analysis.load import Run, RunError
from analysis.pareto import losses, nondominated_ranks
from analysis.records import RANKED_STATUSES, Objective, numeric_columns
from analysis.serving import serving_words


@dataclass(frozen=True)
class RankedTrial:
    """A trial with a value for every objective."""

    trial_id: str
    status: str
    epoch: int
    rank: int
    """Non-dominated rank; 0 is the front."""
    is_front: bool
    is_knee: bool
    values: tuple[float, ...]
    """One an objective, in its own unit and direction."""
    config: dict[str, Any]
    checkpoint: str | None
    reproduce: str | None


@dataclass(frozen=True)
class UnrankedTrial:
    """A trial that could not be ranked."""

    trial_id: str
    status: str
    why: str


@dataclass(frozen=True)
class Ranking:
    """What a run found, with all that is needed to read the figures."""

    name: str
    dataset: str
    """Name and note of the data set."""
    serving: str | None
    """How models are served, so what a latency is of; None in an older run."""
    sweep_status: str
    objectives: tuple[Objective, ...]
    rows: tuple[RankedTrial, ...]
    """Sorted by rank, then by the first objective, best first."""
    unranked: tuple[UnrankedTrial, ...]
    status_counts: dict[str, int]
    """Trials of each status, ranked or not."""
    reference: tuple[float, ...] | None
    """The hypervolume's reference point, in the objectives' own units; None if no trial ranks."""
    is_reference_given: bool
    hypervolume: float | None

    @property
    def front(self) -> tuple[RankedTrial, ...]:
        """The trials that nothing dominates."""
        return tuple(row for row in self.rows if row.is_front)

    @property
    def knee(self) -> RankedTrial | None:
        """The front's knee; None if no trial ranks."""
        return next((row for row in self.rows if row.is_knee), None)


def rank_trials(
    run: Run,
    objectives: Sequence[Objective] | None = None,
    reference: Sequence[float] | None = None,
    where: str | None = None,
) -> Ranking:
    """Return every trial of the run ranked, or the reason why it is not.

    A trial is ranked if its status is one of `RANKED_STATUSES` and it has a finite value for
    every objective. The knee is the member of the front closest (Euclidean) to the ideal point,
    after each objective is scaled to 0..1 over the front (a compromise solution in the sense of
    Zeleny, 1973); the first in order where several are equally close.

    Args:
        run: from `load_run`.
        objectives: columns of `trials.parquet`; None for those the sweep was run with.
        reference: the hypervolume's reference point, in the objectives' own units and order;
            None for `hypervolume.reference_point` of the ranked trials.
        where: limits that a trial must meet to be ranked, as `analysis.constraints` reads them.

    Returns:
        The ranking; without rows, reference and hypervolume if no trial can be ranked.

    Raises:
        RunError: if the run names no valid objectives, or a config is no JSON object.
        ValueError: if there is no objective, a member of the front does not dominate the
            reference, or `where` can't be read.
    """
    chosen = tuple(objectives) if objectives is not None else run_objectives(run)
    rule = None if where is None else parse_constraints(where, numeric_columns(run.trials.schema))
    rankable = rankable_rows(run, chosen)
    kept = rankable if rule is None else rankable[rule.holds(run.trials)[rankable]]
    loss = losses(run.trials, chosen)[kept]
    point = None if not len(kept) else _reference(loss, chosen, reference)
    return Ranking(
        name=str(run.spec.get("name", "unnamed run")),
        dataset=dataset_label(run),
        serving=serving_words(run),
        sweep_status=str(run.spec.get("status", "unknown")),
        objectives=chosen,
        rows=_ranked_rows(run.trials.take(pa.array(kept)), loss, chosen),
        unranked=_unranked_rows(run.trials, chosen, kept, rule),
        status_counts=dict(Counter(run.trials["status"].to_pylist())),
        reference=None if point is None else in_own_units(point, chosen),
        is_reference_given=reference is not None,
        hypervolume=None if point is None else hypervolume(loss, point),
    )


def rankable_rows(run: Run, objectives: Sequence[Objective]) -> NDArray[np.int64]:
    """Return the rows of the trials that can be ranked: see `rank_trials`."""
    is_live = pc.is_in(run.trials["status"], value_set=pa.array(RANKED_STATUSES)).to_numpy()
    is_finite = np.isfinite(losses(run.trials, objectives)).all(axis=1)
    return np.flatnonzero(is_live & is_finite)


def in_own_units(losses: NDArray[np.float64], objectives: Sequence[Objective]) -> tuple[float, ...]:
    """Return a point given as losses in the objectives' own units and directions."""
    return tuple((_signs(objectives) * losses + 0.0).tolist())


def run_objectives(run: Run) -> tuple[Objective, ...]:
    """Return the objectives that the sweep was run with.

    Raises:
        RunError: if sweep.json holds none that `Objective.parse` reads.
    """
    texts = run.spec.get("objectives")
    if not isinstance(texts, list) or not texts or not all(isinstance(t, str) for t in texts):
        raise RunError(
            f"objectives in the sweep.json of {run.path} must be a list of column:max or "
            f"column:min, got {texts!r}; give --objectives"
        )
    try:
        return tuple(Objective.parse(text, run.other_columns) for text in texts)
    except ValueError as error:
        raise RunError(f"{error} (in the sweep.json of {run.path})") from error


def dataset_label(run: Run) -> str:
    """Return the name of the data set with its note, which says what it really is."""
    dataset = run.spec.get("dataset")
    known = dataset if isinstance(dataset, dict) else {}
    name = str(known.get("name") or "data set not recorded")
    note = known.get("note")
    return f"{name} ({note})" if note else name


def _signs(objectives: Sequence[Objective]) -> NDArray[np.float64]:
    """Return what turns losses into values, and values into losses."""
    return np.array([-1.0 if o.direction == "max" else 1.0 for o in objectives])


def _reference(
    loss: NDArray[np.float64],
    objectives: Sequence[Objective],
    given: Sequence[float] | None,
) -> NDArray[np.float64]:
    """Return the reference point as losses."""
    if given is None:
        return reference_point(loss)
    if len(given) != len(objectives) or not np.isfinite(given).all():
        raise ValueError(
            f"reference must be {len(objectives)} finite numbers, one an objective, got "
            f"{list(given)}; give them in the order {', '.join(map(str, objectives))}"
        )
    point = _signs(objectives) * np.asarray(given, dtype=np.float64)
    worst = loss[nondominated_ranks(loss) == 0].max(axis=0)
    for objective, limit, value in zip(objectives, point, worst, strict=True):
        if value > limit:
            relation = "at most" if objective.direction == "max" else "at least"
            sign = -1.0 if objective.direction == "max" else 1.0
            raise ValueError(
                f"reference for {objective} must be {relation} {sign * value:g}, the front's "
                f"worst value, got {sign * limit:g}; give a worse value or leave it out"
            )
    return point


def _ranked_rows(
    trials: pa.Table, loss: NDArray[np.float64], objectives: Sequence[Objective]
) -> tuple[RankedTrial, ...]:
    """Return the rows in order: rank first, then each objective."""
    if not len(trials):
        return ()
    ranks = nondominated_ranks(loss)
    order = np.lexsort((*loss.T[::-1], ranks))
    ranks, loss = ranks[order], loss[order]
    knee = knee_index(loss[ranks == 0])
    trials = trials.take(pa.array(order))
    columns = [trials[name].to_pylist() for name in ("trial_id", "status", "epoch", "config")]
    columns += [trials[name].to_pylist() for name in ("checkpoint", "reproduce")]
    values = (_signs(objectives) * loss + 0.0).tolist()
    return tuple(
        RankedTrial(
            trial_id=trial_id,
            status=status,
            epoch=epoch or 0,
            rank=rank,
            is_front=rank == 0,
            is_knee=index == knee,
            values=tuple(values[index]),
            config=read_config(trial_id, config),
            checkpoint=checkpoint,
            reproduce=reproduce,
        )
        for index, (rank, trial_id, status, epoch, config, checkpoint, reproduce) in enumerate(
            zip(ranks.tolist(), *columns, strict=True)
        )
    )


def _unranked_rows(
    trials: pa.Table, objectives: Sequence[Objective], kept: NDArray[np.int64], rule: Rule | None
) -> tuple[UnrankedTrial, ...]:
    """Return the trials that could not be ranked, with the first reason that holds."""
    rows = np.setdiff1d(np.arange(len(trials)), kept)
    columns = ["trial_id", "status", "reason", "latency_status"]
    columns += [o.column for o in objectives if o.column not in columns]
    unranked = []
    for trial in trials.take(pa.array(rows)).select(columns).to_pylist():
        if trial["status"] not in RANKED_STATUSES:
            why = trial["status"] + (f": {trial['reason']}" if trial["reason"] else "")
        else:
            values = {o.column: trial[o.column] for o in objectives}
            why = ", ".join(
                f"{column} is {_missing(column, trial) if value is None else value}"
                for column, value in values.items()
                if value is None or not np.isfinite(value)
            )
        unranked.append(UnrankedTrial(trial["trial_id"], trial["status"], why or f"not {rule}"))
    return tuple(unranked)


def _missing(column: str, trial: dict[str, Any]) -> str:
    """Return why a value is null."""
    depends = column.startswith(("latency_", "serving_"))
    return "uncertain" if depends and trial["latency_status"] == "uncertain" else "missing"
