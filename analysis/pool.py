"""Several runs as one, so that whatever reads a run reads them together."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from analysis.load import Run, RunError

TABLES: Final = ("trials", "results", "latency", "robustness", "attributions", "seeds", "ledger")
_IDS: Final = ("trial_id", "parent_trial_id")


def run_labels(runs: Sequence[Run]) -> list[str]:
    """Return a short name for each run, no two the same.

    The folder's name; where folders are called the same, with a number behind it.
    """
    names = [PurePosixPath(run.path.rstrip("/")).name or run.path for run in runs]
    return [
        name if names.count(name) == 1 else f"{name}#{names[: index + 1].count(name)}"
        for index, name in enumerate(names)
    ]


def pool_runs(runs: Sequence[Run]) -> Run:
    """Return one run that holds the trials of all, named LABEL/TRIAL.

    What `sweep.json` says is the first run's, but for name, status (`finished` only where all are)
    and totals (summed). Gangs are numbered on from run to run. A single run is returned as it is.

    Raises:
        RunError: if there is no run, or the runs' objectives or data differ: their trials can't be
            ranked together.
    """
    if not runs:
        raise RunError("runs must be one or more, got none; give run folders")
    if len(runs) == 1:
        return runs[0]
    labels = run_labels(runs)
    _check_alike(runs, labels)
    tables = {name: _stacked(name, runs, labels) for name in TABLES}
    statuses = [str(run.spec.get("status", "unknown")) for run in runs]
    unfinished = [status for status in statuses if status != "finished"]
    spec = runs[0].spec | {
        "name": " + ".join(labels),
        "status": unfinished[0] if unfinished else "finished",
        "totals": _summed([run.spec.get("totals") for run in runs]),
    }
    return dataclasses.replace(
        runs[0], path=" ".join(run.path for run in runs), spec=spec, **tables
    )


def _check_alike(runs: Sequence[Run], labels: Sequence[str]) -> None:
    """Refuse runs whose figures are not of the same kind."""
    for what, read in (("objectives", _objectives), ("data", _data)):
        first = read(runs[0])
        for run, label in zip(runs, labels, strict=True):
            if read(run) != first:
                raise RunError(
                    f"{what} of runs that are ranked together must be the same, got {first} in "
                    f"{labels[0]} and {read(run)} in {label}; report on them one by one"
                )


def _objectives(run: Run) -> str:
    texts = run.spec.get("objectives")
    return ", ".join(map(str, texts)) if isinstance(texts, list) else repr(texts)


def _data(run: Run) -> str:
    """Return the fingerprint of the data, or its name where there is none."""
    dataset = run.spec.get("dataset")
    known = dataset if isinstance(dataset, dict) else {}
    return str(known.get("fingerprint") or known.get("name"))


def _stacked(name: str, runs: Sequence[Run], labels: Sequence[str]) -> pa.Table:
    """Return the rows of a table of all runs, with the run's label before each trial's id."""
    stacked, num_gangs = [], 0
    for run, label in zip(runs, labels, strict=True):
        table = getattr(run, name)
        for index, column in enumerate(table.column_names):
            if column in _IDS:
                ids = pc.binary_join_element_wise(f"{label}/", table[column], "")
                table = table.set_column(index, table.schema.field(column), ids)
        if name == "ledger" and len(table):
            index = table.column_names.index("gang")
            gangs = pc.add(table["gang"], pa.scalar(num_gangs, pa.int32()))
            table = table.set_column(index, table.schema.field("gang"), gangs)
            num_gangs = pc.max(gangs).as_py() + 1
        stacked.append(table)
    return pa.concat_tables(stacked, promote_options="permissive")


def _summed(totals: Sequence[Any]) -> dict[str, float]:
    """Return the sums of the figures that all runs have."""
    known = [one if isinstance(one, dict) else {} for one in totals]
    return {
        key: sum(one[key] for one in known)
        for key in known[0]
        if all(isinstance(one.get(key), (int, float)) for one in known)
    }
