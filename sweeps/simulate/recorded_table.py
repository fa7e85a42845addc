"""Recorded training runs, to replay a sweep against.

A folder of three files; `docs/replay.md` fixes what they hold:

- `configs.parquet`: a row a config: `config_id`, the hyperparameters, what is known before
  training, and the final score, which no scheduler sees.
- `curves.parquet`: a row a report: `config_id`, `epoch`, the metric, `seconds` since the start.
- `meta.json`: the hyperparameters, the metric with its mode, and which columns are known.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from analysis.records import Objective, numeric_columns
from trainables.epoch_result import IS_LAST
from trainables.errors import InputError

CONFIG_ID: Final = "config_id"
"""Of a trial's config: the index of the table's config that it replays."""

CONFIGS_FILE = "configs.parquet"
CURVES_FILE = "curves.parquet"
META_FILE = "meta.json"

Column = NDArray[Any]


@dataclass(frozen=True)
class Curve:
    """What one config reports.

    Attributes:
        epochs: [num_reports] int, ascending.
        values: [num_reports], of the metric.
        seconds: [num_reports] since the start, of one accelerator; ascending.
        is_evened: they did not ascend as recorded, and are the first report's, epoch by epoch.
    """

    epochs: NDArray[np.int64]
    values: NDArray[np.float64]
    seconds: NDArray[np.float64]
    is_evened: bool = False


@dataclass(frozen=True)
class RecordedTable:
    """A table of recorded runs.

    Attributes:
        name: of its folder.
        metric: what is learnt by training, with its direction.
        hyperparameters: their names.
        known: columns that are known before training.
        final_column: the score that a trial is worth, which no scheduler may see.
        final: [num_configs] that score, as the metric's loss or its own (see `final_direction`).
        final_direction: of that score.
        configs: [num_configs] hyperparameters of each config.
        columns: [num_configs] each, all numeric columns of `configs.parquet`.
        curves: [num_configs].
    """

    name: str
    metric: Objective
    hyperparameters: tuple[str, ...]
    known: tuple[str, ...]
    final_column: str
    final: NDArray[np.float64]
    final_direction: str
    configs: Sequence[Mapping[str, Any]]
    columns: Mapping[str, NDArray[np.float64]]
    curves: Sequence[Curve]

    @property
    def max_epochs(self) -> int:
        """Epochs of a full training."""
        return max(int(curve.epochs[-1]) for curve in self.curves)

    @property
    def note(self) -> str | None:
        """What of the recording was not taken as it is, for the user; None if all was."""
        num_evened = sum(curve.is_evened for curve in self.curves)
        if not num_evened:
            return None
        return (
            f"seconds of {num_evened} of {len(self.curves)} configs do not ascend: each of their "
            "epochs is taken to last as long as the first"
        )

    def known_of(self, index: int) -> dict[str, float]:
        """Return what is known of a config before it trains."""
        return {name: float(self.columns[name][index]) for name in self.known}

    def report(self, index: int, place: int) -> tuple[dict[str, Any], float]:
        """Return what a config reports, and the seconds since its report before.

        Args:
            index: of the config.
            place: of the report in its curve.
        """
        curve = self.curves[index]
        before_s = float(curve.seconds[place - 1]) if place else 0.0
        is_last = place + 1 == len(curve.epochs)
        return {
            "epoch": int(curve.epochs[place]),
            self.metric.column: float(curve.values[place]),
            "seconds": float(curve.seconds[place]),
            "done": is_last,
            **({IS_LAST: True} if is_last else {}),
        }, float(curve.seconds[place]) - before_s


def trial_name(index: int) -> str:
    """Return the id of the trial that replays a config."""
    return f"trial_{index:05d}"


def read_table(folder: Path) -> RecordedTable:
    """Read and check a table.

    Raises:
        InputError: if a file or a column is missing, or a curve is not one.
    """
    meta = _read_meta(folder)
    configs, curves = (_read_parquet(folder / name) for name in (CONFIGS_FILE, CURVES_FILE))
    metric = _metric(folder, meta)
    hyperparameters = tuple(meta["hyperparameters"])
    known = tuple(meta.get("known_before_training", ()))
    _check_columns(folder / CONFIGS_FILE, configs, ("config_id", *hyperparameters, *known))
    _check_columns(folder / CURVES_FILE, curves, ("config_id", "epoch", metric.column, "seconds"))
    ids = configs["config_id"].to_numpy()
    by_config = _split_curves(folder, curves, ids, metric.column)
    columns = {
        name: configs[name].to_numpy().astype(np.float64)
        for name in numeric_columns(configs.schema)
    }
    final_column, final, direction = _final(meta, metric, columns, by_config)
    return RecordedTable(
        name=folder.name,
        metric=metric,
        hyperparameters=hyperparameters,
        known=known,
        final_column=final_column,
        final=final,
        final_direction=direction,
        configs=configs.select(list(hyperparameters)).to_pylist(),
        columns=columns,
        curves=by_config,
    )


def _read_meta(folder: Path) -> dict[str, Any]:
    path = folder / META_FILE
    try:
        meta = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} must be readable JSON, got {error}; name a folder in the form of "
            "docs/replay.md"
        ) from error
    missing = [name for name in ("hyperparameters", "metric") if name not in meta]
    if missing:
        raise InputError(f"{path} must have {', '.join(missing)}, got none; see docs/replay.md")
    return dict(meta)


def _metric(folder: Path, meta: Mapping[str, Any]) -> Objective:
    name, mode = meta["metric"].get("name"), meta["metric"].get("mode")
    if name is None or mode not in ("max", "min"):
        raise InputError(
            f"metric of {folder / META_FILE} must have a name and the mode max or min, got "
            f"{meta['metric']}; give both"
        )
    return Objective(name, mode)


def _read_parquet(path: Path) -> pa.Table:
    try:
        return pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise InputError(
            f"{path} must be readable Parquet, got {str(error).splitlines()[0]}; see docs/replay.md"
        ) from error


def _check_columns(path: Path, table: pa.Table, needed: Sequence[str]) -> None:
    missing = [name for name in needed if name not in table.column_names]
    if missing:
        raise InputError(
            f"{path} must have the columns {', '.join(missing)}, got "
            f"{', '.join(table.column_names)}; see docs/replay.md"
        )
    if not table.num_rows:
        raise InputError(f"{path} must have rows, got none; see docs/replay.md")


def _split_curves(folder: Path, curves: pa.Table, ids: Column, metric: str) -> list[Curve]:
    """Return the curve of each config."""
    path = folder / CURVES_FILE
    owner = curves["config_id"].to_numpy()
    epochs = curves["epoch"].to_numpy().astype(np.int64)
    values = curves[metric].to_numpy().astype(np.float64)
    seconds = curves["seconds"].to_numpy().astype(np.float64)
    order = np.argsort(owner, kind="stable")
    owner, epochs, values, seconds = owner[order], epochs[order], values[order], seconds[order]
    is_wrong = (owner[1:] == owner[:-1]) & (np.diff(epochs) <= 0)
    if is_wrong.any():
        raise InputError(
            f"epoch of {path} must ascend in each config, got config {owner[1:][is_wrong][0]} out "
            "of order; sort it"
        )
    if not np.isfinite(values).all() or not np.isfinite(seconds).all():
        config_id = owner[~(np.isfinite(values) & np.isfinite(seconds))][0]
        raise InputError(
            f"{metric} and seconds of {path} must be numbers, got NaN or infinity in config "
            f"{config_id}; leave that config out"
        )
    starts, ends = np.searchsorted(owner, ids, "left"), np.searchsorted(owner, ids, "right")
    if (starts == ends).any():
        raise InputError(
            f"{path} must have a curve of every config, got none of config "
            f"{ids[starts == ends][0]}; add it or leave the config out"
        )
    return [
        _curve(epochs[start:end], values[start:end], seconds[start:end])
        for start, end in zip(starts, ends, strict=True)
    ]


def _curve(
    epochs: NDArray[np.int64], values: NDArray[np.float64], seconds: NDArray[np.float64]
) -> Curve:
    """Return a curve; where its seconds can't be, each epoch takes what the first report's did."""
    is_evened = bool((np.diff(seconds) < 0).any() or seconds[0] < 0)
    if is_evened:
        seconds = epochs * abs(seconds[0]) / epochs[0]
    return Curve(epochs, values, seconds, is_evened)


def _final(
    meta: Mapping[str, Any],
    metric: Objective,
    columns: Mapping[str, NDArray[np.float64]],
    curves: Sequence[Curve],
) -> tuple[str, NDArray[np.float64], str]:
    """Return the name, values and direction of the score that a trial is worth in the end."""
    name = meta.get("final_column")
    if name is None:  # of the older form: words that begin with the column's name
        words = str(meta.get("final", "")).split()
        name = words[0] if words and words[0] in columns else None
    if name is None:
        last = np.array([curve.values[-1] for curve in curves])
        return metric.column, last, metric.direction
    direction = meta.get("final_mode") or ("min" if _is_loss(name) else "max")
    return name, columns[name], direction


def _is_loss(name: str) -> bool:
    return any(word in name for word in ("loss", "error", "nll", "perplexity"))
