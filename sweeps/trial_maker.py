"""Makes Ray Tune's trials, under ids of ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ray.train._internal.session import _TrainingResult
from ray.tune import Checkpoint
from ray.tune.experiment import Experiment, Trial

from sweeps.past import Standstill
from trainables.checkpoint_store import open_location


class NumberedTrial(Trial):  # type: ignore[misc]  # Ray's classes are untyped
    """A trial that hashes to its number, not to its address.

    Tune takes the trial that gets a free actor from a set, so with addresses the same sweep
    would go another way each time.
    """

    def __init__(self, number: int, trainable_name: str, **options: Any) -> None:
        self._number = number
        super().__init__(trainable_name, **options)

    def __hash__(self) -> int:
        return self._number


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
            filesystem, path = open_location(standstill.checkpoint)
            # What Ray's own restore sets: Tune has no public way to begin a trial elsewhere.
            trial.run_metadata.checkpoint_manager._latest_checkpoint_result = _TrainingResult(
                Checkpoint(path, filesystem=filesystem), {}
            )
        if standstill.is_paused:
            trial.set_status(Trial.PAUSED)
        return trial
