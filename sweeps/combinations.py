"""Combinations of a space's values: which fields each uses, and whether it can be built.

What depends on what (heads only of a Transformer) is a property of the fields, not of a space: a
combination leaves the fields that it doesn't use at their defaults.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Any

from sweeps.domains import Choice, Domain, Space, Switch
from trainables.errors import InputError
from trainables.task import Task
from trainables.trial_config import CONDITIONS, TrialConfig, default_of, unused_reason


def used_domains(space: Space, config: Mapping[str, Any]) -> dict[str, Domain]:
    """Return the domains that hold for a config: of the fields it uses, with switches decided.

    Args:
        space: what varies.
        config: its values of `CONDITIONS` are looked at, or their defaults.

    Raises:
        InputError: if a switch has no case for them.
    """
    return {
        name: entry.case(config.get(entry.on, default_of(entry.on)))
        if isinstance(entry, Switch)
        else entry
        for name, entry in sorted(space.items())
        if unused_reason(name, config) is None
    }


def build_config(values: Mapping[str, Any], task: Task) -> TrialConfig:
    """Build the config of a combination; fields that it doesn't use keep their defaults.

    Raises:
        InputError: if the combination can't be built, or doesn't fit the task.
    """
    config = TrialConfig.from_dict(
        {name: value for name, value in values.items() if unused_reason(name, values) is None}
    )
    config.check_task(task)
    return config


def condition_values(space: Space, fixed: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Return the values that a space has for each of `CONDITIONS`.

    Raises:
        InputError: if they are in the space, but no Choice.
    """
    values: dict[str, tuple[str, ...]] = {
        name: (fixed.get(name, default_of(name)),) for name in CONDITIONS
    }
    for name in CONDITIONS:
        entry = space.get(name)
        if isinstance(entry, Choice):
            values[name] = entry.values
        elif entry is not None:
            raise InputError(f"{name} must be a Choice, got {entry}; list its values")
    return values


def combinations(
    space: Space, fixed: Mapping[str, Any], num_points: int
) -> Iterator[dict[str, Any]]:
    """Yield the points of a grid, each once, whether they can be built or not.

    Args:
        space: fields that a model, optimizer or schedule doesn't use are not varied with it.
        fixed: fields that don't vary; overridden by the space.
        num_points: of each number.
    """
    for chosen, domains in _branches(space, fixed):
        grids = (domain.grid(num_points) for domain in domains.values())
        for values in itertools.product(*grids):
            yield {**chosen, **dict(zip(domains, values, strict=True))}


def count_combinations(space: Space, fixed: Mapping[str, Any], num_points: int) -> int:
    """Return how many points `combinations` yields, without making them."""
    return sum(
        math.prod(len(domain.grid(num_points)) for domain in domains.values())
        for _, domains in _branches(space, fixed)
    )


def _branches(
    space: Space, fixed: Mapping[str, Any]
) -> Iterator[tuple[dict[str, Any], dict[str, Domain]]]:
    """Yield the values of `CONDITIONS` in turn, and the domains of the other fields they use."""
    others = {name: entry for name, entry in space.items() if name not in CONDITIONS}
    for values in itertools.product(*condition_values(space, fixed).values()):
        chosen = {**fixed, **dict(zip(CONDITIONS, values, strict=True))}
        yield chosen, used_domains(others, chosen)
