"""A tuning space as a table: what each entry is, where it lies, and when it applies."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sweeps.combinations import condition_values, used_domains
from sweeps.domains import Choice, Domain, Space
from trainables.trial_config import CONDITIONS, TrialConfig, default_of, rules


@dataclass(frozen=True, kw_only=True)
class SpaceEntry:
    """One hyperparameter of a space, under one condition.

    Attributes:
        name: of the field of `TrialConfig`.
        group: in `GROUPS`.
        type: of the field.
        choices: the values of a Choice; empty for a number between bounds.
        low: the lower bound; None for a Choice.
        high: the upper bound; None for a Choice.
        scale: `linear` or `log`; None for a Choice.
        unit: empty if it has none.
        default: what the field is where the entry doesn't apply.
        is_mutable: may change in mid-training.
        condition: when the entry applies, as `optimizer adam, adamw`; empty: always.
    """

    name: str
    group: str
    type: str
    choices: tuple[Any, ...]
    low: float | None
    high: float | None
    scale: str | None
    unit: str
    default: Any
    is_mutable: bool
    condition: str


def describe_space(space: Space, fixed: Mapping[str, Any]) -> list[SpaceEntry]:
    """Return the entries of a space in its order; one for each case of a Switch that can occur.

    Args:
        space: `validate_space` has passed it.
        fixed: fields that don't vary; may decide the model, optimizer and schedule.
    """
    values = condition_values(space, fixed)
    entries: list[SpaceEntry] = []
    for name, entry in space.items():
        branches: dict[Domain, list[tuple[str, ...]]] = {}
        for branch in itertools.product(*values.values()):
            used = used_domains({name: entry}, dict(zip(CONDITIONS, branch, strict=True)))
            if name in used:
                branches.setdefault(used[name], []).append(branch)
        for domain, some in branches.items():
            entries.append(_describe(name, domain, _condition(some, values)))
    return entries


def _condition(branches: list[tuple[str, ...]], values: Mapping[str, tuple[str, ...]]) -> str:
    """Return what some branches have in common that not all have."""
    parts = []
    for (name, every), some in zip(values.items(), zip(*branches, strict=True), strict=True):
        if len(set(some)) < len(every):
            parts.append(f"{name} {', '.join(dict.fromkeys(some))}")
    return "; ".join(parts)


def _describe(name: str, domain: Domain, condition: str) -> SpaceEntry:
    choices: tuple[Any, ...] = ()
    low = high = scale = None
    if isinstance(domain, Choice):
        choices = domain.values
    else:
        low, high, scale = domain.low, domain.high, "log" if domain.is_log else "linear"
    rule = rules()[name]
    return SpaceEntry(
        name=name,
        group=rule.group,
        type=str(TrialConfig.__dataclass_fields__[name].type),
        choices=choices,
        low=low,
        high=high,
        scale=scale,
        unit=rule.unit,
        default=default_of(name),
        is_mutable=rule.is_mutable,
        condition=condition,
    )
