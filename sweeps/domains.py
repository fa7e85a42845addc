"""What one hyperparameter may be: plain values that can be sampled, perturbed and gridded.

Three domains (`Choice`, `Uniform`, `Integer`), and a `Switch` between domains, as by the trial's
optimizer: a learning rate that suits SGD does not suit Adam.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from trainables.errors import InputError
from trainables.trial_config import CONDITIONS

PERTURB_FRACTION: Final = 0.2
"""A perturbed number is 0.8 or 1.2 times what it was (PBT, Jaderberg et al. 2017, section 4)."""

LEAST_STEP_FRACTION: Final = 0.02
"""Least step of a perturbed number on a linear scale, as a fraction of its range."""


@dataclass(frozen=True)
class Choice:
    """One of a few values; neighbours are alike.

    Each is as likely as the others, as long as it can be combined with what else is drawn: a draw
    that can't be built is drawn anew as a whole.

    Raises:
        InputError: if there is no value, one comes twice, or is no word, number or boolean.
    """

    values: tuple[Any, ...]

    def __post_init__(self) -> None:
        if not self.values:
            raise InputError("choices must be at least one value, got none; list the values")
        for index, value in enumerate(self.values):
            if not isinstance(value, str | int | float):
                raise InputError(f"choices must be plain values, got {value!r}; list such values")
            if value in self.values[:index]:
                raise InputError(f"choices must be distinct, got {value!r} twice; list it once")

    def at(self, fraction: float) -> Any:
        """Return the value at a quantile from [0, 1)."""
        return self.values[int(fraction * len(self.values))]

    def sample(self, generator: np.random.Generator) -> Any:
        """Draw one value."""
        return self.at(generator.random())

    def perturb(self, value: Any, generator: np.random.Generator) -> Any:
        """Step to a neighbour of `value`; from an end, perhaps stay there."""
        index = self.values.index(value) + _sign(generator)
        return self.values[min(max(index, 0), len(self.values) - 1)]

    def grid(self, num_points: int) -> tuple[Any, ...]:
        """Return every value, however many points are asked for."""
        return self.values


@dataclass(frozen=True)
class Uniform:
    """A number between two bounds, uniform on its scale.

    Raises:
        InputError: if the bounds are not finite or reversed, or a log scale begins at 0 or below.
    """

    low: float
    high: float
    is_log: bool = False

    def __post_init__(self) -> None:
        _check_bounds(self.low, self.high, self.is_log)

    def at(self, fraction: float) -> float:
        """Return the value at a quantile from [0, 1)."""
        if self.is_log:
            return self._inside(self.low * (self.high / self.low) ** fraction)
        return self._inside(self.low + fraction * (self.high - self.low))

    def sample(self, generator: np.random.Generator) -> float:
        """Draw one value."""
        return self.at(generator.random())

    def perturb(self, value: float, generator: np.random.Generator) -> float:
        """Move up or down by `PERTURB_FRACTION` of the value, inside the bounds.

        On a linear scale at least by `LEAST_STEP_FRACTION` of the range, so that a number which is
        0 can leave it.
        """
        step = PERTURB_FRACTION * abs(value)
        if not self.is_log:
            step = max(step, LEAST_STEP_FRACTION * (self.high - self.low))
        return self._inside(value + _sign(generator) * step)

    def grid(self, num_points: int) -> tuple[float, ...]:
        """Return evenly spaced values from bound to bound; of one point, the middle."""
        if num_points == 1:
            return (self.at(0.5),)
        return tuple(float(value) for value in _spaced(self, num_points))

    def _inside(self, value: float) -> float:
        return float(min(max(value, self.low), self.high))


@dataclass(frozen=True)
class Integer:
    """A whole number between two bounds, both included, uniform on its scale.

    Raises:
        InputError: if the bounds are no whole numbers or reversed, or a log scale begins at 0 or
            below.
    """

    low: int
    high: int
    is_log: bool = False

    def __post_init__(self) -> None:
        for bound in (self.low, self.high):
            if type(bound) is not int:
                raise InputError(
                    f"bounds must be whole numbers, got {bound!r}; round it or use Uniform"
                )
        _check_bounds(self.low, self.high, self.is_log)

    def at(self, fraction: float) -> int:
        """Return the value at a quantile from [0, 1).

        On a log scale each number gets the part of it between half below and half above, so the
        ends are no less likely than their neighbours.
        """
        if self.is_log:
            low, high = self.low - 0.5, self.high + 0.5
            return self._inside(round(low * (high / low) ** fraction))
        return self._inside(self.low + int(fraction * (self.high - self.low + 1)))

    def sample(self, generator: np.random.Generator) -> int:
        """Draw one value."""
        return self.at(generator.random())

    def perturb(self, value: int, generator: np.random.Generator) -> int:
        """Move up or down by `PERTURB_FRACTION` of the value and at least by 1.

        What would leave the bounds stays at the bound.
        """
        step = max(1, round(PERTURB_FRACTION * abs(value)))
        return self._inside(value + _sign(generator) * step)

    def grid(self, num_points: int) -> tuple[int, ...]:
        """Return evenly spaced values from bound to bound, fewer where there aren't so many."""
        if num_points == 1:
            return (self.at(0.5),)
        return tuple(int(value) for value in np.unique(np.rint(_spaced(self, num_points))))

    def _inside(self, value: int) -> int:
        return int(min(max(value, self.low), self.high))


Domain = Choice | Uniform | Integer


@dataclass(frozen=True)
class Switch:
    """A domain for each model, optimizer or schedule.

    It has no `sample` or `perturb` of its own: `combinations.used_domains` turns a space and a
    config into the domains that hold for this config, and these are sampled or perturbed.

    Attributes:
        on: in `CONDITIONS`.
        cases: the domain by the value of that field.

    Raises:
        InputError: if `on` is another field.
    """

    on: str
    cases: Mapping[str, Domain]

    def __post_init__(self) -> None:
        if self.on not in CONDITIONS:
            raise InputError(
                f"a Switch must be on one of {', '.join(CONDITIONS)}, got {self.on!r}; choose one"
            )

    def case(self, value: str) -> Domain:
        """Return the domain for a model, optimizer or schedule.

        Raises:
            InputError: if it has none.
        """
        if value not in self.cases:
            raise InputError(
                f"a Switch on {self.on} must have a case for each one in the space, got none for "
                f"{value}; add it"
            )
        return self.cases[value]


Space = Mapping[str, Domain | Switch]
"""What varies, by the name of a field of `TrialConfig`; other fields keep one value."""


def describe_domain(entry: Domain | Switch) -> dict[str, Any]:
    """Return a domain or a switch with its type and fields, ready for JSON."""
    if isinstance(entry, Switch):
        cases = {value: describe_domain(domain) for value, domain in entry.cases.items()}
        return {"type": "Switch", "on": entry.on, "cases": cases}
    return {"type": type(entry).__name__, **dataclasses.asdict(entry)}


def _sign(generator: np.random.Generator) -> int:
    return int(generator.choice((-1, 1)))


def _spaced(domain: Uniform | Integer, num_points: int) -> NDArray[np.float64]:
    assert num_points > 1
    spaced = np.geomspace if domain.is_log else np.linspace
    return spaced(domain.low, domain.high, num_points)


def _check_bounds(low: float, high: float, is_log: bool) -> None:
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise InputError(
            f"bounds must be finite and low < high, got {low:g} and {high:g}; swap or widen them"
        )
    if is_log and low <= 0:
        raise InputError(f"a log scale must be > 0, got {low:g}; raise low or use a linear scale")
