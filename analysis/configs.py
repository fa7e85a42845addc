"""The configs of trials as columns."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from analysis.load import RunError
from analysis.records import TRIALS_FILE


def read_config(trial_id: str, text: str) -> dict[str, Any]:
    """Return a config as `trials.parquet` holds it.

    Raises:
        RunError: if it is no JSON object.
    """
    try:
        config = json.loads(text)
    except json.JSONDecodeError:
        config = None
    if not isinstance(config, dict):
        raise RunError(
            f"config of trial {trial_id} in {TRIALS_FILE} must be a JSON object, got {text!r}; "
            "copy the file again from where the sweep wrote it"
        )
    return config


def read_configs(trials: pa.Table) -> list[dict[str, Any]]:
    """Return the config of every trial, in their order.

    Raises:
        RunError: if one is no JSON object.
    """
    pairs = zip(trials["trial_id"].to_pylist(), trials["config"].to_pylist(), strict=True)
    return [read_config(trial_id, text) for trial_id, text in pairs]


def differing_keys(configs: Sequence[dict[str, Any]]) -> list[str]:
    """Return the keys whose values are not the same in all configs, in order of appearance.

    Example:
        >>> differing_keys([{"width": 8, "depth": 2}, {"width": 16, "depth": 2}])
        ['width']
    """
    keys = dict.fromkeys(key for config in configs for key in config)
    first = configs[0] if configs else {}
    return [
        key
        for key in keys
        if any(config.get(key) != first.get(key) or key not in config for config in configs)
    ]
