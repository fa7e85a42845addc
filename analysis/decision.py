"""Which model to ship: the recommended trial of a ranking, and those that come next.

The rule is simple on purpose, and `analysis/page/decision.js` states it once more, so that limits
can be moved on the page (a test holds the two against each other): of the trials that meet all
limits and against which nothing was found after the search, those that no other of them dominates;
of these the one closest to the ideal point, each objective scaled to 0..1 over them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.choice import ideal_distances
from analysis.load import Run
from analysis.pareto import is_front, losses
from analysis.ranking import RankedTrial, Ranking
from analysis.records import Objective
from analysis.serving import ServingReport, told_serving


@dataclass(frozen=True)
class Bound:
    """A limit on a column: at most `value` where lower is better, else at least.

    Attributes:
        scale: the column, and the direction in which it is better.
        value: None: no limit.
        is_slo: it is the SLO that the sweep was run with.
    """

    scale: Objective
    value: float | None
    is_slo: bool = False


@dataclass(frozen=True)
class Decision:
    """What is recommended.

    Attributes:
        pick: the recommended trial; None if none is left.
        runners_up: the rest of the front of what is left, the closest to the ideal point first.
        num_left: trials that meet all limits and that nothing speaks against.
    """

    pick: RankedTrial | None
    runners_up: tuple[RankedTrial, ...]
    num_left: int


def list_bounds(run: Run, ranking: Ranking) -> tuple[Bound, ...]:
    """Return the columns that may be limited: the objectives, and the SLO's with its limit."""
    bounds = [Bound(objective, None) for objective in ranking.objectives]
    told = told_serving(run)
    slo_ms, percentile = told.get("slo_ms"), told.get("percentile")
    if not isinstance(slo_ms, (int, float)):
        return tuple(bounds)
    column = "latency_ms" if percentile is None else f"latency_p{percentile}_ms"
    if column not in run.trials.column_names:
        return tuple(bounds)
    slo = Bound(Objective(column, "min"), float(slo_ms), is_slo=True)
    return (*(bound for bound in bounds if bound.scale != slo.scale), slo)


def find_objections(serving: ServingReport) -> dict[str, str]:
    """Return what was found against finalists when they were measured as shipped, by trial id."""
    return {
        one.trial_id: ", ".join(one.objections)
        for one in serving.shipped
        if one.compression is None and one.objections
    }


def bound_values(run: Run, ranking: Ranking, bounds: Sequence[Bound]) -> NDArray[np.float64]:
    """Return [num_ranked, num_bounds] values of the columns that may be limited."""
    rows = {trial_id: row for row, trial_id in enumerate(run.trials["trial_id"].to_pylist())}
    order = np.array([rows[row.trial_id] for row in ranking.rows], dtype=int)
    columns = [np.asarray(run.trials[b.scale.column], dtype=np.float64)[order] for b in bounds]
    return np.stack(columns, axis=1) if columns else np.zeros((len(order), 0))


def decide(
    ranking: Ranking,
    bounds: Sequence[Bound],
    values: NDArray[np.float64],
    objections: Mapping[str, str],
) -> Decision:
    """Return the recommended trial and the runners-up; see the module for the rule.

    Args:
        ranking: of the run.
        bounds: the limits.
        values: from `bound_values`.
        objections: from `find_objections`.
    """
    is_left = np.array([row.trial_id not in objections for row in ranking.rows], dtype=bool)
    for index, bound in enumerate(bounds):
        if bound.value is not None:
            limit = bound.scale.loss(bound.value)
            is_left &= bound.scale.loss(values[:, index]) <= limit  # NaN meets no limit
    kept = np.flatnonzero(is_left)
    if not len(kept):
        return Decision(None, (), 0)
    loss = _losses(ranking)[kept]
    members = kept[is_front(loss)]
    order = np.argsort(ideal_distances(_losses(ranking)[members]), kind="stable")
    pick, *others = (ranking.rows[index] for index in members[order].tolist())
    return Decision(pick, tuple(others), len(kept))


def _losses(ranking: Ranking) -> NDArray[np.float64]:
    columns = {o.column: [row.values[i] for row in ranking.rows]
               for i, o in enumerate(ranking.objectives)}  # fmt: skip
    return losses(columns, ranking.objectives)
