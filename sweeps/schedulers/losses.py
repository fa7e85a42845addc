"""Losses as schedulers weigh them: out of reports, into a state, and on one scale."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from analysis.records import Objective
from sweeps.schedulers.protocol import Report


def report_losses(report: Report, objectives: Sequence[Objective]) -> list[float]:
    """Return a report's losses, [num_objectives]; NaN where it has no finite value."""
    values = [(o, report.values.get(o.column, math.nan)) for o in objectives]
    return [o.loss(value) if math.isfinite(value) else math.nan for o, value in values]


def is_known(losses: Sequence[float]) -> bool:
    """Tell whether no loss is NaN."""
    return not any(math.isnan(loss) for loss in losses)


def to_plain(losses: Sequence[float]) -> list[float | None]:
    """Return losses as JSON holds them."""
    return [None if math.isnan(loss) else loss for loss in losses]


def from_plain(losses: Sequence[float | None]) -> list[float]:
    """Return losses from what JSON held."""
    return [math.nan if loss is None else loss for loss in losses]


def normalised(losses: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return losses on [0, 1], by the least and greatest of each objective; 0 where it is one.

    Args:
        losses: [num, num_objectives]; finite.
    """
    if not len(losses):
        return losses
    low, high = losses.min(axis=0), losses.max(axis=0)
    return np.asarray((losses - low) / np.where(high > low, high - low, 1.0))
