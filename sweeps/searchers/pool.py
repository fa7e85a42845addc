"""The candidates that a searcher chooses from, as numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.records import Objective
from trainables.errors import InputError

Floats = NDArray[np.float64]

LOG_RANGE: Final = 100.0
"""Positive numbers of which the greatest is over so many times the least are put on a log scale."""

MAX_SHARED_VALUES: Final = 8
MIN_SHARING: Final = 3
"""So many hyperparameters with the same few values are places for the same things, which count."""

ABSENT: Final = -1.0
"""Stands for a number that a config lacks, on a scale on which the others are from 0 to 1."""


@dataclass(frozen=True)
class CandidatePool:
    """Candidates by index, with what is known of each before training.

    Attributes:
        features: [num, num_features] the hyperparameters as numbers; no NaN.
        known: [num, num_known] losses (lower is better) of the objectives that are known; finite.
        names: [num_features] of the features.
        objectives: [num_known] the columns of `known`, and their directions.

    Raises:
        InputError: if the shapes don't fit each other or a number is not finite.
    """

    features: Floats
    known: Floats
    names: tuple[str, ...]
    objectives: tuple[Objective, ...]

    def __post_init__(self) -> None:
        num = len(self.features)
        if self.features.shape != (num, len(self.names)) or self.known.shape != (
            num,
            len(self.objectives),
        ):
            raise InputError(
                "features and known must be [num, num_names] and [num, num_objectives], got shapes "
                f"{self.features.shape} and {self.known.shape}; give a row a candidate"
            )
        if not (np.isfinite(self.features).all() and np.isfinite(self.known).all()):
            raise InputError(
                "features and known must be finite, got NaN or infinity; leave such candidates out"
            )

    def __len__(self) -> int:
        return len(self.features)


def make_pool(
    configs: Sequence[Mapping[str, Any]],
    known: Mapping[str, ArrayLike],
    objectives: Sequence[Objective],
) -> CandidatePool:
    """Return the pool of some configs.

    Args:
        configs: [num] hyperparameters by name.
        known: [num] values by column, with every objective's.
        objectives: those that are known before training, with their directions.

    Raises:
        InputError: if a column is missing or a value is not finite.
    """
    columns = []
    for objective in objectives:
        if objective.column not in known:
            raise InputError(
                f"known must hold every known objective, got none for {objective.column!r}; choose "
                f"from {', '.join(known)}"
            )
        columns.append(objective.loss(np.asarray(known[objective.column], dtype=np.float64)))
    features, names = encode_configs(configs)
    losses = np.stack(columns, axis=1) if columns else np.zeros((len(configs), 0))
    return CandidatePool(features, losses, names, tuple(objectives))


def encode_configs(configs: Sequence[Mapping[str, Any]]) -> tuple[Floats, tuple[str, ...]]:
    """Return hyperparameters as numbers.

    A hyperparameter with a word among its values becomes a column for each of its values, 1 where
    a config has it; one that is missing or None has none of them. A number is scaled to [0, 1], on
    a log scale if its values are positive and span more than two decades, and `ABSENT` where it is
    missing. A hyperparameter that never varies is left out. Where several hyperparameters have the
    same few values, as the operations of a cell, a column for each value says what fraction of
    them has it: without the places, it is learnt from few trials.

    Args:
        configs: [num] hyperparameters by name: words, numbers, booleans or None.

    Returns:
        features: [num, num_features]; the columns in the order of names.
        names: [num_features] `name`, `name=value` or `share of value in name, name, ...`.
    """
    columns: dict[str, Floats] = {}
    for name in sorted({name for config in configs for name in config}):
        values = [config.get(name) for config in configs]
        present = [value for value in values if value is not None]
        if all(isinstance(value, Real) for value in present):
            columns[name] = _scaled(values)
        else:
            for word in sorted({str(value) for value in present}):
                is_word = [value is not None and str(value) == word for value in values]
                columns[f"{name}={word}"] = np.array(is_word, dtype=np.float64)
    columns |= _shares(configs)
    varying = {name: column for name, column in columns.items() if np.ptp(column) > 0}
    features = np.stack(list(varying.values()), axis=1) if varying else np.zeros((len(configs), 0))
    return features, tuple(varying)


def _shares(configs: Sequence[Mapping[str, Any]]) -> dict[str, Floats]:
    values_of: dict[str, set[str]] = {}
    for config in configs:
        for name, value in config.items():
            values_of.setdefault(name, set()).add(str(value))
    sharing: dict[tuple[str, ...], list[str]] = {}
    for name in sorted(values_of):
        sharing.setdefault(tuple(sorted(values_of[name])), []).append(name)
    shares = {}
    for values, names in sharing.items():
        if len(names) < MIN_SHARING or not 2 <= len(values) <= MAX_SHARED_VALUES:
            continue
        for value in values:
            num_with = [sum(str(c.get(name)) == value for name in names) for c in configs]
            shares[f"share of {value} in {', '.join(names)}"] = np.array(num_with) / len(names)
    return shares


def _scaled(values: Sequence[float | None]) -> Floats:
    """Return numbers on [0, 1], and `ABSENT` for None and NaN."""
    column = np.array([math.nan if value is None else float(value) for value in values])
    is_present = np.isfinite(column)
    if not is_present.any():
        return np.full(len(column), ABSENT)
    column[is_present] = log_if_wide(column[is_present])
    low, high = column[is_present].min(), column[is_present].max()
    return np.where(is_present, (column - low) / ((high - low) or 1.0), ABSENT)


def log_if_wide(values: Floats) -> Floats:
    """Return the logarithm of positive numbers that span more than `LOG_RANGE`, others as is."""
    is_wide = values.min() > 0 and values.max() > LOG_RANGE * values.min()
    return np.log(values) if is_wide else values


def scaled_known(known: Floats) -> Floats:
    """Return known losses on [0, 1] as features, on a log scale where they have one sign.

    A tree's random thresholds are uniform, and latencies are not.

    Args:
        known: [num, num_known] losses; of an objective to be maximised negative.
    """
    columns = []
    for column in known.T:
        scaled = column
        if (column > 0).all() or (column < 0).all():
            scaled = np.sign(column) * np.log(np.abs(column))
        low, span = scaled.min(initial=np.inf), np.ptp(scaled) if len(scaled) else 0.0
        columns.append((scaled - low) / (span or 1.0))
    return np.stack(columns, axis=1) if columns else np.zeros_like(known)
