"""What trackers tell of a trial and of a sweep: figures, and words for tags."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from analysis.records import TRIALS_SCHEMA, numeric_columns

_NUMBERS: Final = tuple(numeric_columns(TRIALS_SCHEMA))
_WORDS: Final = (
    "status",
    "reason",
    "architecture",
    "latency_status",
    "latency_runtime",
    "parent_trial_id",
    "parent_epoch",
    "num_exploits",
    "checkpoint",
    "reproduce",
)


def final_figures(row: Mapping[str, Any]) -> dict[str, float]:
    """Return all numbers of a trial's row that are known."""
    return {name: float(row[name]) for name in _NUMBERS if row.get(name) is not None}


def trial_words(row: Mapping[str, Any]) -> dict[str, str]:
    """Return how a trial ended, what makes it again, and where its weights came from."""
    words = {name: str(row[name]) for name in _WORDS if row.get(name) is not None}
    return {**words, "lineage": lineage_words(row)}


def lineage_words(row: Mapping[str, Any]) -> str:
    """Return a lineage in one line, such as `trial_0004 to epoch 2, then trial_0001`.

    Each trial that lent its weights stands there with the epoch at which they were taken over.
    """
    steps = row["lineage"]
    donors = [f"{step['parent_trial_id']} to epoch {step['from_epoch']}" for step in steps[1:]]
    return ", then ".join([*donors, str(row["trial_id"])])


def sweep_words(sweep: Mapping[str, Any], run: Path) -> dict[str, str]:
    """Return what a sweep was, for the tags of its run."""
    words = {
        "run_folder": str(run),
        "objectives": " ".join(sweep["objectives"]),
        "dataset": sweep["dataset"]["name"],
        "dataset_fingerprint": sweep["dataset"]["fingerprint"],
    }
    for name in ("status", "scheduler", "command", "commit"):
        if sweep.get(name) is not None:
            words[name] = str(sweep[name])
    return words
