"""Runs Tune's own controller in virtual time."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ray.train._internal.storage import StorageContext
from ray.tune import PlacementGroupFactory, Trainable
from ray.tune.callback import Callback
from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Experiment
from ray.tune.registry import register_trainable
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import SearchAlgorithm

from sweeps.simulate.timeline import Timeline
from sweeps.simulate.virtual_actors import VirtualActor, VirtualActors

_NAME = "simulated_trial"


class _Never(Trainable):  # type: ignore[misc]  # Ray's classes are untyped
    """What Tune takes for the trials' class; no actor of it is ever made."""


class _Storage(StorageContext):  # type: ignore[misc]  # Ray's classes are untyped
    """A folder for what Tune insists to make, where it would be in Ray's session otherwise."""

    def _get_session_path(self) -> str:
        return str(self.storage_fs_path)


class SimulatedController(TuneController):  # type: ignore[misc]  # Ray's classes are untyped
    """`TuneController` with virtual actors, that keeps no state files."""

    def __init__(self, actors: VirtualActors, **options: Any) -> None:
        super().__init__(**options)
        self._actor_manager = actors
        # A searcher is asked for a trial when it can start; Tune would look into the environment.
        self.update_max_pending_trials(1)

    def on_step_begin(self) -> None:
        """Ask no cluster for its resources."""

    def checkpoint(self, force: bool = False, wait: bool = False) -> None:
        """Write nothing."""


def run_controller(
    *,
    scheduler: TrialScheduler,
    search: SearchAlgorithm,
    callback: Callback,
    create_actor: Callable[[Mapping[str, Any]], VirtualActor],
    num_workers: int,
    timeline: Timeline,
) -> None:
    """Run a sweep to its end, or to the horizon.

    Args:
        scheduler: Tune's, or our adapter.
        search: brings the trials.
        callback: hears of trials and results.
        create_actor: makes a trial's actor from Tune's keyword arguments.
        num_workers: trials that train at the same time.
        timeline: when things happen.
    """
    logging.getLogger("ray.tune").setLevel(logging.ERROR)
    # Tune insists on a folder a trial, which memory makes quicker than a disk.
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="paretune-simulate-", dir=memory) as scratch:
        actors = VirtualActors(num_workers, create_actor, timeline)
        _run(_controller(scheduler, search, callback, actors, Path(scratch)), actors)


def _controller(
    scheduler: TrialScheduler,
    search: SearchAlgorithm,
    callback: Callback,
    actors: VirtualActors,
    scratch: Path,
) -> SimulatedController:
    register_trainable(_NAME, _Never, warn=False)
    storage = _Storage(str(scratch), "simulated")
    experiment = Experiment(
        "simulated",
        _NAME,
        storage_path=str(scratch),
        resources_per_trial=PlacementGroupFactory([{"CPU": 1}]),
    )
    experiment.spec["storage"] = storage
    search.add_configurations([experiment])
    return SimulatedController(
        actors,
        search_alg=search,
        scheduler=scheduler,
        callbacks=[callback],
        storage=storage,
        reuse_actors=True,
        fail_fast=False,
    )


def _run(controller: SimulatedController, actors: VirtualActors) -> None:
    while not controller.is_finished():
        controller.step()
        if actors.is_over and not _can_go_on(controller, actors):
            break


def _can_go_on(controller: TuneController, actors: VirtualActors) -> bool:
    """Tell whether the next step may bring an event: something was started or ended by it."""
    before = actors.num_total_actors
    if controller.is_finished():
        return False
    controller.step()
    return not actors.is_over or actors.num_total_actors != before
