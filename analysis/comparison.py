"""Compares sweeps: what they attained, and what they had found by the time it was paid for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import moocore
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from analysis.curves import trial_rows
from analysis.hypervolume import hypervolume, reference_point
from analysis.load import Run
from analysis.pareto import Losses, is_front, losses
from analysis.ranking import in_own_units, rankable_rows, run_objectives
from analysis.records import KNOWN_COLUMNS, RANKED_STATUSES, Objective
from analysis.spent import spent_by_report

NUM_POINTS: Final = 100


@dataclass(frozen=True, eq=False)
class SpentCurve:
    """The hypervolume of what a sweep would have returned, over what it had spent.

    Attributes:
        unit: one of `spent.SPENT_UNITS`.
        spent: [num_points] ascending.
        hypervolumes: [num_points]; not monotone: a trial's later epoch may be worse.
        reference: in the objectives' own units; two curves compare only where it is the same.
    """

    unit: str
    spent: NDArray[np.float64]
    hypervolumes: NDArray[np.float64]
    reference: tuple[float, ...]


def common_reference(runs: Sequence[Run], objectives: Sequence[Objective]) -> tuple[float, ...]:
    """Return one reference point for several runs, in the objectives' own units.

    It is `hypervolume.reference_point` of the ranked trials of all runs.

    Raises:
        ValueError: if no run has a ranked trial.
    """
    points = np.concatenate([_ranked_losses(run, objectives) for run in runs])
    return in_own_units(reference_point(points), objectives)


def attainment_surfaces(
    runs: Sequence[Run],
    objectives: Sequence[Objective],
    percentiles: Sequence[float] = (0, 50, 100),
) -> dict[float, NDArray[np.float64]]:
    """Return the empirical attainment surfaces of several sweeps, by percentile.

    A point of surface 50 was attained (found, or something better in every objective) by half of
    the sweeps; surface 0 by at least one, 100 by all (Fonseca, Guerreiro, Lopez-Ibanez and Paquete,
    2011; computed by moocore).

    Args:
        runs: each with a ranked trial, best of the same problem with different seeds.
        objectives: two or three.
        percentiles: from 0 to 100.

    Returns:
        [num_points, num_objectives] values in the objectives' own units, by percentile.

    Raises:
        ValueError: if there are no runs, a run has no ranked trial, objectives are not two or
            three, or a percentile is out of its range.

    Example:
        >>> attainment_surfaces([], [Objective("val_loss", "min"), Objective("flops", "min")])
        Traceback (most recent call last):
        ValueError: runs must each have a ranked trial, got 0 runs; leave out those without
    """
    if len(objectives) not in (2, 3):
        raise ValueError(
            f"objectives must be two or three for attainment surfaces, got {len(objectives)}; "
            "choose which"
        )
    wrong = [value for value in percentiles if not 0 <= value <= 100]
    if wrong or not len(percentiles):
        raise ValueError(f"percentiles must be from 0 to 100, got {list(percentiles)}; give such")
    points = [_ranked_losses(run, objectives) for run in runs]
    if not points or not all(map(len, points)):
        raise ValueError(
            f"runs must each have a ranked trial, got {len(runs)} runs"
            f"{' and one without' if runs else ''}; leave out those without"
        )
    fronts = [np.unique(one[is_front(one)], axis=0) for one in points]
    sets = np.repeat(np.arange(len(fronts)), [len(front) for front in fronts])
    surfaces = moocore.eaf(np.concatenate(fronts), sets, percentiles=sorted(set(percentiles)))
    signs = np.array([-1.0 if o.direction == "max" else 1.0 for o in objectives])
    return {
        percentile: signs * surfaces[surfaces[:, -1] == percentile, :-1] + 0.0
        for percentile in percentiles
    }


def hypervolume_over_spent(
    run: Run,
    objectives: Sequence[Objective] | None = None,
    *,
    unit: str = "gang_seconds",
    reference: Sequence[float] | None = None,
) -> SpentCurve:
    """Return how good the sweep's front was by the time that so much had been spent.

    The front at a moment is that of what each trial had reported last: what the sweep would have
    returned if it had been ended there. Trials that failed do not count.

    Args:
        run: from `load_run`.
        objectives: reported by epoch, or known before training; None for the sweep's own.
        unit: what is spent, one of `spent.SPENT_UNITS`.
        reference: in the objectives' own units; None for that of this run's ranked trials. Points
            that do not dominate it add nothing.

    Raises:
        ValueError: if an objective is neither reported by epoch nor known before training, nothing
            was reported, or the run does not tell what was spent in this unit.
    """
    chosen = tuple(objectives) if objectives is not None else run_objectives(run)
    point = tuple(reference) if reference is not None else common_reference([run], chosen)
    bound = losses({o.column: [v] for o, v in zip(chosen, point, strict=True)}, chosen)[0]
    order, spent = spent_by_report(run, unit)
    reported = _losses_by_report(run, chosen)
    numbers = _trial_numbers(run)
    last = np.full((int(numbers.max()) + 1, len(chosen)), np.inf)
    stops = np.unique(np.linspace(0, len(order) - 1, NUM_POINTS).round().astype(int))
    volumes, begin = [], 0
    for stop in stops:
        rows = order[begin : stop + 1]  # where a trial stands twice, numpy keeps the later
        last[numbers[rows]] = np.nan_to_num(reported[rows], nan=np.inf)
        inside = last[(last < bound).all(axis=1)]
        volumes.append(hypervolume(inside, bound))
        begin = stop + 1
    return SpentCurve(unit, spent[stops], np.array(volumes), point)


def compare_hypervolumes(
    runs: Mapping[str, Run],
    objectives: Sequence[Objective] | None = None,
    *,
    unit: str = "gang_seconds",
    reference: Sequence[float] | None = None,
) -> dict[str, SpentCurve]:
    """Return `hypervolume_over_spent` of several runs towards one reference point, by name.

    Args:
        runs: by the name that a reader shall see.
        objectives: None for those of the first run.
        unit: as there.
        reference: None for `common_reference`.

    Raises:
        ValueError: as there, or if there is no run.
    """
    if not runs:
        raise ValueError("runs must be one or more, got none; give them by name")
    chosen = objectives if objectives is not None else run_objectives(next(iter(runs.values())))
    point = reference if reference is not None else common_reference(list(runs.values()), chosen)
    return {
        name: hypervolume_over_spent(run, chosen, unit=unit, reference=point)
        for name, run in runs.items()
    }


def _ranked_losses(run: Run, objectives: Sequence[Objective]) -> Losses:
    return losses(run.trials, objectives)[rankable_rows(run, objectives)]


def _losses_by_report(run: Run, objectives: Sequence[Objective]) -> Losses:
    """Return [num_results, num_objectives]: of the epoch, or of the trial where known before."""
    trial_of = {name: row for row, name in enumerate(run.trials["trial_id"].to_pylist())}
    # A run that is being written may hold reports of trials that its other file has not yet.
    rows = np.array([trial_of.get(name, -1) for name in run.results["trial_id"].to_pylist()])
    columns = {}
    for objective in objectives:
        name = objective.column
        if name in run.results.column_names and run.results[name].null_count < len(run.results):
            columns[name] = np.asarray(run.results[name], dtype=np.float64)
        elif name in KNOWN_COLUMNS or name in run.other_columns:
            columns[name] = np.asarray(run.trials[name], dtype=np.float64)[rows]
        else:
            raise ValueError(
                f"objectives must be reported by epoch or known before training, got {name!r}; "
                "leave it out"
            )
    found = losses(columns, objectives)
    is_live = np.isin(run.trials["status"].to_numpy(zero_copy_only=False), RANKED_STATUSES)
    found[(rows < 0) | ~is_live[rows]] = np.nan
    return found


def _trial_numbers(run: Run) -> NDArray[np.int64]:
    """Return a number for each report that says whose it is."""
    numbers = np.empty(len(run.results), dtype=np.int64)
    for number, rows in enumerate(trial_rows(run).values()):
        numbers[rows] = number
    return numbers


def runs_table(runs: Mapping[str, Run], objectives: Sequence[Objective] | None = None) -> pa.Table:
    """Return a row a run: trials, ranked ones, front, hypervolume, gang-seconds and USD.

    Args:
        runs: by the name that a reader shall see.
        objectives: None for those of the first run.

    Raises:
        ValueError: if there is no run, or none has a ranked trial.
    """
    if not runs:
        raise ValueError("runs must be one or more, got none; give them by name")
    chosen = objectives if objectives is not None else run_objectives(next(iter(runs.values())))
    point = common_reference(list(runs.values()), chosen)
    bound = losses({o.column: [v] for o, v in zip(chosen, point, strict=True)}, chosen)[0]
    rows = []
    for name, run in runs.items():
        ranked = _ranked_losses(run, chosen)
        totals = run.spec.get("totals")
        told = totals if isinstance(totals, dict) else {}
        rows.append(
            {
                "run": name,
                "num_trials": len(run.trials),
                "num_ranked": len(ranked),
                "num_front": int(is_front(ranked).sum()),
                "hypervolume": hypervolume(ranked, bound),
                "gang_seconds": told.get("held_gang_seconds", told.get("gang_seconds")),
                "cost_usd": told.get("held_cost_usd"),
            }
        )
    return pa.Table.from_pylist(rows)
