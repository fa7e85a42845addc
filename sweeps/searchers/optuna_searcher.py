"""Optuna's samplers as searchers: a config is asked for, trained, and its end is told.

What a trial said after too few epochs never enters a model as a final value. A trial that was
stopped is told as pruned, at its epoch: TPE places it after all that were trained in full, those
with more epochs first (with one objective then by its value, with several Optuna knows none);
NSGA-II and the Gaussian process leave it out. Trials that failed, or whose objectives are not all
finite, are told as failed, or Optuna would take them to run for ever.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState, create_trial

from analysis.records import Objective
from sweeps.searchers.observations import finite

MAX_ASKS: Final = 200
"""Configs that are asked for until one may train."""

SAMPLER_ASKS: Final = 20
"""Of these asks, so many of the sampler: it does not learn what may train. Others are random."""

MAX_POPULATION: Final = 50
"""Of NSGA-II, as Optuna has it; in a small sweep a fifth of the trials, so that it has parents."""


class Candidates(Protocol):
    """What Optuna's hyperparameters stand for: candidates by their number."""

    @property
    def distributions(self) -> Mapping[str, BaseDistribution]:
        """Those of all hyperparameters that `choose` may ask for, by Optuna's name."""
        ...

    @property
    def is_empty(self) -> bool:
        """Whether there is no candidate left."""
        ...

    def choose(self, trial: optuna.Trial) -> int | None:
        """Ask for a trial's hyperparameters; return their candidate, None if none may train."""
        ...

    def restore(self, index: int, trial: FrozenTrial) -> None:
        """Take over a candidate that was chosen for a trial before."""
        ...

    def known(self, index: int) -> Mapping[str, float]:
        """Return what is known of a candidate before training, by column."""
        ...


@dataclass(frozen=True)
class OptunaOptions:
    """How a sampler searches.

    Attributes:
        max_epochs: of a full training, >= 1.
        num_trials: of the sweep, >= 1.
        seed: >= 0.
    """

    max_epochs: int
    num_trials: int
    seed: int


class OptunaSearcher:
    """See the module's text; a `Searcher`.

    Each ask gets a new sampler, seeded by the number of the ask: what is suggested depends on the
    history and that number alone, and so survives a restore.

    Args:
        name: in `SAMPLERS`.
        candidates: what hyperparameters stand for.
        objectives: what a trial is told to have reached; several for all but `tpe`.
        options: of the search.
    """

    def __init__(
        self,
        name: str,
        candidates: Candidates,
        objectives: Sequence[Objective],
        options: OptunaOptions,
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._sampler = SAMPLERS[name]
        self._candidates = candidates
        self._objectives = tuple(objectives)
        self._options = options
        self._begin()

    def _begin(self) -> None:
        self._storage = optuna.storages.InMemoryStorage()
        self._study = optuna.create_study(
            storage=self._storage,
            study_name="search",
            directions=[
                "minimize" if objective.direction == "min" else "maximize"
                for objective in self._objectives
            ],
            sampler=RandomSampler(0),  # replaced at each ask
        )
        self._study_id = self._storage.get_study_id_from_name("search")
        self._num_asked = 0
        self._number_of: dict[int, int] = {}  # of Optuna's trial, by candidate
        self._newest: dict[int, tuple[int, list[float]]] = {}  # epoch and values of live trials

    def suggest(self) -> int | None:
        """See `Searcher`; None also if nothing that may train was found in `MAX_ASKS`."""
        for ask in range(0 if self._candidates.is_empty else MAX_ASKS):
            trial = self._ask(is_random=ask >= SAMPLER_ASKS)
            index = self._candidates.choose(trial)
            if index is not None:
                self._number_of[index] = trial.number
                self._newest[index] = (0, [])
                return index
            self._study.tell(trial, state=TrialState.FAIL)
        return None

    def _ask(self, *, is_random: bool) -> optuna.Trial:
        seed = int(np.random.default_rng((self._options.seed, self._num_asked)).integers(2**31))
        self._num_asked += 1
        make = _random if is_random else self._sampler
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            self._study.sampler = make(seed, self._options)
        return self._study.ask()

    def on_report(self, index: int, epoch: int, values: Mapping[str, float]) -> None:
        """See `Searcher`; what comes again from a trial whose gang was lost changes nothing."""
        if index not in self._newest or epoch <= self._newest[index][0]:
            return
        values = {**values, **self._candidates.known(index)}
        self._newest[index] = (epoch, [finite(values, o.column) for o in self._objectives])

    def on_complete(self, index: int, is_whole: bool) -> None:
        """See `Searcher`."""
        if index not in self._newest:
            return
        epoch, values = self._newest[index]
        if not values or not all(math.isfinite(value) for value in values):
            self.on_error(index)
            return
        del self._newest[index]
        number = self._number_of[index]
        if is_whole or epoch >= self._options.max_epochs:
            self._study.tell(number, values)
            return
        value = values[0] if len(values) == 1 else math.nan
        trial_id = self._storage.get_trial_id_from_study_id_trial_number(self._study_id, number)
        self._storage.set_trial_intermediate_value(trial_id, epoch, value)
        self._study.tell(number, state=TrialState.PRUNED)

    def on_error(self, index: int) -> None:
        """See `Searcher`."""
        if self._newest.pop(index, None) is not None:
            self._study.tell(self._number_of[index], state=TrialState.FAIL)

    def state_dict(self) -> dict[str, Any]:
        """See `Searcher`."""
        return {
            "num_asked": self._num_asked,
            "candidates": [[index, number] for index, number in self._number_of.items()],
            "newest": [
                [index, epoch, [_or_none(value) for value in values]]
                for index, (epoch, values) in self._newest.items()
            ],
            "trials": [_plain(trial) for trial in self._study.get_trials(deepcopy=False)],
            "study": dict(self._storage.get_study_system_attrs(self._study_id)),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See `Searcher`."""
        self._begin()
        for trial in state["trials"]:
            distributions = {name: self._candidates.distributions[name] for name in trial["params"]}
            found = create_trial(
                state=TrialState[trial["state"]],
                params=trial["params"],
                distributions=distributions,
                values=trial["values"],
                intermediate_values={
                    int(epoch): _or_nan(value) for epoch, value in trial["intermediate"]
                },
                system_attrs=trial["attributes"],
            )
            self._study.add_trial(found)
        for name, value in state["study"].items():
            self._storage.set_study_system_attr(self._study_id, name, value)
        self._num_asked = int(state["num_asked"])
        self._number_of = {int(index): int(number) for index, number in state["candidates"]}
        self._newest = {
            int(index): (int(epoch), [_or_nan(value) for value in values])
            for index, epoch, values in state["newest"]
        }
        trials = self._study.get_trials(deepcopy=False)
        for index, number in self._number_of.items():
            self._candidates.restore(index, trials[number])


def suggest_value(trial: optuna.Trial, name: str, distribution: BaseDistribution) -> Any:
    """Ask for one hyperparameter of a trial."""
    if isinstance(distribution, CategoricalDistribution):
        return trial.suggest_categorical(name, distribution.choices)
    if isinstance(distribution, IntDistribution):
        low, high = distribution.low, distribution.high
        return trial.suggest_int(name, low, high, log=distribution.log)
    assert isinstance(distribution, FloatDistribution)
    return trial.suggest_float(name, distribution.low, distribution.high, log=distribution.log)


def _plain(trial: FrozenTrial) -> dict[str, Any]:
    """Return a trial as JSON holds it."""
    return {
        "state": trial.state.name,
        "params": dict(trial.params),
        "values": trial.values,
        "intermediate": [
            [epoch, _or_none(value)] for epoch, value in trial.intermediate_values.items()
        ],
        "attributes": dict(trial.system_attrs),
    }


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value


def _random(seed: int, options: OptunaOptions) -> BaseSampler:
    return RandomSampler(seed)


def _tpe(seed: int, options: OptunaOptions) -> BaseSampler:
    # `group`: hyperparameters that depend on others are modelled where they are used.
    return TPESampler(seed=seed, multivariate=True, group=True, constant_liar=True)


def _nsga2(seed: int, options: OptunaOptions) -> BaseSampler:
    population = max(4, min(MAX_POPULATION, options.num_trials // 5))
    return NSGAIISampler(seed=seed, population_size=population)


def _gp(seed: int, options: OptunaOptions) -> BaseSampler:
    return GPSampler(seed=seed, warn_independent_sampling=False)


SAMPLERS: Final[Mapping[str, Callable[[int, OptunaOptions], BaseSampler]]] = {
    "tpe": _tpe,
    "motpe": _tpe,
    "nsga2": _nsga2,
    "gp": _gp,
}
