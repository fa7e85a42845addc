"""`--resume RUN`: what must be as it was, and what the run's journal tells."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from analysis.records import JOURNAL_FOLDER, SCHEMA_VERSION
from sweeps.draw import DrawnTrial
from sweeps.fetched_run import STORED_AT, bring_run
from sweeps.flags import parse_spec
from sweeps.journal import read_journal
from sweeps.past import Past, read_past
from sweeps.plan import SweepPlan
from sweeps.recorded_run import read_sweep
from sweeps.slo import Refusal
from sweeps.space_table import describe_space
from sweeps.spec import POPULATION, SweepSpec
from trainables.data.dataset import SplitData
from trainables.errors import InputError
from trainables.latency.figure import LatencyFigure
from trainables.trial_config import TrialConfig

MAY_CHANGE: Final = frozenset(
    {
        "budget_usd", "budget_gpu_hours", "time_limit", "price_usd_per_hour", "instance", "prices",
        "spot", "carbon_kg_per_kwh", "gangs", "workers_per_trial", "gpus_per_worker", "address",
        "data_dir", "latency_cache", "finalists", "robustness_samples", "attribution_samples",
        "finalist_latency_seconds", "compress_fraction", "checkpoint_epochs", "dry_run", "out",
        "resume", "overwrite", "own_space", "track", "checkpoint_quota_gb",
        "cluster_file", "node_types", "node_wait", "seeds",
    }
)  # fmt: skip
"""Fields of a spec that a resumed run may have otherwise; `own_space` is compared as a table."""


NOT_TOLD_AGAIN: Final = ("pb2",)
"""Schedulers whose state can't be had from the journal: PB2 keeps its data in private tables."""


@dataclass(frozen=True)
class Resumption:
    """A run that goes on.

    Attributes:
        sweep: its `sweep.json`.
        past: what its journal tells.
    """

    sweep: Mapping[str, Any]
    past: Past

    @property
    def next_number(self) -> int:
        """The number of the journal's next record."""
        return len(self.past.all_events)

    def kept(self, now: Mapping[str, Any]) -> dict[str, Any]:
        """Return what `sweep.json` keeps of before.

        Args:
            now: its content, as this process would write it.
        """
        again = {"command": now["command"], "unix_s": now["started_unix_s"]}
        return {
            "command": self.sweep["command"],
            "started_unix_s": self.sweep["started_unix_s"],
            "resumed": [*self.sweep.get("resumed", ()), again],
        }

    def trials(self, figure: Callable[[TrialConfig], LatencyFigure]) -> list[DrawnTrial]:
        """Return the trials of the run, as they were drawn.

        Args:
            figure: returns the latency of a config.
        """
        refused = {
            event.fields["trial_id"]: event.fields["reason"]
            for event in self.past.events
            if event.kind == "refuse"
        }
        drawn = []
        for event in self.past.events:
            if event.kind == "add":
                trial_id = event.fields["trial_id"]
                config = TrialConfig.from_dict(event.fields["config"])
                reason = refused.get(trial_id)
                refusal = None if reason is None else Refusal(reason, figure(config))
                drawn.append(DrawnTrial(trial_id, config, refusal))
        return drawn

    def check_plan(self, plan: SweepPlan, data: SplitData) -> None:
        """Check that what was planned now is what was planned then.

        Raises:
            InputError: if it is not; says what differs.
        """
        space = [dataclasses.asdict(entry) for entry in describe_space(plan.space, plan.fixed)]
        for name, now, then in (
            ("data", data.fingerprint, self.sweep["dataset"]["fingerprint"]),
            ("space", json.loads(json.dumps(space)), self.sweep["space"]),
            (
                "fixed hyperparameters",
                json.loads(json.dumps(dict(plan.fixed))),
                self.sweep["fixed"],
            ),
            ("mutable hyperparameters", sorted(plan.mutable), self.sweep["mutable"]),
        ):
            if now != then:
                raise InputError(
                    f"--resume must find the {name} that the run began with, got "
                    f"{_first(now, then)}; restore that, or start a new run"
                )


def _first(now: Any, then: Any) -> str:
    """Say where two values differ first."""
    if isinstance(now, list) and isinstance(then, list):
        pairs = [pair for pair in zip(now, then, strict=False) if pair[0] != pair[1]]
        if pairs:
            return f"{pairs[0][0]} where it had {pairs[0][1]}"
    return f"{now} where it had {then}"


def parse_sweep(default: SweepSpec) -> SweepSpec:
    """Read the command line; where it resumes a run, what it leaves out is as that run has it.

    Raises:
        InputError: as `parse_spec`, or if the run can't be resumed so.
    """
    spec = parse_spec(default)
    if spec.resume is None:
        return spec
    run = bring_run(spec.resume, spec.storage, spec.out)
    return dataclasses.replace(parse_spec(recorded_spec(default, run)), resume=run, out=run)


def read_resumption(spec: SweepSpec) -> Resumption:
    """Return what a run left behind, once it is clear that it can go on as the spec says.

    Raises:
        InputError: if there is no such run, its journal is broken, or the spec wants another sweep.
    """
    assert spec.resume is not None
    folder = Path(spec.resume)
    sweep = _read_sweep(folder)
    if spec.scheduler in NOT_TOLD_AGAIN:
        raise InputError(
            f"--resume must name a run of a scheduler that can be told again what it was told, got "
            f"{spec.scheduler} in {folder}; report on it, or start a new run"
        )
    _check_same(spec, recorded_spec(spec, spec.resume))
    past = read_past(read_journal(folder / JOURNAL_FOLDER))
    if not past.is_drawn:
        raise InputError(
            f"--resume must name a run whose trials were drawn, got {folder}, which ended before; "
            "start it again with --overwrite"
        )
    return Resumption(sweep, past)


def recorded_spec(default: SweepSpec, run: str) -> SweepSpec:
    """Return the spec of a run, with what it had chosen for the hardware and data it found.

    Args:
        default: gives the fields that `sweep.json` does not hold as they are.
        run: its folder.
    """
    sweep = _read_sweep(Path(run))
    names = {field.name for field in dataclasses.fields(SweepSpec)} - {"own_space", "resume", "out"}
    values = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in sweep["spec"].items()
        if name in names
    }
    chosen = {
        "trials": sweep["num_trials"],
        "epochs": sweep["num_epochs"],
        "perturbation_epochs": sweep["perturbation_epochs"],
        "limit_train": sweep["dataset"]["limit_train"],
        "objectives": tuple(sweep["objectives"]),
        "workers_per_trial": sweep["gangs"]["workers_per_gang"],
    }
    is_fixed = any(text.startswith("batch_size=") for text in values.get("fix", ()))
    if "batch_size" in sweep["fixed"] and not is_fixed:
        chosen["batch_size"] = sweep["fixed"]["batch_size"]
    changes = {"overwrite": False, "resume": run, "out": run}
    return dataclasses.replace(default, **{**values, **chosen, **changes})


def _read_sweep(folder: Path) -> dict[str, Any]:
    sweep = read_sweep(folder, "--resume must name")
    version = sweep.get("schema_version")
    if version != SCHEMA_VERSION:
        raise InputError(
            f"--resume must name a run of schema version {SCHEMA_VERSION}, got {version} in "
            f"{folder}; resume it with the version of paretune that wrote it"
        )
    if sweep["spec"]["storage"] is not None and STORED_AT not in sweep:
        raise InputError(
            f"--resume must name a run that lies in its storage, got {folder}, whose storage has "
            "checkpoints alone; resume it with the version of paretune that wrote it"
        )
    if not (folder / JOURNAL_FOLDER).is_dir():
        raise InputError(
            f"--resume must name a run with a journal, got {folder} without one; start a new run"
        )
    return sweep


def _check_same(spec: SweepSpec, recorded: SweepSpec) -> None:
    fixed = {field.name for field in dataclasses.fields(SweepSpec)} - MAY_CHANGE
    if spec.scheduler not in POPULATION and (spec.trials or 0) > (recorded.trials or 0):
        fixed.discard("trials")  # more of them change nothing for those that were
    differing = [
        (name, getattr(spec, name), getattr(recorded, name))
        for name in sorted(fixed)
        if getattr(spec, name) != getattr(recorded, name)
    ]
    if differing:
        words = ", ".join(
            f"--{name.replace('_', '-')} {_word(now)} where the run has {_word(then)}"
            for name, now, then in differing
        )
        raise InputError(
            f"--resume must keep what the run began with, got {words}; leave that out, or start a "
            "new run"
        )


def _word(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
