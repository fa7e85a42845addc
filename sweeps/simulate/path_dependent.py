"""An analytic problem on which what a trial has been through matters: for PBT, not a recording.

Population-based training hands weights on, so a table of recorded runs can't replay it. Here a
trial is a point theta in the plane that follows noisy gradients of w f1 + (1 - w) f2, where f1 and
f2 are squared distances from two targets, with a learning rate that pays when it falls: large ones
get near soon and then shake. The two hyperparameters are w and the learning rate. What a trial
reports are f1 and f2; the Pareto front is the segment between the targets. It extends the toy of
Jaderberg et al. 2017 (section 3.1 of "Population based training of neural networks") to two
objectives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from ray import tune
from ray.train._internal.session import _TrainingResult
from ray.tune.callback import Callback
from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler

from analysis.records import Objective
from sweeps.domains import Uniform
from sweeps.searchers.random_order import RandomSearcher
from sweeps.searchers.tune_feed import SearcherFeed
from sweeps.simulate.controller import run_controller
from sweeps.simulate.timeline import Timeline

OBJECTIVES: Final = (Objective("f1", "min"), Objective("f2", "min"))

SPACE: Final = {"weight": Uniform(0.0, 1.0), "learning_rate": Uniform(1e-3, 0.5, is_log=True)}

REFERENCE: Final = np.array([6.0, 6.0])
"""The hypervolume's reference point: worse than both ends of the front."""

_TARGETS = np.array([[1.0, 1.0], [-1.0, -0.5]])
_START = np.array([4.0, -4.0])
_NOISE = 2.0
_CONFIG_SEED = "start_seed"


@dataclass
class PopulationRun:
    """What came of a population.

    Attributes:
        points: [num_reports] (virtual seconds, f1, f2), as they came.
        num_exploits: that were told.
    """

    points: list[tuple[float, float, float]] = field(default_factory=list)
    num_exploits: int = 0


class PathTrial:
    """A trial's actor; an epoch takes one virtual second."""

    def __init__(self, config: Mapping[str, Any], num_epochs: int, kept: dict[str, Any]) -> None:
        self._num_epochs = num_epochs
        self._kept = kept  # states by the path of their checkpoint
        self._begin(config)

    def _begin(self, config: Mapping[str, Any]) -> None:
        self._config = dict(config)
        self._epoch = 0
        self._theta = _START.copy()

    def perform(self, method: str, args: tuple[Any, ...]) -> tuple[Any, float]:
        """See `VirtualActor`."""
        if method == "train":
            return self._train(), 1.0
        if method == "save":
            path = f"/simulated/{len(self._kept)}/epoch_{self._epoch}"
            self._kept[path] = (self._epoch, self._theta.copy())
            return _TrainingResult(tune.Checkpoint(path), {}), 0.0
        if method == "restore":
            self._epoch, theta = self._kept[args[0].checkpoint.path]
            self._theta = theta.copy()
            return None, 0.0
        assert method == "reset", method
        self._begin(args[0])
        return True, 0.0

    def end(self) -> None:
        """See `VirtualActor`."""

    def _train(self) -> dict[str, Any]:
        self._epoch += 1
        draw = np.random.default_rng((int(self._config[_CONFIG_SEED]), self._epoch))
        weight, rate = self._config["weight"], self._config["learning_rate"]
        weights = np.array([weight, 1 - weight])
        gradient = 2 * (weights[:, None] * (self._theta - _TARGETS)).sum(axis=0)
        self._theta = self._theta - rate * (gradient + _NOISE * draw.standard_normal(2))
        first, second = ((self._theta - _TARGETS) ** 2).sum(axis=1)
        return {
            "epoch": self._epoch,
            "f1": float(first),
            "f2": float(second),
            "done": self._epoch >= self._num_epochs,
        }


class _Points(Callback):  # type: ignore[misc]  # Ray's classes are untyped
    def __init__(self, timeline: Timeline) -> None:
        self.run = PopulationRun()
        self._timeline = timeline

    def on_trial_result(
        self, iteration: int, trials: Sequence[Trial], trial: Trial, result: Any, **_: Any
    ) -> None:
        self.run.points.append((self._timeline.now_s, result["f1"], result["f2"]))


def run_population(
    make_scheduler: Callable[[Callable[..., None]], TrialScheduler],
    *,
    size: int,
    num_epochs: int,
    seed: int,
) -> PopulationRun:
    """Train a population, all members at the same time.

    Args:
        make_scheduler: given what hears of exploits, returns the scheduler.
        size: members.
        num_epochs: of each.
        seed: of the configs and the noise.
    """
    draw = np.random.default_rng((seed, 1))
    configs = [
        {
            **{name: domain.sample(draw) for name, domain in SPACE.items()},
            _CONFIG_SEED: seed * 100_000 + number,
        }
        for number in range(size)
    ]
    timeline = Timeline()
    points = _Points(timeline)
    kept: dict[str, Any] = {}

    def hear(*_: Any) -> None:
        points.run.num_exploits += 1

    run_controller(
        scheduler=make_scheduler(hear),
        search=SearcherFeed(
            RandomSearcher(size, seed), lambda index: (f"t{index}", configs[index]), size
        ),
        callback=points,
        create_actor=lambda kwargs: PathTrial(kwargs["config"], num_epochs, kept),
        num_workers=size,
        timeline=timeline,
    )
    return points.run


def losses_of(run: PopulationRun, until_s: float) -> NDArray[np.float64]:
    """Return what was reported up to a time and lies before the reference, [num, 2]."""
    found = np.array([point[1:] for point in run.points if point[0] <= until_s]).reshape(-1, 2)
    return np.asarray(found[(found < REFERENCE).all(axis=1)])
