"""A small table of runs, as `sweeps.simulate` reads them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

NUM_CONFIGS, NUM_EPOCHS = 24, 9


def write_table(folder: Path, **changes: Any) -> Path:
    """Write a table of curves that cross: large models learn slowly, and get further.

    Args:
        folder: new.
        changes: of what `configs`, `curves` and `meta` hold.
    """
    draw = np.random.default_rng(0)
    width = np.arange(NUM_CONFIGS) % 6 + 1
    rate = draw.random(NUM_CONFIGS)
    final = 0.6 - 0.05 * width + 0.2 * (rate - 0.5) ** 2
    epoch = np.arange(1, NUM_EPOCHS + 1)
    error = final[:, None] + 0.4 * np.exp(-epoch[None] / width[:, None])
    configs: dict[str, Any] = {
        "config_id": np.arange(NUM_CONFIGS),
        "width": width,
        "rate": rate,
        "activation": np.array(["relu", "gelu"])[np.arange(NUM_CONFIGS) % 2],
        "latency_ms": 1.0 * width,
        "final_error": final,
    }
    curves: dict[str, Any] = {
        "config_id": np.repeat(np.arange(NUM_CONFIGS), NUM_EPOCHS),
        "epoch": np.tile(epoch, NUM_CONFIGS),
        "error": error.ravel(),
        "seconds": (epoch[None] * width[:, None] * 0.01).ravel(),
    }
    meta: dict[str, Any] = {
        "hyperparameters": {"width": [1, 6], "rate": [0, 1], "activation": ["relu", "gelu"]},
        "metric": {"name": "error", "mode": "min"},
        "known_before_training": ["latency_ms"],
        "final": "final_error",
    }
    configs |= changes.get("configs", {})
    curves |= changes.get("curves", {})
    meta |= changes.get("meta", {})
    folder.mkdir(parents=True)
    for name, columns in (("configs", configs), ("curves", curves)):
        kept = {key: value for key, value in columns.items() if value is not None}
        pq.write_table(pa.table(kept), folder / f"{name}.parquet")
    (folder / "meta.json").write_text(json.dumps(meta))
    return folder
