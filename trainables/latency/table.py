"""Latency figures in words for a person, and in a file for a program. Needs no Torch."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from rich.table import Table

from trainables.errors import InputError
from trainables.latency.figure import LatencyFigure
from trainables.latency.shipping import shipping_fault

_SUFFIXES = (".json", ".parquet")


def check_out(path: Path) -> None:
    """Check the name of a file that figures go to.

    Raises:
        InputError: if it ends in neither .json nor .parquet, or its folder isn't there.
    """
    if path.suffix not in _SUFFIXES:
        raise InputError(f"--out must end in .json or .parquet, got {path}; rename it")
    if not path.absolute().parent.is_dir():
        raise InputError(f"--out must lie in a folder that is there, got {path}; make the folder")


def write_figures(figures: Sequence[LatencyFigure], path: Path) -> None:
    """Write figures as rows, in JSON or Parquet by the name's ending."""
    rows = [dataclasses.asdict(figure) for figure in figures]
    if path.suffix == ".json":
        path.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)


def figure_tables(figures: Sequence[LatencyFigure]) -> list[Table]:
    """Return two tables with a row a figure: how fast it is, and what it is that was timed."""
    speed = _table("latency\n[ms]", "p50\n[ms]", "p99\n[ms]", "samples\nper s")
    speed.add_column("\nstatus")
    artefact = _table(
        "memory\n[MB]", "size\n[MB]", "start\n[ms]", "agree-\nment", "\naccuracy", "fp32\naccuracy"
    )
    for figure in figures:
        name = (model_name(figure), figure.runtime, figure.precision, str(figure.batch_size))
        speed.add_row(
            *name,
            _latency(figure),
            _number(figure.p50_ms),
            _number(figure.p99_ms),
            _number(figure.throughput_per_s),
            figure.status,
        )
        artefact.add_row(
            *name,
            _megabytes(figure.peak_memory_bytes),
            _megabytes(figure.artefact_bytes),
            _number(figure.cold_start_ms),
            _number(figure.agreement_fraction, 4),
            _number(figure.accuracy, 4),
            _number(figure.fp32_accuracy, 4),
        )
    return [speed, artefact]


def _table(*names: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("\nmodel", "\nruntime", "\nprecision"):
        table.add_column(name)
    for name in ("\nbatch", *names):
        table.add_column(name, justify="right", no_wrap=True)
    return table


def notes(figures: Sequence[LatencyFigure]) -> list[str]:
    """Return a line for each figure that can't be taken as it stands, and why."""
    lines = []
    for figure in figures:
        name = f"{model_name(figure)}, {figure.runtime} {figure.precision}"
        if figure.reason is not None:
            lines.append(f"{name}, {figure.status}: {figure.reason}")
        fault = shipping_fault(figure)
        if figure.trial_id is not None and figure.status != "failed" and fault is not None:
            lines.append(f"{name}, not to be shipped: {fault}")
    return lines


def model_name(figure: LatencyFigure) -> str:
    """Return what a person calls the model: the trial, or the file, or the architecture."""
    described = json.loads(figure.description)
    name = figure.trial_id or described.get("onnx_file") or described["model"]
    return name if figure.compression is None else f"{name} {figure.compression}"


def _latency(figure: LatencyFigure) -> str:
    """Return the figure with the larger half of its interval."""
    latency_ms, low_ms, high_ms = figure.latency_ms, figure.latency_low_ms, figure.latency_high_ms
    if latency_ms is None or low_ms is None or high_ms is None:
        return "-"
    return f"{_number(latency_ms)} ±{max(high_ms / latency_ms - 1, 1 - low_ms / latency_ms):.0%}"


def _number(value: float | None, num_digits: int = 3) -> str:
    if value is None:
        return "-"
    return f"{value:.{num_digits}g}" if abs(value) < 1000 else f"{value:,.0f}"


def _megabytes(value: int | None) -> str:
    return _number(None if value is None else value / 1e6)
