"""Makes Ray Tune's trials, under ids of ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ray.exceptions import RayActorError
from ray.train._internal.session import _TrainingResult
from ray.tune import Checkpoint
from ray.tune.experiment import Experiment, Trial

from sweeps.past import Standstill
from trainables.checkpoint_store import open_location
from trainables.gang_trial import MAX_LOSSES_PER_EPOCH


class NumberedTrial(Trial):  # type: ignore[misc]  # Ray's classes are untyped
    """A trial that hashes to its number, not to its address, and survives the loss of its actor.

    Tune takes the trial that gets a free actor from a set, so with addresses the same sweep
    would go another way each time. It would also try again whatever has failed, or nothing: here
    only a trial is tried again whose actor was lost with its machine or its process.
    """

    def __init__(self, number: int, trainable_name: str, **options: Any) -> None:
        self._number = number
        self._num_losses = 0  # of its actor, after one and the same epoch
        self._epoch_of_loss = -1
        self._was_lost = False
        super().__init__(trainable_name, **options)

    def handle_error(self, exc: Exception | None = None) -> None:
        """See `Trial`; tell a lost actor from a failed trial."""
        super().handle_error(exc)
        self._was_lost = isinstance(exc, RayActorError)
        epoch = int((self.last_result or {}).get("epoch", 0))
        self._num_losses = 1 + (self._num_losses if epoch == self._epoch_of_loss else 0)
        self._epoch_of_loss = epoch

    def should_recover(self) -> bool:
        """See `Trial`; a third loss after the same epoch is laid to the config."""
        return self._was_lost and self._num_losses < MAX_LOSSES_PER_EPOCH

    def __hash__(self) -> int:
        return self._number


def checkpoint_at(location: str) -> Checkpoint:
    """Return a checkpoint as Tune knows one."""
    filesystem, path = open_location(location)
    return Checkpoint(path, filesystem=filesystem)


def begin_at(trial: Trial, checkpoint: Checkpoint | None) -> None:
    """Let a trial begin at a checkpoint when it gets its next actor."""
    # What Ray's own restore sets: Tune has no public way to it.
    result = None if checkpoint is None else _TrainingResult(checkpoint, {})
    trial.run_metadata.checkpoint_manager._latest_checkpoint_result = result


class TrialMaker:
    """What every `SearchAlgorithm` of ours needs to make trials of the one experiment."""

    def __init__(self) -> None:
        self._experiment: Experiment | None = None
        self._num_made = 0

    def take(self, experiments: list[Experiment]) -> None:
        """Take the one experiment that Tune describes."""
        (self._experiment,) = experiments

    def make(self, trial_id: str, config: Mapping[str, Any]) -> Trial:
        """Return a new trial of the experiment."""
        assert self._experiment is not None
        spec = self._experiment.spec
        self._num_made += 1
        return NumberedTrial(
            self._num_made,
            spec["run"],
            config=dict(config),
            trial_id=trial_id,
            experiment_tag=trial_id,
            storage=spec["storage"],
            placement_group_factory=spec["resources_per_trial"],
            checkpoint_config=spec["checkpoint_config"],
            stopping_criterion=spec["stop"],
            trial_name_creator=spec["trial_name_creator"],
            trial_dirname_creator=spec["trial_dirname_creator"],
            log_to_file=spec["log_to_file"],
            max_failures=spec["max_failures"],
        )

    def make_again(self, trial_id: str, standstill: Standstill) -> Trial:
        """Return a trial of an earlier process, which goes on from its checkpoint."""
        trial = self.make(trial_id, standstill.config)
        if standstill.checkpoint is not None:
            begin_at(trial, checkpoint_at(standstill.checkpoint))
        if standstill.is_paused:
            trial.set_status(Trial.PAUSED)
        return trial
