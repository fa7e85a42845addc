"""Ray Tune's side of our searchers: a `SearchAlgorithm` that asks a `Searcher` for each trial."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ray.tune.experiment import Experiment, Trial
from ray.tune.search.search_algorithm import SearchAlgorithm

from sweeps.journal import Event
from sweeps.searchers.protocol import Searcher
from sweeps.trial_maker import TrialMaker
from trainables.epoch_result import IS_LAST, numbers_of, unpack
from trainables.errors import InputError

Propose = Callable[[int], tuple[str, Mapping[str, Any]] | None]
"""Returns the id and config of the trial that tries a candidate; None if it may not train."""


class SearcherFeed(SearchAlgorithm):  # type: ignore[misc]  # Ray's classes are untyped
    """Feeds what a searcher suggests, when there is room for it.

    It says that it is finished only when all its trials have ended: Tune keeps trial actors for
    reuse just as long as its search algorithm may still bring trials, and a PBT exploit needs
    its actor back at once.

    Args:
        searcher: suggests candidates.
        propose: makes a trial of one.
        num_trials: at most.
        max_active: trials at most that train or wait for their first gang: a searcher that adapts
            shall not be asked far ahead; None: as many as Tune asks for.
        begun: brings trials of an earlier process of the sweep, which come first.

    Attributes:
        proposed: the candidates of all trials that were given, by trial id, in their order.
    """

    def __init__(
        self,
        searcher: Searcher,
        propose: Propose,
        num_trials: int,
        max_active: int | None = None,
        begun: SearchAlgorithm | None = None,
    ) -> None:
        self._begun = begun
        self._searcher = searcher
        self._propose = propose
        self._num_left = num_trials
        self._num_trials = num_trials
        self._max_active = max_active
        self.proposed: dict[str, int] = {}
        self._fed: dict[str, Trial] = {}
        self._maker = TrialMaker()

    @property
    def total_samples(self) -> int:
        """Trials in all."""
        return self._num_trials

    @property
    def is_exhausted(self) -> bool:
        """Whether no other trial comes."""
        return self._num_left == 0

    def add_configurations(self, experiments: list[Experiment]) -> None:
        """Take the one experiment that Tune describes."""
        self._maker.take(experiments)
        if self._begun is not None:
            self._begun.add_configurations(experiments)

    def replay(self, events: Iterable[Event]) -> None:
        """Let the searcher hear again what an earlier process of the sweep wrote down.

        Raises:
            InputError: if it suggests something else than it did.
        """
        is_whole: dict[str, bool] = {}
        for event in events:
            trial_id = event.fields.get("trial_id", "")
            if event.kind == "suggest":
                self._suggest_again(trial_id, event.fields["index"])
            elif trial_id not in self.proposed:
                continue
            elif event.kind == "report":
                is_whole[trial_id] = bool(event.fields["result"].get(IS_LAST))
                self._tell(trial_id, event.fields["result"])
            elif event.kind == "finish" and event.fields["status"] == "failed":
                self._searcher.on_error(self.proposed[trial_id])
            elif event.kind == "finish":
                self._searcher.on_complete(self.proposed[trial_id], is_whole.get(trial_id, False))

    def _suggest_again(self, trial_id: str, before: int) -> None:
        index = self._searcher.suggest()
        if index != before:
            raise InputError(
                f"--resume must find the searcher that the run began with, got candidate {index} "
                f"for {trial_id} where it had {before}; go on with the versions of sweep.json"
            )
        self.proposed[trial_id] = index
        self._num_left -= 1

    def next_trial(self) -> Trial | None:
        """Return the next trial, or None when all were given or enough are under way."""
        trial = None if self._begun is None else self._begun.next_trial()
        if trial is not None:
            self._fed[trial.trial_id] = trial
            return trial
        while self._num_left and not self._finished and not self._is_full():
            index = self._searcher.suggest()
            if index is None:
                self._num_left = 0
                return None
            self._num_left -= 1
            proposal = self._propose(index)
            if proposal is not None:
                trial_id, config = proposal
                self.proposed[trial_id] = index
                self._fed[trial_id] = self._maker.make(trial_id, config)
                return self._fed[trial_id]
            self._searcher.on_error(index)
        return None

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Tell the searcher of a report."""
        self._tell(trial_id, result)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Tell the searcher of an end, and of the last report, which Tune tells only now."""
        self._fed.pop(trial_id, None)
        index = self.proposed[trial_id]
        if error:
            self._searcher.on_error(index)
            return
        if result is not None and "epoch" in result:  # none if the budget denied its first epoch
            self._tell(trial_id, result)
        self._searcher.on_complete(index, is_whole=bool(result and unpack(result).get(IS_LAST)))

    def _tell(self, trial_id: str, result: Mapping[str, Any]) -> None:
        index = self.proposed[trial_id]
        self._searcher.on_report(index, int(result["epoch"]), numbers_of(unpack(result)))

    def _is_full(self) -> bool:
        active = (Trial.PENDING, Trial.RUNNING)
        num_active = sum(trial.status in active for trial in self._fed.values())
        return self._max_active is not None and num_active >= self._max_active

    def is_finished(self) -> bool:
        """Tell whether every trial was given and has ended, or Tune stopped the experiment."""
        return self._finished or (self.is_exhausted and not self._fed)
