"""MLflow: a run for the sweep, and below it one for each trial.

Ray's own callback (`ray.air.integrations.mlflow`) is not used: it talks to the server from Tune's
thread, and sees what Tune sees, which is a packed result without a parent, lineage or end.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # it sends word of its use otherwise

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from sweeps.trackers.protocol import CURVES
from sweeps.trackers.trial_words import final_figures, sweep_words, trial_words

_STATUS: Final = {"failed": "FAILED", "interrupted": "KILLED", "stopped": "KILLED"}
_MAX_TAG: Final = 5000  # characters; servers refuse longer ones
_MAX_PARAM: Final = 500  # likewise
_ARTIFACTS: Final = "report"


class MlflowTracker:
    """Writes to where `MLFLOW_TRACKING_URI` says, or to MLflow's own default.

    Args:
        sweep: content of `sweep.json`.
        run: run folder.
    """

    def __init__(self, sweep: Mapping[str, Any], run: Path) -> None:
        self._client = MlflowClient()
        self._experiment_id = self._open_experiment(sweep["name"])
        self._parent_id = self._create(run.name, sweep_words(sweep, run))
        self._run_ids: dict[str, str] = {}
        self._first_configs: dict[str, Mapping[str, Any]] = {}
        params = [Param(name, str(value)[:_MAX_PARAM]) for name, value in sweep["spec"].items()]
        self._client.log_batch(self._parent_id, params=params)

    def report(self, trial_id: str, config: Mapping[str, Any], row: Mapping[str, Any]) -> None:
        """Add an epoch's numbers."""
        now_ms = time.time_ns() // 1_000_000
        metrics = [
            Metric(name, float(row[name]), now_ms, row["epoch"])
            for name in CURVES
            if row.get(name) is not None
        ]
        self._client.log_batch(self._run_id(trial_id, config), metrics=metrics)

    def finish(self, trial_id: str, config: Mapping[str, Any], row: Mapping[str, Any]) -> None:
        """Add all figures and where the weights came from, and end the run."""
        run_id = self._run_id(trial_id, config)
        now_ms = time.time_ns() // 1_000_000
        metrics = [
            Metric(name, value, now_ms, row["epoch"] or 0)
            for name, value in final_figures(row).items()
            if name not in CURVES  # or each would end in the same point twice
        ]
        words = trial_words(row)
        # Params can't be changed. What PBT made of them is told as tags.
        first = self._first_configs.pop(trial_id)
        words |= {
            f"final.{name}": str(value)
            for name, value in config.items()
            if first.get(name) != value
        }
        self._client.log_batch(run_id, metrics=metrics, tags=_tags(words))
        self._client.set_terminated(run_id, _STATUS.get(row["status"], "FINISHED"))

    def examine(self, trial_id: str, scores: Mapping[str, float | None]) -> None:
        """Add a finalist's scores on the test part to its run."""
        now_ms = time.time_ns() // 1_000_000
        metrics = [Metric(n, v, now_ms, 0) for n, v in scores.items() if v is not None]
        self._client.log_batch(self._run_ids[trial_id], metrics=metrics)

    def conclude(self, run: Path, sweep: Mapping[str, Any]) -> None:
        """Add the report to the sweep's run, and end it."""
        self._client.log_batch(self._parent_id, tags=_tags(sweep_words(sweep, run)))
        if (run / _ARTIFACTS).is_dir():
            self._client.log_artifacts(self._parent_id, str(run / _ARTIFACTS), _ARTIFACTS)
        status = "KILLED" if sweep["status"] == "interrupted" else "FINISHED"
        self._client.set_terminated(self._parent_id, status)

    def _open_experiment(self, name: str) -> str:
        known = self._client.get_experiment_by_name(name)
        if known is not None:
            return str(known.experiment_id)
        return str(self._client.create_experiment(name))

    def _create(self, name: str, words: Mapping[str, str]) -> str:
        tags = {tag.key: tag.value for tag in _tags(words)}
        run = self._client.create_run(self._experiment_id, run_name=name, tags=tags)
        return str(run.info.run_id)

    def _run_id(self, trial_id: str, config: Mapping[str, Any]) -> str:
        """Return the run of a trial; a new one has its hyperparameters."""
        if trial_id not in self._run_ids:
            words = {MLFLOW_PARENT_RUN_ID: self._parent_id, "trial_id": trial_id}
            run_id = self._create(trial_id, words)
            params = [Param(name, str(value)[:_MAX_PARAM]) for name, value in config.items()]
            self._client.log_batch(run_id, params=params)
            self._run_ids[trial_id] = run_id
            self._first_configs[trial_id] = config
        return self._run_ids[trial_id]


def _tags(words: Mapping[str, str]) -> list[RunTag]:
    return [RunTag(name, text[:_MAX_TAG]) for name, text in words.items()]
