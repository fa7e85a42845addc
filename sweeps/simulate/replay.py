"""A recorded table, replayed through Tune's controller."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ray import tune
from ray.train._internal.session import _TrainingResult
from ray.tune.callback import Callback
from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler

from sweeps.searchers.protocol import Searcher
from sweeps.searchers.tune_feed import SearcherFeed
from sweeps.simulate.controller import run_controller
from sweeps.simulate.fleet import Fleet, FleetModel
from sweeps.simulate.fleet_trial import FleetTrial
from sweeps.simulate.recorded_table import CONFIG_ID, RecordedTable, trial_name
from sweeps.simulate.timeline import Timeline
from sweeps.simulate.virtual_actors import VirtualActor
from trainables.ledger import Ledger


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


@dataclass(frozen=True)
class FleetRun:
    """What came of a fleet's gangs.

    Attributes:
        ledger: what their seconds went to.
        num_preemptions: nodes that were taken away.
        num_failures: of gangs' workers.
    """

    ledger: Ledger
    num_preemptions: int
    num_failures: int


@dataclass
class SimulatedRun:
    """What came of a replay.

    Attributes:
        reports: as they came.
        status: of each trial, by id: completed, stopped, failed or interrupted.
        index: of each trial's config in the table, by id.
        seconds: virtual, that went by.
        fleet: what came of its gangs; None without one.
    """

    reports: list[SimulatedReport] = field(default_factory=list)
    status: dict[str, str] = field(default_factory=dict)
    index: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    fleet: FleetRun | None = None

    @property
    def useful_seconds(self) -> float:
        """What it took to train the epochs that were reported, each once."""
        return sum({report.trial_id: report.seconds for report in self.reports}.values())


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

    def end(self) -> None:
        """See `VirtualActor`."""

    def _train(self) -> tuple[dict[str, Any], float]:
        result, seconds = self._table.report(self._index, self._num_reports)
        self._num_reports += 1
        seconds += self._delay_s
        self._delay_s = 0.0
        return result, seconds


class _Collector(Callback):  # type: ignore[misc]  # Ray's classes are untyped
    """Keeps what trials report."""

    def __init__(self, table: RecordedTable, timeline: Timeline, fleet: Fleet | None) -> None:
        self.run = SimulatedRun()
        self._table = table
        self._timeline = timeline
        self._fleet = fleet

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
                self._timeline.now_s,
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
        self._release(trial)

    def on_trial_error(
        self, iteration: int, trials: Sequence[Trial], trial: Trial, **_: Any
    ) -> None:
        self.run.status[trial.trial_id] = "failed"
        self._release(trial)

    def _release(self, trial: Trial) -> None:
        if self._fleet is not None:
            self._fleet.release_trial(trial.trial_id)


def replay(
    table: RecordedTable,
    scheduler: TrialScheduler,
    searcher: Searcher,
    setup: Setup,
    model: FleetModel | None = None,
    seed: int = 0,
) -> SimulatedRun:
    """Replay a table.

    Args:
        table: whose configs are the candidates, by their index.
        scheduler: Tune's, or ours in a `TuneAdapter`.
        searcher: chooses among the candidates.
        setup: workers, trials and time.
        model: of gangs that the workers lease; None: nothing fails.
        seed: of what befalls the gangs.
    """
    timeline = Timeline(setup.horizon_s)
    fleet = None if model is None else Fleet(model, timeline, seed)
    collector = _Collector(table, timeline, fleet)

    def propose(index: int) -> tuple[str, dict[str, Any]]:
        return trial_name(index), {CONFIG_ID: index}

    def create_actor(kwargs: Mapping[str, Any]) -> VirtualActor:
        config = kwargs["config"]
        if fleet is None:
            return ReplayedTrial(table, setup, config)
        return FleetTrial(table, fleet, int(config[CONFIG_ID]))

    run_controller(
        scheduler=scheduler,
        search=SearcherFeed(searcher, propose, setup.num_trials),
        callback=collector,
        create_actor=create_actor,
        num_workers=setup.num_workers,
        timeline=timeline,
    )
    run = collector.run
    run.seconds = min(timeline.now_s, setup.horizon_s)
    if fleet is not None:
        fleet.close()
        run.fleet = FleetRun(fleet.ledger, fleet.num_preemptions, fleet.num_failures)
    return run
