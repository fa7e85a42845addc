"""Weights & Biases: a group for the sweep, with a run for it and one for each trial.

Without an account runs are kept in the run folder, and `wandb sync` sends them later. Ray's own
callback (`ray.air.integrations.wandb`) is not used: it starts a process a trial, wants an account,
and sees a packed result without lineage or end.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # it sends word of its failures otherwise

import wandb

from sweeps.trackers.protocol import CURVES
from sweeps.trackers.trial_words import final_figures, sweep_words, trial_words

PROJECT: Final = "paretune"
"""Unless WANDB_PROJECT says otherwise."""

_LIMIT_S: Final = 30
_MAX_TAG: Final = 64  # characters, as W&B has it


class WandbTracker:
    """Writes as `WANDB_MODE`, `WANDB_PROJECT` and `WANDB_DIR` say.

    Args:
        sweep: content of `sweep.json`.
        run: run folder.
    """

    def __init__(self, sweep: Mapping[str, Any], run: Path) -> None:
        self._group = run.name
        self._folder = run
        self._runs: dict[str, wandb.Run] = {}
        self._parent = self._init("sweep", run.name, {**sweep["spec"], **sweep_words(sweep, run)})

    def report(self, trial_id: str, config: Mapping[str, Any], row: Mapping[str, Any]) -> None:
        """Add an epoch's numbers."""
        curves = {name: row[name] for name in CURVES if row.get(name) is not None}
        self._run(trial_id, config).log({**curves, "epoch": row["epoch"]})

    def finish(self, trial_id: str, config: Mapping[str, Any], row: Mapping[str, Any]) -> None:
        """Add all figures and where the weights came from, and end the run."""
        run = self._run(trial_id, config)
        run.config.update(dict(config), allow_val_change=True)  # PBT changes it
        run.summary.update({**final_figures(row), **trial_words(row)})
        donors = {step["parent_trial_id"] for step in row["lineage"]} - {None}
        tags = [row["status"], *(f"donor:{donor}"[:_MAX_TAG] for donor in sorted(donors))]
        run.tags = (*(run.tags or ()), *tags)
        run.finish(exit_code=int(row["status"] == "failed"))
        del self._runs[trial_id]

    def examine(self, trial_id: str, scores: Mapping[str, float | None]) -> None:
        """Add a finalist's scores on the test part to the sweep's run: its own has ended."""
        told = {f"{trial_id}/{name}": value for name, value in scores.items() if value is not None}
        self._parent.summary.update(told)

    def conclude(self, run: Path, sweep: Mapping[str, Any]) -> None:
        """Add the report to the sweep's run, and end all that still run."""
        self._parent.summary.update({"status": sweep["status"], **(sweep.get("totals") or {})})
        pictures = {path.stem: wandb.Image(str(path)) for path in run.glob("report/*.png")}
        if pictures:
            self._parent.log(pictures)
            report = wandb.Artifact(f"{self._group}-report", "report")
            for path in sorted((run / "report").iterdir()):
                report.add_file(str(path))  # add_dir would print
            self._parent.log_artifact(report)
        for one in (*self._runs.values(), self._parent):
            one.finish()

    def _run(self, trial_id: str, config: Mapping[str, Any]) -> wandb.Run:
        if trial_id not in self._runs:
            self._runs[trial_id] = self._init("trial", trial_id, config)
        return self._runs[trial_id]

    def _init(self, kind: str, name: str, config: Mapping[str, Any]) -> wandb.Run:
        run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            group=self._group,
            job_type=kind,
            name=name,
            config=dict(config),
            dir=os.environ.get("WANDB_DIR", str(self._folder)),
            mode=None if _has_account() else "offline",
            reinit="create_new",
            settings=wandb.Settings(
                silent=True,
                console="off",
                disable_code=True,
                disable_git=True,
                x_disable_stats=True,
                x_save_requirements=False,
                init_timeout=_LIMIT_S,
                finish_timeout=_LIMIT_S,
            ),
        )
        run.define_metric("*", step_metric="epoch")
        return run


def _has_account() -> bool:
    """Return whether the user has said how, or W&B knows who they are."""
    return "WANDB_MODE" in os.environ or wandb.login(prompt=False, verify=False)
