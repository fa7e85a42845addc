"""A recorded table of trials that were drawn and not trained, for what is simulated."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from analysis.records import Objective
from sweeps.simulate.recorded_table import Curve, RecordedTable

Floats = NDArray[np.float64]


def table_of(latency: Floats, final: Floats, values: Floats, seconds: Floats) -> RecordedTable:
    """Return the table of an error that is learnt and a latency that is known.

    Args:
        latency: [num_configs] in ms.
        final: [num_configs] error in the end.
        values: [num_configs, num_epochs] error after each epoch.
        seconds: [num_configs, num_epochs] that all epochs so far took.
    """
    num_configs, num_epochs = values.shape
    epochs = np.arange(1, num_epochs + 1)
    return RecordedTable(
        name="drawn",
        metric=Objective("error", "min"),
        hyperparameters=("number",),
        known=("latency_ms",),
        final_column="error",
        final=final,
        final_direction="min",
        configs=[{"number": number} for number in range(num_configs)],
        columns={"latency_ms": latency},
        curves=[Curve(epochs, *row) for row in zip(values, seconds, strict=True)],
    )
