"""The run folder of a replayed sweep: what `analysis` reads of a real one."""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from analysis.records import (
    LEDGER_FILE,
    LEDGER_SCHEMA,
    RESULTS_FILE,
    RESULTS_SCHEMA,
    SCHEMA_VERSION,
    SWEEP_FILE,
    TRIALS_FILE,
    TRIALS_SCHEMA,
    Objective,
)
from sweeps.run_folder import RunFolder
from sweeps.simulate.recorded_table import RecordedTable
from sweeps.simulate.replay import SimulatedRun


def write_simulated(
    folder: RunFolder,
    table: RecordedTable,
    run: SimulatedRun,
    objectives: Sequence[Objective],
    settings: Mapping[str, Any],
) -> None:
    """Write a run folder.

    The table's columns stand in `trials.parquet` and `results.parquet` beside those of every run,
    under their own names; `gang_seconds` are virtual.

    Args:
        folder: to write; not created yet.
        table: that was replayed.
        run: what came of it.
        objectives: columns to rank by.
        settings: what the simulator was told; kept in `sweep.json`.

    Raises:
        InputError: if the folder can't be written or is in use.
    """
    folder.create()
    folder.write_json(SWEEP_FILE, _sweep(folder.path.name, table, run, objectives, settings))
    results = [
        {
            "trial_id": report.trial_id,
            "epoch": report.epoch,
            "gang_seconds": report.seconds,
            table.metric.column: report.value,
        }
        for report in run.reports
    ]
    schema = _with(RESULTS_SCHEMA, [table.metric.column])
    folder.write_table(RESULTS_FILE, schema, results)
    schema = _with(TRIALS_SCHEMA, [table.metric.column, *table.known])
    folder.write_table(TRIALS_FILE, schema, _trials(table, run))
    if run.fleet is not None:
        folder.write_table(LEDGER_FILE, LEDGER_SCHEMA, map(vars, run.fleet.ledger.spans))


def _trials(table: RecordedTable, run: SimulatedRun) -> list[dict[str, Any]]:
    last = {report.trial_id: report for report in run.reports}
    rows = []
    for trial_id, status in run.status.items():
        index = run.index[trial_id]
        config = json.dumps(dict(table.configs[index]))
        row = {
            "trial_id": trial_id,
            "status": status,
            "config": config,
            "lineage": [{"from_epoch": 0, "parent_trial_id": None, "config": config}],
            "num_exploits": 0,
            "epoch": 0,
            "gang_seconds": 0.0,
            **table.known_of(index),
        }
        if trial_id in last:
            report = last[trial_id]
            row |= {
                "epoch": report.epoch,
                "gang_seconds": report.seconds,
                table.metric.column: report.value,
            }
        rows.append(row)
    return rows


def _with(schema: pa.Schema, names: Sequence[str]) -> pa.Schema:
    """Return a schema with the columns that it has not yet, as numbers."""
    new = [pa.field(name, pa.float64()) for name in names if name not in schema.names]
    return pa.schema([*schema, *new])


def _sweep(
    name: str,
    table: RecordedTable,
    run: SimulatedRun,
    objectives: Sequence[Objective],
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    held = sum(report.seconds for report in {r.trial_id: r for r in run.reports}.values())
    return {
        "schema_version": SCHEMA_VERSION,
        "name": name,
        "status": "finished",
        "command": shlex.join(["python", *sys.argv]),
        "scheduler": settings["scheduler"],
        "objectives": [str(objective) for objective in objectives],
        "dataset": {"name": table.name, "note": table.note or "recorded runs, replayed"},
        "simulated": {**settings, "seconds": run.seconds},
        "spec": {},
        "seed": settings["seed"],
        "num_trials": len(run.status),
        "num_epochs": table.max_epochs,
        "versions": {},
        "hardware": {},
        "gangs": {"num_gangs": settings["workers"]},
        "started_unix_s": time.time(),
        "ended_unix_s": time.time(),
        "totals": {"gang_seconds": held},
        **_fleet(run),
    }


def _fleet(run: SimulatedRun) -> dict[str, Any]:
    """Return what `sweep.json` says of gangs that could be lost, as that of a real sweep does."""
    if run.fleet is None:
        return {}
    account = run.fleet.ledger.account()
    return {
        "ledger": dict(account.by_kind),
        "totals": {
            "gang_seconds": sum(account.by_trial.values()),
            "held_gang_seconds": account.held_seconds,
        },
    }
