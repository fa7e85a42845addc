"""A tuning space under Optuna's samplers: defined by running, so that conditions hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial

from sweeps.combinations import build_config
from sweeps.domains import Choice, Domain, Integer, Switch
from sweeps.sampling import Sampler, choose_values, trial_stream
from sweeps.searchers.optuna_searcher import suggest_value
from trainables.errors import InputError
from trainables.trial_config import TrialConfig


class SpaceCandidates:
    """All configs of a space; `Candidates`, numbered as Optuna numbers its trials.

    A hyperparameter is asked for only where the config uses it. One with a domain for each
    optimizer is a hyperparameter of Optuna's for each distinct domain: a learning rate of SGD says
    nothing of Adam's. Numbers to choose from are asked for by their place, as neighbours are alike.

    Args:
        sampler: of the sweep: space, what is fixed, task and seed.
        may_train: tells whether a config may; asked before anything is started.
        known: returns what is known of a config before training, by column.
    """

    def __init__(
        self,
        sampler: Sampler,
        may_train: Callable[[TrialConfig], bool],
        known: Callable[[Mapping[str, Any]], Mapping[str, float]],
    ) -> None:
        self._sampler = sampler
        self._may_train = may_train
        self._known = known
        self._configs: dict[int, TrialConfig] = {}
        self._keys = _keys(sampler)
        self.distributions = {key: _distribution(domain) for (_, domain), key in self._keys.items()}

    @property
    def is_empty(self) -> bool:
        """See `Candidates`; a space is never used up."""
        return False

    def choose(self, trial: optuna.Trial) -> int | None:
        """See `Candidates`."""

        def ask(name: str, domain: Domain) -> Any:
            key = self._keys[name, domain]
            value = suggest_value(trial, key, self.distributions[key])
            return domain.values[value] if _is_placed(domain) else value  # type: ignore[union-attr]

        config = self._build(trial.number, ask)
        if config is None or not self._may_train(config):
            return None
        self._configs[trial.number] = config
        return trial.number

    def restore(self, index: int, trial: FrozenTrial) -> None:
        """See `Candidates`."""

        def recall(name: str, domain: Domain) -> Any:
            value = trial.params[self._keys[name, domain]]
            return domain.values[value] if _is_placed(domain) else value  # type: ignore[union-attr]

        config = self._build(index, recall)
        assert config is not None, "it was built before"
        self._configs[index] = config

    def known(self, index: int) -> Mapping[str, float]:
        """See `Candidates`."""
        return self._known(self._configs[index].to_dict())

    def config(self, index: int) -> TrialConfig:
        """Return the config of a candidate."""
        return self._configs[index]

    def _build(self, number: int, choose: Callable[[str, Domain], Any]) -> TrialConfig | None:
        """Return the config that is chosen; None if it can't be built."""
        seed, _ = trial_stream(self._sampler.seed, number)
        fixed = {**self._sampler.fixed, "seed": seed}
        values = choose_values(self._sampler.space, fixed, choose)
        try:
            return build_config(values, self._sampler.task)
        except InputError:
            return None


def _keys(sampler: Sampler) -> dict[tuple[str, Domain], str]:
    """Return Optuna's name of each hyperparameter and domain."""
    keys: dict[tuple[str, Domain], str] = {}
    for name, entry in sampler.space.items():
        if not isinstance(entry, Switch):
            keys[name, entry] = name
            continue
        for domain in entry.cases.values():
            users = [value for value, other in entry.cases.items() if other == domain]
            keys[name, domain] = f"{name} of {', '.join(users)}"
    return keys


def _is_placed(domain: Domain) -> bool:
    """Tell whether the value of a domain is asked for by its place."""
    return isinstance(domain, Choice) and all(
        type(value) in (int, float) for value in domain.values
    )


def _distribution(domain: Domain) -> BaseDistribution:
    if isinstance(domain, Choice):
        if _is_placed(domain):
            return IntDistribution(0, len(domain.values) - 1)
        return CategoricalDistribution(domain.values)
    if isinstance(domain, Integer):
        return IntDistribution(domain.low, domain.high, log=domain.is_log)
    return FloatDistribution(domain.low, domain.high, log=domain.is_log)
