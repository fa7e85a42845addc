"""Makes Ray Tune's trials, under ids of ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ray.tune.experiment import Experiment, Trial
from ray.tune.experiment.config_parser import _create_trial_from_spec, _make_parser


class TrialMaker:
    """What every `SearchAlgorithm` of ours needs to make trials of the one experiment."""

    def __init__(self) -> None:
        self._parser = _make_parser()
        self._experiment: Experiment | None = None

    def take(self, experiments: list[Experiment]) -> None:
        """Take the one experiment that Tune describes."""
        (self._experiment,) = experiments

    def make(self, trial_id: str, config: Mapping[str, Any]) -> Trial:
        """Return a new trial of the experiment."""
        assert self._experiment is not None
        spec = {**self._experiment.spec, "config": dict(config)}
        return _create_trial_from_spec(
            spec, self._parser, trial_id=trial_id, experiment_tag=trial_id
        )
