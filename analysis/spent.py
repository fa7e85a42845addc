"""What a sweep had spent by each of its reports."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from analysis.curves import trial_rows
from analysis.load import Run

SPENT_UNITS: Final = ("gang_seconds", "gpu_seconds", "cost_usd", "wall_seconds", "reports")


def spent_by_report(run: Run, unit: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the rows of `results.parquet` in order of time, and what was spent by each.

    With a ledger it is what all gangs had been held for, overhead and idle time included; its clock
    is set by the first epochs, to a fraction of a second. Without one (older and replayed runs) it
    is what the trials were charged. Time counts from the sweep's start.

    Args:
        run: from `load_run`.
        unit: one of `SPENT_UNITS`; `reports` counts them.

    Returns:
        [num_results] rows of `run.results`, and [num_results] amounts, ascending.

    Raises:
        ValueError: if the unit is unknown, nothing was reported, or the run does not tell.
    """
    if unit not in SPENT_UNITS:
        raise ValueError(f"unit must be one of {', '.join(SPENT_UNITS)}, got {unit!r}; choose one")
    if not len(run.results):
        raise ValueError(f"reports must be one or more, got none in {run.path}; wait for an epoch")
    ended_s = np.asarray(run.results["ended_unix_s"], dtype=np.float64)
    has_times = not np.isnan(ended_s).any()
    order = np.argsort(ended_s, kind="stable") if has_times else np.arange(len(ended_s))
    if unit == "reports":
        return order, np.arange(1.0, len(order) + 1)
    if unit == "wall_seconds":
        spent = ended_s - _number(run.spec.get("started_unix_s"))
    elif has_times and len(run.ledger):
        spent = _by_ledger(run, unit, ended_s)
    else:
        spent = _by_trials(run, unit, order)
    if np.isnan(spent).any():
        raise ValueError(
            f"{unit} must be known of every report, got none in {run.path}; choose another of "
            f"{', '.join(SPENT_UNITS)}"
        )
    return order, np.asarray(np.maximum.accumulate(spent[order]))


def _number(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) else float("nan")


def _by_trials(run: Run, unit: str, order: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the sum of what all trials were charged up to each report."""
    charged = np.asarray(run.results[unit], dtype=np.float64)
    added = np.empty_like(charged)
    for rows in trial_rows(run).values():
        added[rows] = np.diff(charged[rows], prepend=0.0)
    spent = np.empty_like(charged)
    spent[order] = np.cumsum(added[order])
    return spent


def _by_ledger(run: Run, unit: str, ended_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what the gangs had been held for by some moments [unix seconds]."""
    started, ended = (
        np.asarray(run.ledger[name], dtype=np.float64) for name in ("started_s", "ended_s")
    )
    seconds = ended - started
    if unit == "cost_usd":
        amounts = np.asarray(run.ledger["cost_usd"], dtype=np.float64)
    else:
        amounts = seconds * (_gpus_per_gang(run) if unit == "gpu_seconds" else 1.0)
    is_lasting = seconds > 0
    rates = amounts[is_lasting] / seconds[is_lasting]
    moments = np.concatenate([started[is_lasting], ended[is_lasting]])
    changes = np.concatenate([rates, -rates])
    order = np.argsort(moments, kind="stable")
    moments, rate = moments[order], np.cumsum(changes[order])
    spent = np.concatenate([[0.0], np.cumsum(rate[:-1] * np.diff(moments))])
    return np.asarray(np.interp(ended_s - _clock_offset(run), moments, spent))


def _clock_offset(run: Run) -> float:
    """Return the ledger's zero [unix seconds]: a trial's first span begins with its first step."""
    training = run.ledger.filter(pc.equal(run.ledger["kind"], "training"))
    begun: dict[str, float] = {}
    for trial_id, started_s in zip(
        training["trial_id"].to_pylist(), training["started_s"].to_pylist(), strict=True
    ):
        begun[trial_id] = min(started_s, begun.get(trial_id, started_s))
    stepped = np.asarray(run.results["started_unix_s"], dtype=np.float64)
    offsets = [
        float(np.min(stepped[rows])) - begun[trial_id]
        for trial_id, rows in trial_rows(run).items()
        if trial_id in begun
    ]
    return min(offsets, default=float("nan"))


def _gpus_per_gang(run: Run) -> float:
    gangs = run.spec.get("gangs")
    known = gangs if isinstance(gangs, dict) else {}
    return _number(known.get("workers_per_gang")) * _number(known.get("gpus_per_worker"))
