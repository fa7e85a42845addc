"""Tuning spaces as plain Python values, and seeded sampling from them.

A space maps fields of `TrialConfig` to domains; fields it doesn't name keep their defaults.
Whether a field may be mutated in mid-training (PBT) is a property of the field, not of a space.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from trainables.errors import InputError
from trainables.trial_config import ARCHITECTURE_FIELDS, MUTABLE_FIELDS, TrialConfig


@dataclass(frozen=True)
class Choice:
    """One of a few values, each as likely as the others."""

    values: tuple[Any, ...]

    def __post_init__(self) -> None:
        if not self.values:
            raise InputError("choices must be at least one value, got none; list the values")

    def sample(self, generator: np.random.Generator) -> Any:
        """Draw one value."""
        return self.values[int(generator.integers(len(self.values)))]

    def perturb(self, value: Any, generator: np.random.Generator) -> Any:
        """Step to a neighbour of `value`, which stays inside the choices."""
        at = self.values.index(value) + int(generator.choice((-1, 1)))
        return self.values[min(max(at, 0), len(self.values) - 1)]


@dataclass(frozen=True)
class Uniform:
    """A number between two bounds, uniform on the scale named."""

    low: float
    high: float
    is_log: bool = False

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise InputError(
                f"bounds must be low < high, got {self.low:g} and {self.high:g}; swap or widen them"
            )
        if self.is_log and self.low <= 0:
            raise InputError(
                f"a log scale must be > 0, got {self.low:g}; raise low or use a linear scale"
            )

    def sample(self, generator: np.random.Generator) -> float:
        """Draw one value."""
        if self.is_log:
            return float(math.exp(generator.uniform(math.log(self.low), math.log(self.high))))
        return float(generator.uniform(self.low, self.high))

    def perturb(self, value: float, generator: np.random.Generator) -> float:
        """Multiply by 0.8 or 1.2 (PBT, Jaderberg et al. 2017, section 4), inside the bounds."""
        moved = value * float(generator.choice((0.8, 1.2)))
        return min(max(moved, self.low), self.high)


Domain = Choice | Uniform
Space = Mapping[str, Domain]


def sample_config(space: Space, fixed: Mapping[str, Any], seed: int, index: int) -> TrialConfig:
    """Draw the config of a sweep's trial number `index`; the same arguments, the same config.

    Args:
        space: what varies.
        fixed: fields that don't; overridden by the space.
        seed: of the sweep; each trial's own seed is derived from it.
        index: >= 0.
    """
    generator = np.random.default_rng((seed, index))
    drawn = {name: domain.sample(generator) for name, domain in sorted(space.items())}
    trial_seed = int(generator.integers(2**31))
    return TrialConfig.from_dict({**fixed, **drawn, "seed": trial_seed})


def architectures(space: Space, fixed: Mapping[str, Any]) -> Iterator[TrialConfig]:
    """Yield a config for every architecture that the space holds."""
    varied = {name: domain for name, domain in space.items() if name in ARCHITECTURE_FIELDS}
    for name, domain in varied.items():
        if not isinstance(domain, Choice):
            raise InputError(
                f"{name} must be a Choice, since it defines the architecture, got {domain}; "
                "list its values"
            )
    choices = [domain.values for domain in varied.values() if isinstance(domain, Choice)]
    for values in itertools.product(*choices):
        yield TrialConfig.from_dict({**fixed, **dict(zip(varied, values, strict=True))})


def validate_space(space: Space, fixed: Mapping[str, Any]) -> None:
    """Check that every corner of a space is a config that can be built.

    Raises:
        InputError: for an unknown field or a bound outside the field's own.
    """
    for name, domain in space.items():
        corners = domain.values if isinstance(domain, Choice) else (domain.low, domain.high)
        for value in corners:
            TrialConfig.from_dict({**fixed, name: value})


def mutable_part(space: Space, names: tuple[str, ...] | None) -> Space:
    """Return what PBT may mutate: all that can change in mid-training, or only `names`.

    Raises:
        InputError: if a name isn't in the space, can't change in mid-training, or nothing is left.
    """
    for name in names or ():
        if name not in space:
            raise InputError(
                f"mutate must be names in the space, got {name!r}; choose from {', '.join(space)}"
            )
        if name not in MUTABLE_FIELDS:
            why = (
                "weights of one architecture don't fit another"
                if name in ARCHITECTURE_FIELDS
                else "the optimizer's state or the data stream would no longer fit"
            )
            raise InputError(
                f"mutate must be hyperparameters that can change in mid-training, got {name!r} "
                f"({why}); choose from {', '.join(sorted(MUTABLE_FIELDS & set(space)))}"
            )
    chosen = {
        name: domain
        for name, domain in space.items()
        if (name in names if names is not None else name in MUTABLE_FIELDS)
    }
    if not chosen:
        raise InputError(
            "mutate must be at least one hyperparameter, got none; add one of "
            f"{', '.join(sorted(MUTABLE_FIELDS))} to the space"
        )
    return chosen


def image_space(
    models: tuple[str, ...], widths: tuple[int, ...], image_size_px: int
) -> dict[str, Domain]:
    """Return the space of a small CIFAR ResNet: architecture, optimizer, regularisation.

    Args:
        models: names in `trainables.models.MODELS`.
        widths: channels of the first stage.
        image_size_px: crops pad by up to an eighth of it.
    """
    paddings = {0, image_size_px // 16, image_size_px // 8}
    return {
        "model": Choice(models),
        "width": Choice(widths),
        "learning_rate": Uniform(0.01, 0.5, is_log=True),
        "momentum": Uniform(0.8, 0.98),
        "weight_decay": Uniform(1e-5, 5e-3, is_log=True),
        "label_smoothing": Uniform(0.0, 0.2),
        "crop_padding_px": Choice(tuple(sorted(paddings))),
        "flip_probability": Choice((0.0, 0.5)),
    }
