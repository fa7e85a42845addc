"""Pareto dominance: which trials nothing beats in every objective at once.

Inside, every objective is a loss (lower is better); directions are given explicitly once, where
columns become losses. The sorting is moocore's (dimension sweep, Jensen 2003 and Kung et al.
1975); the tests hold it against the naive definition.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import moocore
import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from analysis.records import Objective

Losses = NDArray[np.float64]
"""[num_trials, num_objectives]; lower is better."""


def losses(
    columns: pa.Table | Mapping[str, ArrayLike], objectives: Sequence[Objective]
) -> NDArray[np.float64]:
    """Return one loss a trial and objective: the value for `min`, its negative for `max`.

    Args:
        columns: a table or arrays, by column name; a null becomes NaN.
        objectives: at least one.

    Returns:
        [num_trials, num_objectives]; lower is better.

    Raises:
        ValueError: if there is no objective, or a column is missing.

    Example:
        >>> losses({"val_accuracy": [0.9, 0.8]}, [Objective("val_accuracy", "max")])
        array([[-0.9],
               [-0.8]])
    """
    if not objectives:
        raise ValueError(
            "objectives must name at least one column, got none; give column:max or column:min"
        )
    known = columns.column_names if isinstance(columns, pa.Table) else list(columns)
    stacked = []
    for objective in objectives:
        if objective.column not in known:
            raise ValueError(
                f"objectives must be columns of the table, got {objective.column!r}; choose from "
                f"{', '.join(known)}"
            )
        values = np.asarray(columns[objective.column], dtype=np.float64)
        stacked.append(objective.loss(values))
    return np.stack(stacked, axis=1)


def nondominated_ranks(losses: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return each trial's non-dominated rank; 0 is the front.

    A trial dominates another if it is no worse in every objective and better in at least one, so
    equal trials share a rank. Rank r is the front once ranks below r are taken away (Deb et al.
    2002, NSGA-II, section III A).

    Args:
        losses: [num_trials, num_objectives]; lower is better; no NaN.

    Returns:
        [num_trials] int.

    Raises:
        ValueError: if losses is not 2-D, has no objective or holds NaN.

    Example:
        >>> nondominated_ranks(np.array([[1.0, 2.0], [2.0, 1.0], [2.0, 2.0], [1.0, 2.0]]))
        array([0, 0, 1, 0])
    """
    _check_losses(losses)
    if not len(losses):
        return np.zeros(0, dtype=np.int64)
    return np.asarray(moocore.pareto_rank(losses), dtype=np.int64)


def is_front(losses: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which trials nothing dominates; of equal ones all or none.

    Args:
        losses: [num_trials, num_objectives]; lower is better; no NaN.

    Returns:
        [num_trials] bool; True where `nondominated_ranks` is 0.

    Raises:
        ValueError: if losses is not 2-D, has no objective or holds NaN.
    """
    _check_losses(losses)
    return np.asarray(moocore.is_nondominated(losses, keep_weakly=True), dtype=np.bool_)


def _check_losses(losses: NDArray[np.float64]) -> None:
    if losses.ndim != 2 or losses.shape[1] == 0:
        raise ValueError(
            f"losses must be [num_trials, num_objectives >= 1], got shape {losses.shape}; give a "
            "row a trial and a column an objective"
        )
    if np.isnan(losses).any():
        raise ValueError(
            f"losses must hold no NaN, got {int(np.isnan(losses).any(axis=1).sum())} such rows; "
            "leave out trials without a value for every objective"
        )
