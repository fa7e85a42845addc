"""PBT's explore step, kept inside the space's bounds, which Ray's own is not."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

from sweeps.combinations import used_domains
from sweeps.domains import Domain, Space

_EXPLORE: Final = 0xE8B1  # a stream of its own: trials draw from (seed, index)


class Explore:
    """Changes a donor's config: each mutable hyperparameter is drawn anew, or perturbed.

    Jaderberg et al. 2017, "Population based training of neural networks", section 4.

    Args:
        mutable: what may change while a trial trains.
        seed: >= 0.
        resample_probability: of being drawn anew.
        used: returns which of the mutable ones a config uses, and their domains.
    """

    def __init__(
        self,
        mutable: Space,
        seed: int,
        resample_probability: float,
        used: Callable[[Space, Mapping[str, Any]], Mapping[str, Domain]] = used_domains,
    ) -> None:
        self._mutable = mutable
        self._resample_probability = resample_probability
        self._used = used
        self.seed = seed
        self._generator = np.random.default_rng((seed, 0, _EXPLORE))

    def restart(self, trial_id: str, epoch: int) -> None:
        """Draw from here on as belongs to a trial and an epoch, whatever was drawn before."""
        key = (self.seed, zlib.crc32(trial_id.encode()), epoch, _EXPLORE)
        self._generator = np.random.default_rng(key)

    def __call__(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Return a changed copy of a donor's config."""
        explored = dict(config)
        for name, domain in self._used(self._mutable, config).items():
            if self._generator.random() < self._resample_probability:
                explored[name] = domain.sample(self._generator)
            else:
                explored[name] = domain.perturb(explored[name], self._generator)
        return explored

    def state_dict(self) -> dict[str, Any]:
        """Return the generator's state, as plain values."""
        return dict(self._generator.bit_generator.state)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over a state."""
        self._generator.bit_generator.state = dict(state)
