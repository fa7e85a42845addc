"""Learning curves: what each trial reported, epoch by epoch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.load import Run
from analysis.records import numeric_columns


@dataclass(frozen=True, eq=False)
class Curve:
    """A column of `results.parquet` over a trial's epochs.

    Attributes:
        trial_id: whose it is.
        epochs: [num_epochs] ascending, each once.
        values: [num_epochs]; NaN where nothing was reported.
    """

    trial_id: str
    epochs: NDArray[np.int64]
    values: NDArray[np.float64]


def learning_curves(run: Run, column: str) -> dict[str, Curve]:
    """Return the curve of each trial that has reported, by trial id.

    After an exploit from a donor that was behind, epochs come again: what was reported before from
    there on is of weights that are gone, and is left out.

    Args:
        run: from `load_run`.
        column: a numeric column of `results.parquet`.

    Raises:
        ValueError: if there is no such column.
    """
    numeric = numeric_columns(run.results.schema)
    if column not in numeric:
        raise ValueError(
            f"column must be a number in results.parquet, got {column!r}; choose from "
            f"{', '.join(numeric)}"
        )
    epochs = np.asarray(run.results["epoch"], dtype=np.int64)
    values = np.asarray(run.results[column], dtype=np.float64)
    curves = {}
    for trial_id, rows in trial_rows(run).items():
        kept = rows[_is_kept(epochs[rows])]
        curves[trial_id] = Curve(trial_id, epochs[kept], values[kept])
    return curves


def trial_rows(run: Run) -> dict[str, NDArray[np.int64]]:
    """Return the rows of `results.parquet` of each trial, as they came."""
    encoded = run.results["trial_id"].combine_chunks().dictionary_encode()
    codes = encoded.indices.to_numpy(zero_copy_only=False)
    order = np.argsort(codes, kind="stable")
    names = encoded.dictionary.to_pylist()
    bounds = np.searchsorted(codes[order], np.arange(len(names) + 1))
    return {name: order[bounds[i] : bounds[i + 1]] for i, name in enumerate(names)}


def _is_kept(epochs: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which of a trial's rows no later one has replaced."""
    after = np.append(epochs[1:], np.iinfo(np.int64).max)
    return np.asarray(epochs < np.minimum.accumulate(after[::-1])[::-1])
