"""Hands a sweep's configs to Ray Tune: a `SearchAlgorithm` over a list known before the start."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from ray.tune.experiment import Experiment, Trial
from ray.tune.search.search_algorithm import SearchAlgorithm

from sweeps.past import Standstill
from sweeps.trial_maker import TrialMaker


class TrialFeed(SearchAlgorithm):  # type: ignore[misc]  # Ray's classes are untyped
    """Feeds configs in order, under ids of ours.

    It says that it is finished only when all its trials have ended: Tune keeps trial actors for
    reuse just as long as its search algorithm may still bring trials, and a PBT exploit needs
    its actor back at once.

    Args:
        trials: trial ids with their configs.
        is_refused: asked before a trial is given; one that is refused is left out.
        past: where trials of an earlier process of the sweep stand; they are given first.
    """

    def __init__(
        self,
        trials: Sequence[tuple[str, Mapping[str, Any]]],
        is_refused: Callable[[str, Mapping[str, Any]], bool] = lambda *_: False,
        past: Mapping[str, Standstill] = MappingProxyType({}),
    ) -> None:
        self._waiting = sorted(trials, key=lambda trial: trial[0] not in past)
        self._past = past
        self._is_refused = is_refused
        self._num_trials = len(self._waiting)
        self._fed: list[Trial] = []
        self._maker = TrialMaker()

    @property
    def total_samples(self) -> int:
        """Trials in all."""
        return self._num_trials

    @property
    def is_exhausted(self) -> bool:
        """Whether no other trial comes."""
        return not self._waiting

    def add_configurations(self, experiments: list[Experiment]) -> None:
        """Take the one experiment that Tune describes."""
        self._maker.take(experiments)

    def next_trial(self) -> Trial | None:
        """Return the next trial, or None when all were given."""
        if self._finished:
            return None
        while self._waiting:
            trial_id, config = self._waiting.pop(0)
            if trial_id in self._past:
                self._fed.append(self._maker.make_again(trial_id, self._past[trial_id]))
                return self._fed[-1]
            if not self._is_refused(trial_id, config):
                self._fed.append(self._maker.make(trial_id, config))
                return self._fed[-1]
        return None

    def is_finished(self) -> bool:
        """Tell whether every trial was given and has ended, or Tune stopped the experiment."""
        if self._finished:
            return True
        self._fed = [trial for trial in self._fed if not trial.is_finished()]
        return not self._waiting and not self._fed
