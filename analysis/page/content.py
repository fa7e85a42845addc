"""What the page's scripts are given: figures of trials, curves, lineages, as plain JSON values."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from analysis.comparison import (
    attainment_surfaces,
    common_reference,
    compare_hypervolumes,
)
from analysis.configs import differing_keys
from analysis.curves import learning_curves
from analysis.decision import Bound, Decision
from analysis.evidence import Evidence
from analysis.labels import unit_of, words_of
from analysis.lineage import Segment, gather_exploits, gather_lineages, schedule
from analysis.load import Run
from analysis.plots import pareto_roles
from analysis.ranking import RankedTrial, Ranking
from analysis.records import RESULTS_SCHEMA, Objective

MAX_DETAILED: Final = 300
"""Trials of which the page holds config, command and notes: the best ranked."""
MAX_CURVES: Final = 120
MAX_CURVE_POINTS: Final = 200
MAX_LINEAGES: Final = 60
MAX_METRICS: Final = 6
CURVE_COLUMNS: Final = (
    "val_accuracy", "val_loss", "train_loss", "train_accuracy", "generalisation_gap",
    "learning_rate",
)  # fmt: skip


@dataclass(frozen=True)
class Story:
    """All that a page tells of.

    Attributes:
        run: one run, or several pooled.
        parts: the runs by the names that a reader sees.
        ranking: of `run`.
        evidence: on the trials' figures.
        bounds: columns that may be limited.
        values: [num_ranked, num_bounds] of these.
        objections: found against finalists as shipped, by trial id.
        decision: what is recommended.
    """

    run: Run
    parts: Mapping[str, Run]
    ranking: Ranking
    evidence: Evidence
    bounds: tuple[Bound, ...]
    values: NDArray[np.float64]
    objections: Mapping[str, str]
    decision: Decision


def script_data(story: Story) -> dict[str, Any]:
    """Return all that the scripts draw and choose from."""
    ranking = story.ranking
    x, y = (0, 0)
    if len(ranking.objectives) > 1:
        x, y, _ = pareto_roles(ranking.objectives)
    place = {row.trial_id: index for index, row in enumerate(ranking.rows)}
    lineages = _bred(story)
    differing = set(differing_keys([row.config for row in ranking.rows]))
    fixed = {key: value for key, value in ranking.rows[0].config.items() if key not in differing}
    return {
        "objectives": [_scale(objective) for objective in ranking.objectives],
        "bounds": [
            {**_scale(bound.scale), "value": bound.value, "is_slo": bound.is_slo}
            for bound in story.bounds
        ],
        "axes": [x, y],
        "trials": {
            "id": [row.trial_id for row in ranking.rows],
            "status": [row.status for row in ranking.rows],
            "epoch": [row.epoch for row in ranking.rows],
            "rank": [row.rank for row in ranking.rows],
            "values": [list(row.values) for row in ranking.rows],
            "limited": [[_finite(v) for v in row] for row in story.values.tolist()],
            "objection": [story.objections.get(row.trial_id) for row in ranking.rows],
        },
        "fixed": {key: _text(value) for key, value in fixed.items()},
        "intervals": _intervals(story, place),
        "details": [_detail(row, differing, story.evidence) for row in ranking.rows[:MAX_DETAILED]],
        "curves": _curves(story, place),
        "schedules": _schedules(lineages),
        "lineage": _lineage(lineages),
        "spent": _spent(story),
        "surfaces": _surfaces(story),
    }


def _scale(objective: Objective) -> dict[str, str]:
    words = words_of(objective.column)
    return {
        "column": objective.column,
        "words": words[:1].upper() + words[1:],
        "unit": unit_of(objective.column),
        "direction": objective.direction,
    }


def _detail(row: RankedTrial, differing: Collection[str], evidence: Evidence) -> dict[str, Any]:
    """Return what is shown of a trial that is chosen or looked at."""
    return {
        "config": {key: _text(value) for key, value in row.config.items() if key in differing},
        "checkpoint": row.checkpoint,
        "command": row.reproduce,
        "sure": evidence.front_words(row),
        "notes": [[note.tone, note.text] for note in evidence.notes(row)],
    }


def _intervals(story: Story, place: Mapping[str, int]) -> list[dict[str, Any]]:
    """Return what further seeds say of finalists: value, low and high an objective."""
    certainty = story.evidence.certainty
    if certainty is None:
        return []
    estimates = certainty.estimates
    low, high = estimates.intervals()
    ends = np.stack([estimates.values, low, high], axis=-1)
    return [
        {"row": place[trial_id], "ends": one.tolist()}
        for trial_id, one in zip(estimates.trial_ids, ends, strict=True)
    ]


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return value if isinstance(value, str) else json.dumps(value)


def _finite(value: Any) -> float | None:
    """Return a number for JSON; None where it is none or not finite."""
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None


def _curves(story: Story, place: Mapping[str, int]) -> dict[str, Any]:
    """Return learning curves of the best ranked trials, then of others that reported."""
    run = story.run
    others = [name for name in run.results.column_names if name not in RESULTS_SCHEMA.names]
    objectives = [o.column for o in story.ranking.objectives]
    wanted = dict.fromkeys([*objectives, *others, *CURVE_COLUMNS])
    columns = [
        name
        for name in wanted
        if name in run.results.column_names and run.results[name].null_count < len(run.results)
    ]
    columns = [c for c in columns if not c.endswith("_seconds")][:MAX_METRICS]
    found = {column: learning_curves(run, column) for column in columns}
    trials = list(found[columns[0]]) if columns else []
    trials.sort(key=lambda trial_id: place.get(trial_id, len(place)))
    lines = []
    for trial_id in trials[:MAX_CURVES]:
        epochs = found[columns[0]][trial_id].epochs
        step = -(-len(epochs) // MAX_CURVE_POINTS)
        kept = slice((len(epochs) - 1) % step, None, step)  # the last one stays
        lines.append(
            {
                "trial": place.get(trial_id, -1),
                "id": trial_id,
                "x": epochs[kept].tolist(),
                "ys": [
                    [_rounded(v) for v in found[c][trial_id].values[kept].tolist()] for c in columns
                ],
            }
        )
    metrics = [_scale(Objective(column, "max")) for column in columns]
    return {"metrics": metrics, "lines": lines, "num_trials": len(trials)}


def _rounded(value: float) -> float | None:
    return float(f"{value:.5g}") if math.isfinite(value) else None


def _bred(story: Story) -> dict[str, tuple[Segment, ...]]:
    """Return lineages of trials, the best ranked first; empty without any exploit."""
    if not gather_exploits(story.run):
        return {}
    lineages = gather_lineages(story.run)
    order = [row.trial_id for row in story.ranking.rows][:MAX_LINEAGES]
    return {trial_id: lineages[trial_id] for trial_id in order}


def _schedules(lineages: Mapping[str, Sequence[Segment]]) -> dict[str, Any]:
    """Return how hyperparameters that exploits changed went, over the lineage's epochs."""
    keys = []
    for key in dict.fromkeys(k for s in lineages.values() for part in s for k in part.config):
        courses = [schedule(segments, key)[1] for segments in lineages.values()]
        flat = [value for course in courses for value in course if value is not None]
        is_number = all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in flat)
        if flat and is_number and any(len(set(map(repr, course))) > 1 for course in courses):
            keys.append(key)
    lines: list[dict[str, Any]] = []
    for trial_id, segments in lineages.items():
        epochs = schedule(segments, "")[0]
        ys = [[_finite(value) for value in schedule(segments, key)[1]] for key in keys]
        lines.append({"id": trial_id, "x": epochs, "ys": ys})
    return {"keys": keys, "lines": lines}


def _lineage(lineages: Mapping[str, Sequence[Segment]]) -> list[dict[str, Any]]:
    """Return the segments of each trial's weights."""
    return [
        {"id": trial_id, "parts": [[s.from_epoch, s.to_epoch, s.donor_id] for s in segments]}
        for trial_id, segments in lineages.items()
    ]


def _spent(story: Story) -> dict[str, Any] | None:
    """Return hypervolume over what was spent, in the first unit that all runs tell."""
    objectives = story.ranking.objectives
    reference = common_reference(list(story.parts.values()), objectives)
    for unit in ("cost_usd", "gpu_seconds", "gang_seconds", "wall_seconds", "reports"):
        try:
            curves = compare_hypervolumes(story.parts, objectives, unit=unit, reference=reference)
        except ValueError:
            continue
        if all(curve.spent[-1] > 0 for curve in curves.values()):
            lines = [
                {
                    "id": name,
                    "x": [0.0, *curve.spent.tolist()],
                    "ys": [[0.0, *curve.hypervolumes.tolist()]],
                }
                for name, curve in curves.items()
            ]
            return {"unit": unit, "lines": lines, "reference": list(reference)}
    return None


def _surfaces(story: Story) -> list[dict[str, Any]]:
    """Return what parts of several runs attained, of two objectives; empty where that is none."""
    if len(story.parts) < 2 or len(story.ranking.objectives) != 2:
        return []
    try:
        surfaces = attainment_surfaces(list(story.parts.values()), story.ranking.objectives)
    except ValueError:  # a run without a ranked trial
        return []
    words: Sequence[tuple[float, str]] = ((0, "at least one"), (50, "half"), (100, "all"))
    return [{"id": text, "points": surfaces[percentile].tolist()} for percentile, text in words]
