"""What a loss after a few epochs says of the loss after all of them."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sweeps.searchers.observations import Rows

Floats = NDArray[np.float64]

PRIOR_PAIRS: Final = 3.0
"""The slope of a line is drawn to 1 as if by so many pairs."""

MAX_SLOPE: Final = 3.0


def on_full_scale(rows: Rows, max_epochs: int) -> Floats:
    """Return every loss on the scale of full trainings.

    An observation at a low epoch is not taken for a final value: it stays one of its own epoch,
    which the surrogate is told. It is only shifted and stretched, with all others of its span of
    epochs, so that one surrogate can learn from all spans. Each span is mapped to the next by a
    line through the trials that were seen at both, and the lines are chained. That a scheduler
    lets only the best go on does not bend such a line: it selects by what the line starts from.

    Args:
        rows: of any trials and epochs.
        max_epochs: of a full training.

    Returns:
        [num_rows]; lower is better; unchanged where the training was whole.
    """
    span = np.frexp(rows.epoch)[1]  # As `Observations` thins them.
    span[rows.is_full(max_epochs)] = span.max(initial=0) + 1
    scaled = rows.loss.copy()
    spans = np.unique(span)
    shift, slope = 0.0, 1.0
    for low, high in reversed(list(pairwise(spans))):
        line_shift, line_slope = _line(rows, span == low, span == high)
        shift, slope = shift + slope * line_shift, slope * line_slope
        scaled[span == low] = shift + slope * rows.loss[span == low]
    return scaled


def _line(rows: Rows, is_low: NDArray[np.bool_], is_high: NDArray[np.bool_]) -> tuple[float, float]:
    """Return shift and slope of the line from the losses of a span to those of the next."""
    _, low, high = np.intersect1d(rows.index[is_low], rows.index[is_high], return_indices=True)
    if not len(low):
        return 0.0, 1.0
    before, after = rows.loss[is_low][low], rows.loss[is_high][high]
    variance = before.var()
    slope = 1.0
    if variance > 0:
        covariance = ((before - before.mean()) * (after - after.mean())).mean()
        weight = PRIOR_PAIRS / len(low)
        slope = float(np.clip((covariance / variance + weight) / (1 + weight), 0.0, MAX_SLOPE))
    return float(after.mean() - slope * before.mean()), slope
