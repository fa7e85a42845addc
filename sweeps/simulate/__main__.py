"""Replay recorded runs: `python -m sweeps.simulate TABLE --out DIR`."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, get_args

from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from analysis.records import Objective
from sweeps.run_folder import RunFolder
from sweeps.schedulers.mo_asha import ORDERS, HalvingOptions, MoAsha
from sweeps.schedulers.protocol import Scheduler
from sweeps.schedulers.ray_stopping import RAY_STOPPING, RayStopping, StoppingOptions
from sweeps.schedulers.tune_adapter import TuneAdapter
from sweeps.searchers.known_latency import KnownLatencyOptions, KnownLatencySearcher
from sweeps.searchers.pool import make_pool
from sweeps.searchers.protocol import Searcher
from sweeps.searchers.random_order import RandomSearcher
from sweeps.simulate.fleet import FleetModel
from sweeps.simulate.recorded_table import CONFIG_ID, RecordedTable, read_table
from sweeps.simulate.replay import FleetRun, Setup, SimulatedRun, replay
from sweeps.simulate.simulated_folder import write_simulated
from sweeps.spec import POPULATION, SchedulerName, SearcherName, require, require_optuna
from trainables.errors import EXIT_BAD_INPUT, InputError


def main(arguments: list[str] | None = None) -> int:
    """Replay a table for each seed, and write a run folder each; return the exit code."""
    asked = _parser().parse_args(arguments)
    try:
        _simulate(asked)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_BAD_INPUT
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sweeps.simulate", description=__doc__)
    parser.add_argument("table", type=Path, help="folder of recorded runs (docs/replay.md)")
    parser.add_argument("--scheduler", default="mo_asha", choices=get_args(SchedulerName))
    parser.add_argument("--searcher", default="known_latency", choices=get_args(SearcherName))
    parser.add_argument(
        "--objectives",
        nargs="+",
        help="column:max or column:min; default: the table's metric, and its first known column",
    )
    parser.add_argument("--workers", type=int, default=8, help="trials at the same time")
    parser.add_argument("--trials", type=int, help="at most; default: all of the table")
    parser.add_argument("--seeds", type=int, default=1, help="0 to SEEDS - 1, a folder each")
    parser.add_argument("--horizon-seconds", type=float, help="virtual; default: to the end")
    parser.add_argument("--reduction-factor", type=float, default=3)
    parser.add_argument("--grace-epochs", type=int, default=1)
    parser.add_argument("--order", choices=ORDERS, help="of a rung; default: peer or epsnet")
    parser.add_argument("--variant", default="stopping", choices=("stopping", "promotion"))
    parser.add_argument("--start-seconds", type=float, default=0.0, help="a trial takes to start")
    parser.add_argument("--restore-seconds", type=float, default=0.0, help="and to go on")
    _add_fleet(parser.add_argument_group("gangs that can be lost (any of these makes a fleet)"))
    parser.add_argument("--out", type=Path, required=True, help="run folder to write")
    parser.add_argument("--overwrite", action="store_true", help="delete what lies in --out")
    return parser


def _add_fleet(group: argparse._ArgumentGroup) -> None:
    for flag, meaning in (
        ("--start-up-seconds", "from asking for a gang's node until it is ready, median"),
        ("--restart-seconds", "of workers on a node that is there, median"),
        ("--preemption-hours", "until a gang's node is taken away, mean"),
        ("--failure-hours", "until a gang's workers fail, mean"),
        ("--checkpoint-seconds", "to write a checkpoint"),
    ):
        group.add_argument(flag, type=float, help=meaning)
    group.add_argument("--checkpoint-epochs", type=int, help="between two checkpoints")


def _simulate(asked: argparse.Namespace) -> None:
    _check(asked)
    table = read_table(asked.table)
    objectives = _objectives(asked, table)
    num_trials = asked.trials or len(table.configs)
    if asked.workers > num_trials:
        raise InputError(
            f"--workers must be <= the {num_trials} trials, got {asked.workers}; lower it"
        )
    paths = [asked.out / f"seed_{seed}" for seed in range(asked.seeds)]
    paths = paths if asked.seeds > 1 else [asked.out]
    folders = [RunFolder(path, overwrite=asked.overwrite) for path in paths]
    if table.note:
        print(table.note)
    setup = Setup(
        asked.workers,
        num_trials,
        asked.horizon_seconds or float("inf"),
        asked.start_seconds,
        asked.restore_seconds,
    )
    model = _fleet_model(asked)
    for seed, folder in enumerate(folders):
        started_s = time.monotonic()
        scheduler = _scheduler(asked, table, objectives)
        searcher = _searcher(asked, table, objectives, seed)
        run = replay(table, scheduler, searcher, setup, model, seed)
        settings = {name: value for name, value in vars(asked).items() if name not in _PATHS}
        settings |= {"table": table.name, "seed": seed}
        write_simulated(folder, table, run, objectives, settings)
        ends = {end: list(run.status.values()).count(end) for end in set(run.status.values())}
        counts = ", ".join(f"{count} {end}" for end, count in sorted(ends.items()))
        print(
            f"seed {seed}: {len(run.reports)} reports of {len(run.status)} trials ({counts}) in "
            f"{run.seconds:.0f} virtual s, {time.monotonic() - started_s:.1f} s here: "
            f"{folder.path}",
            flush=True,
        )
        if run.fleet is not None:
            print(f"        {_fleet_words(run, run.fleet)}", flush=True)


def _fleet_model(asked: argparse.Namespace) -> FleetModel | None:
    """Return what was said of the gangs; None if nothing was."""
    given = {name: getattr(asked, name) for name in _FLEET if getattr(asked, name) is not None}
    if not given:
        return None
    return FleetModel(
        asked.workers,
        start_seconds=asked.start_seconds,
        restore_seconds=asked.restore_seconds,
        **given,
    )


def _fleet_words(run: SimulatedRun, fleet: FleetRun) -> str:
    account = fleet.ledger.account()
    parts = ", ".join(
        f"{kind.replace('_', '-')} {seconds / account.held_seconds:.1%}"
        for kind, seconds in sorted(account.by_kind.items(), key=lambda item: -item[1])
    )
    return (
        f"{run.useful_seconds / account.held_seconds:.1%} of {account.held_seconds:.0f} held s "
        f"trained epochs that were reported ({parts}); {fleet.num_preemptions} preemptions, "
        f"{fleet.num_failures} failures"
    )


_FLEET: Final = (
    "start_up_seconds",
    "restart_seconds",
    "preemption_hours",
    "failure_hours",
    "checkpoint_seconds",
    "checkpoint_epochs",
)
_PATHS: Final = ("table", "out", "overwrite")


def _check(asked: argparse.Namespace) -> None:
    if asked.scheduler in POPULATION:
        raise InputError(
            f"--scheduler must not be {asked.scheduler} on a table of recorded runs, for its "
            "members inherit weights, which no table holds; use benchmarks/population.py, or "
            "choose another"
        )
    rules: tuple[tuple[str, str, Callable[[Any], bool]], ...] = (
        ("workers", ">= 1", lambda value: value >= 1),
        ("trials", ">= 1", lambda value: value >= 1),
        ("seeds", ">= 1", lambda value: value >= 1),
        ("grace_epochs", ">= 1", lambda value: value >= 1),
        ("reduction_factor", "> 1", lambda value: value > 1),
        ("horizon_seconds", "> 0", lambda value: value > 0),
        ("start_seconds", ">= 0", lambda value: value >= 0),
        ("restore_seconds", ">= 0", lambda value: value >= 0),
        ("start_up_seconds", ">= 0", lambda value: value >= 0),
        ("restart_seconds", ">= 0", lambda value: value >= 0),
        ("preemption_hours", "> 0", lambda value: value > 0),
        ("failure_hours", "> 0", lambda value: value > 0),
        ("checkpoint_seconds", ">= 0", lambda value: value >= 0),
        ("checkpoint_epochs", ">= 1", lambda value: value >= 1),
    )
    for name, rule, is_met in rules:
        require(name, getattr(asked, name), rule, is_met)
    require_optuna(asked.searcher)


def _objectives(asked: argparse.Namespace, table: RecordedTable) -> list[Objective]:
    if asked.objectives is None:
        return [table.metric, *(Objective(name, "min") for name in table.known[:1])]
    columns = (table.metric.column, *table.known)
    objectives = []
    for text in asked.objectives:
        column, _, direction = text.partition(":")
        if column not in columns:
            raise InputError(
                f"--objectives must be the metric or known columns of the table, got {column!r}; "
                f"choose from {', '.join(columns)}"
            )
        if direction not in ("max", "min"):
            raise InputError(
                f"--objectives must be column:max or column:min, got {text!r}; say which is better"
            )
        objectives.append(Objective(column, "max" if direction == "max" else "min"))
    if objectives[0].column != table.metric.column:
        raise InputError(
            f"--objectives must begin with the metric {table.metric}, got {objectives[0]}; put it "
            "first"
        )
    return objectives


def _scheduler(
    asked: argparse.Namespace, table: RecordedTable, objectives: list[Objective]
) -> TrialScheduler:
    if asked.scheduler == "fifo":
        return FIFOScheduler()
    is_multi = asked.scheduler == "mo_asha"
    options = HalvingOptions(
        table.max_epochs,
        min(asked.grace_epochs, table.max_epochs),
        asked.reduction_factor,
        asked.order if is_multi else None,
        asked.variant,
    )
    try:
        if asked.scheduler in RAY_STOPPING and asked.scheduler != "asha":
            scheduler: Scheduler = RayStopping(
                asked.scheduler,
                objectives[0],
                StoppingOptions(options.max_epochs, options.grace_epochs, asked.reduction_factor),
            )
        else:
            scheduler = MoAsha(objectives if is_multi else objectives[:1], table.known, options)
    except ValueError as error:
        raise InputError(f"--{error}") from None
    return TuneAdapter(scheduler, lambda config: table.known_of(config[CONFIG_ID]))


def _searcher(
    asked: argparse.Namespace, table: RecordedTable, objectives: list[Objective], seed: int
) -> Searcher:
    if asked.searcher == "random":
        return RandomSearcher(len(table.configs), seed)
    if asked.searcher == "known_latency":
        if len(objectives) == 1:
            raise InputError(
                "--searcher known_latency must have an objective that is known before training, "
                f"got {objectives[0]} alone; add one or choose --searcher random"
            )
        pool = make_pool(table.configs, table.columns, objectives[1:])
        return KnownLatencySearcher(
            pool, objectives[0], KnownLatencyOptions(table.max_epochs, seed)
        )
    # Here, because Optuna is an extra.
    from sweeps.searchers.optuna_pool import search_pool
    from sweeps.searchers.optuna_searcher import OptunaOptions

    searching = objectives[:1] if asked.searcher == "tpe" else objectives
    known = {name: table.columns[name] for name in table.known}
    num_trials = asked.trials or len(table.configs)
    sampling = OptunaOptions(table.max_epochs, num_trials, seed)
    return search_pool(asked.searcher, table.configs, known, searching, sampling)


if __name__ == "__main__":
    sys.exit(main())
