"""A recorded table, replayed through Tune's controller."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ray import tune
from ray.train._internal.session import _TrainingResult
from ray.tune.callback import Callback
from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler

from sweeps.searchers.protocol import Searcher
from sweeps.searchers.tune_feed import SearcherFeed
from sweeps.simulate.controller import run_controller
from sweeps.simulate.recorded_table import RecordedTable
from trainables.epoch_result import IS_LAST

CONFIG_ID: Final = "config_id"


@dataclass(frozen=True)
class Setup:
    """How a table is replayed.

    Attributes:
        num_workers: trials that train at the same time.
        num_trials: at most.
        horizon_s: virtual seconds.
        start_seconds: that a trial takes before its first step.
        restore_seconds: that a trial takes to go on from a checkpoint.
    """

    num_workers: int
    num_trials: int
    horizon_s: float = float("inf")
    start_seconds: float = 0.0
    restore_seconds: float = 0.0


@dataclass(frozen=True)
class SimulatedReport:
    """A report, and when it came.

    Attributes:
        at_s: virtual seconds.
        index: of the config in the table.
        epoch: trained by then.
        value: of the metric.
        seconds: that the trial has trained.
    """

    at_s: float
    trial_id: str
    index: int
    epoch: int
    value: float
    seconds: float


@dataclass
class SimulatedRun:
    """What came of a replay.

    Attributes:
        reports: as they came.
        status: of each trial, by id: completed, stopped or interrupted.
        index: of each trial's config in the table, by id.
        seconds: virtual, that went by.
    """

    reports: list[SimulatedReport] = field(default_factory=list)
    status: dict[str, str] = field(default_factory=dict)
    index: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0


class ReplayedTrial:
    """A trial's actor: says what was recorded, in the seconds that it took."""

    def __init__(self, table: RecordedTable, setup: Setup, config: Mapping[str, Any]) -> None:
        self._table = table
        self._setup = setup
        self._begin(config)

    def _begin(self, config: Mapping[str, Any]) -> None:
        self._index = int(config[CONFIG_ID])
        self._num_reports = 0
        self._delay_s = self._setup.start_seconds

    def perform(self, method: str, args: tuple[Any, ...]) -> tuple[Any, float]:
        """See `VirtualActor`."""
        if method == "train":
            return self._train()
        if method == "save":
            path = f"/simulated/{self._index}/epoch_{self._num_reports}"
            return _TrainingResult(tune.Checkpoint(path), {}), 0.0
        if method == "restore":
            self._num_reports = int(args[0].checkpoint.path.rsplit("_", 1)[1])
            self._delay_s = 0.0
            return None, self._setup.restore_seconds
        assert method == "reset", method
        self._begin(args[0])
        return True, 0.0

    def _train(self) -> tuple[dict[str, Any], float]:
        curve = self._table.curves[self._index]
        place = self._num_reports
        before_s = float(curve.seconds[place - 1]) if place else 0.0
        seconds = float(curve.seconds[place]) - before_s + self._delay_s
        self._delay_s = 0.0
        self._num_reports += 1
        is_last = self._num_reports == len(curve.epochs)
        return {
            "epoch": int(curve.epochs[place]),
            self._table.metric.column: float(curve.values[place]),
            "seconds": float(curve.seconds[place]),
            "done": is_last,
            **({IS_LAST: True} if is_last else {}),
        }, seconds


class _Collector(Callback):  # type: ignore[misc]  # Ray's classes are untyped
    """Keeps what trials report."""

    clock: Callable[[], float]

    def __init__(self, table: RecordedTable) -> None:
        self.run = SimulatedRun()
        self._table = table

    def on_trial_start(
        self, iteration: int, trials: Sequence[Trial], trial: Trial, **_: Any
    ) -> None:
        self.run.status[trial.trial_id] = "interrupted"
        self.run.index[trial.trial_id] = trial.config[CONFIG_ID]

    def on_trial_result(
        self, iteration: int, trials: Sequence[Trial], trial: Trial, result: Any, **_: Any
    ) -> None:
        self.run.reports.append(
            SimulatedReport(
                self.clock(),
                trial.trial_id,
                trial.config[CONFIG_ID],
                result["epoch"],
                result[self._table.metric.column],
                result["seconds"],
            )
        )

    def on_trial_complete(
        self, iteration: int, trials: Sequence[Trial], trial: Trial, **_: Any
    ) -> None:
        curve = self._table.curves[trial.config[CONFIG_ID]]
        is_whole = trial.last_result.get("epoch") == curve.epochs[-1]
        self.run.status[trial.trial_id] = "completed" if is_whole else "stopped"


def replay(
    table: RecordedTable, scheduler: TrialScheduler, searcher: Searcher, setup: Setup
) -> SimulatedRun:
    """Replay a table.

    Args:
        table: whose configs are the candidates, by their index.
        scheduler: Tune's, or ours in a `TuneAdapter`.
        searcher: chooses among the candidates.
        setup: workers, trials and time.
    """
    collector = _Collector(table)

    def propose(index: int) -> tuple[str, dict[str, Any]]:
        return f"trial_{index:05d}", {CONFIG_ID: index}

    collector.run.seconds = run_controller(
        scheduler=scheduler,
        search=SearcherFeed(searcher, propose, setup.num_trials),
        callback=collector,
        create_actor=lambda kwargs: ReplayedTrial(table, setup, kwargs["config"]),
        num_workers=setup.num_workers,
        horizon_s=setup.horizon_s,
    )
    return collector.run
