"""Schedulers and searchers on recorded runs, in virtual time.

For every table, number of workers and seed each method gets the same virtual seconds. What it
would return at a time is the front of what its trials reported last; its worth is the hypervolume
of the *true* final scores of these trials, as a fraction of the table's own, against
`analysis.hypervolume.reference_point` of the whole table. `benchmarks/search_report.py` makes
tables and a plot of the outcomes.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from search_outcomes import NUM_TIMES, Case, Outcome, read_outcomes

from analysis.hypervolume import hypervolume, reference_point
from analysis.pareto import is_front
from analysis.records import Objective
from sweeps.schedulers.mo_asha import HalvingOptions, MoAsha
from sweeps.schedulers.tune_adapter import TuneAdapter
from sweeps.searchers.known_latency import KnownLatencyOptions, KnownLatencySearcher
from sweeps.searchers.optuna_pool import search_pool
from sweeps.searchers.optuna_searcher import OptunaOptions
from sweeps.searchers.pool import make_pool
from sweeps.searchers.protocol import Searcher
from sweeps.searchers.random_order import RandomSearcher
from sweeps.simulate.recorded_table import CONFIG_ID, RecordedTable, read_table
from sweeps.simulate.replay import Setup, SimulatedRun, replay

TRAININGS_PER_WORKER = {8: 12.0, 64: 3.0, 512: 1.0}
"""The horizon, in median full trainings, by the number of workers."""


class Judge:
    """Knows what a set of a table's configs is truly worth."""

    def __init__(self, table: RecordedTable, known: Sequence[str]) -> None:
        final = Objective(table.final_column, table.final_direction).loss(table.final)
        self._true = np.column_stack([final, *(table.columns[name] for name in known)])
        self._reference = reference_point(self._true)
        self._whole = hypervolume(self._true, self._reference)

    def worth(self, indices: NDArray[np.int64]) -> float:
        """Return the hypervolume of the configs' true losses, of the whole table's."""
        return hypervolume(self._true[indices], self._reference) / self._whole


def objectives(table: RecordedTable, known: Sequence[str]) -> list[Objective]:
    """Return the metric, and what is known before training."""
    return [table.metric, *(Objective(name, "min") for name in known)]


def scheduler(table: RecordedTable, case: Case, name: str) -> TrialScheduler:
    """Return a scheduler by the part of the method's name before the `+`."""
    if name == "full":
        return FIFOScheduler()
    steering = objectives(table, case.known)
    if name == "asha":
        options = HalvingOptions(table.max_epochs)
        return TuneAdapter(MoAsha(steering[:1], (), options))

    def known_of(config: Mapping[str, Any]) -> Mapping[str, float]:
        return table.known_of(config[CONFIG_ID])

    if name == "syne_moasha":  # of Syne Tune, which nothing but this benchmark needs
        from syne_tune_peer import SyneTuneMoasha

        return TuneAdapter(SyneTuneMoasha(steering, table.max_epochs), known_of)
    order = name.removeprefix("mo_asha").removeprefix("_") or None
    options = HalvingOptions(table.max_epochs, order=order)
    return TuneAdapter(MoAsha(steering, table.known, options), known_of)


def searcher(table: RecordedTable, case: Case, name: str) -> Searcher:
    """Return a searcher by the part of the method's name after the `+`; see `ToldAsFinal`."""
    if name == "random":
        return RandomSearcher(len(table.configs), case.seed)
    if name.endswith("_last"):
        return ToldAsFinal(searcher(table, case, name.removesuffix("_last")), table.max_epochs)
    if name != "known":
        columns = {name: table.columns[name] for name in case.known}
        options = OptunaOptions(table.max_epochs, len(table.configs), case.seed)
        return search_pool(name, table.configs, columns, objectives(table, case.known), options)
    pool = make_pool(table.configs, table.columns, objectives(table, case.known)[1:])
    return KnownLatencySearcher(
        pool, table.metric, KnownLatencyOptions(table.max_epochs, case.seed)
    )


class ToldAsFinal:
    """A searcher that is told what a stopped trial said last as if it had been trained in full.

    The product's searchers never are. Some of Optuna's learn more by it: as peers they get it.
    """

    def __init__(self, searcher: Searcher, max_epochs: int) -> None:
        self._searcher = searcher
        self._max_epochs = max_epochs
        self._last: dict[int, Mapping[str, float]] = {}

    def suggest(self) -> int | None:
        """See `Searcher`."""
        return self._searcher.suggest()

    def on_report(self, index: int, epoch: int, values: Mapping[str, float]) -> None:
        """See `Searcher`."""
        self._last[index] = values

    def on_complete(self, index: int, is_whole: bool) -> None:
        """See `Searcher`."""
        if index in self._last:
            self._searcher.on_report(index, self._max_epochs, self._last.pop(index))
        self._searcher.on_complete(index, is_whole)

    def on_error(self, index: int) -> None:
        """See `Searcher`."""
        self._searcher.on_error(index)

    def state_dict(self) -> dict[str, Any]:
        """See `Searcher`; nobody asks."""
        raise NotImplementedError

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See `Searcher`; nobody asks."""
        raise NotImplementedError


def run_case(table: RecordedTable, case: Case) -> Outcome:
    """Replay one method, and judge what it would have returned."""
    started_s = time.perf_counter()
    name, _, search = case.method.partition("+")
    full_s = float(np.median([curve.seconds[-1] for curve in table.curves]))
    horizon_s = TRAININGS_PER_WORKER[case.num_workers] * full_s
    setup = Setup(case.num_workers, len(table.configs), horizon_s)
    run = replay(
        table, scheduler(table, case, name), searcher(table, case, search or "random"), setup
    )
    worths = anytime_worth(table, case, run, horizon_s)
    reached = np.flatnonzero(worths >= 0.95)
    return Outcome(
        case,
        anytime=float(worths.mean()),
        final=float(worths[-1]),
        at_95=float((reached[0] + 1) / NUM_TIMES) if len(reached) else float("inf"),
        worths=[round(float(worth), 5) for worth in worths],
        num_trials=len(run.index),
        num_reports=len(run.reports),
        seconds=time.perf_counter() - started_s,
    )


def anytime_worth(
    table: RecordedTable, case: Case, run: SimulatedRun, horizon_s: float
) -> NDArray[np.float64]:
    """Return what the returned set is worth at each of evenly spaced times, [NUM_TIMES]."""
    judge = Judge(table, case.known)
    latest: dict[int, float] = {}
    worths, place = [], 0
    for at_s in np.linspace(0, horizon_s, NUM_TIMES + 1)[1:]:
        while place < len(run.reports) and run.reports[place].at_s <= at_s:
            latest[run.reports[place].index] = table.metric.loss(run.reports[place].value)
            place += 1
        worths.append(judge.worth(_returned(table, case, latest)) if latest else 0.0)
    return np.array(worths)


def _returned(table: RecordedTable, case: Case, latest: Mapping[int, float]) -> NDArray[np.int64]:
    indices = np.array(list(latest), dtype=np.int64)
    seen = [table.columns[name][indices] for name in case.known]
    losses = np.column_stack([list(latest.values()), *seen])
    return indices[is_front(losses)]


_TABLES: dict[str, RecordedTable] = {}


def _work(task: tuple[Path, Case]) -> Outcome:
    folder, case = task
    if case.table not in _TABLES:
        _TABLES[case.table] = read_table(folder / case.table)
    return run_case(_TABLES[case.table], case)


METHODS = (
    "full+random", "asha+random", "mo_asha_epsnet+random", "mo_asha_crowding+random",
    "mo_asha+random", "full+known", "asha+known", "mo_asha_epsnet+known", "mo_asha+known",
)  # fmt: skip


def _cases(asked: argparse.Namespace) -> list[Case]:
    """Return all cases, seed by seed: what is there when the benchmark is cut off is balanced."""
    names = asked.tables or sorted(path.parent.name for path in asked.folder.glob("*/meta.json"))
    known = {n: read_table(asked.folder / n).known[: 2 if asked.triples else 1] for n in names}
    for name in [name for name in names if asked.triples and len(known[name]) < 2]:
        print(f"{name} has one known objective: no triple")
        del known[name]
    return [
        Case(name, known[name], method, num_workers, seed)
        for seed in range(asked.seeds)
        for num_workers in asked.workers
        for name in known
        for method in asked.methods
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="of the tables")
    parser.add_argument("--tables", nargs="+")
    parser.add_argument("--methods", nargs="+", default=METHODS)
    parser.add_argument("--workers", nargs="+", type=int, default=[8, 64, 512])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--triples", action="store_true", help="two known objectives, not one")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument(
        "--out", type=Path, required=True, help="JSON lines; what they hold already is not run"
    )
    asked = parser.parse_args()
    done = {outcome.case for outcome in read_outcomes([asked.out])}
    tasks = [(asked.folder, case) for case in _cases(asked) if case not in done]
    with multiprocessing.get_context("spawn").Pool(asked.processes) as pool:
        for outcome in pool.imap(_work, tasks, chunksize=1):
            with asked.out.open("a") as file:
                file.write(json.dumps(asdict(outcome)) + "\n")


if __name__ == "__main__":
    main()
