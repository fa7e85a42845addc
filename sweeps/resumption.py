"""`--resume RUN`, `--extend RUN`: what must be as it was, and what the run's journal tells."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from analysis.records import JOURNAL_FOLDER, LATENCY_FILE, LATENCY_SCHEMA, SCHEMA_VERSION
from sweeps.draw import DrawnTrial
from sweeps.extension import (
    FOLLOW_EPOCHS,
    SERVING,
    Changes,
    changes_of,
    check_extension,
    check_searcher,
    extension_words,
    reopenings,
)
from sweeps.fetched_run import STORED_AT, bring_run
from sweeps.flags import parse_spec
from sweeps.journal import Event, read_journal
from sweeps.past import Past, read_past
from sweeps.plan import SweepPlan
from sweeps.recorded_run import read_rows, read_sweep
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
        "resume", "extend", "overwrite", "own_space", "track", "checkpoint_quota_gb",
        "cluster_file", "node_types", "node_wait", "seeds",
    }
)  # fmt: skip
"""Fields of a spec that a resumed run may have otherwise; `own_space` is compared as a table."""

_FIELDS: Final = frozenset(field.name for field in dataclasses.fields(SweepSpec))


@dataclass(frozen=True)
class Resumption:
    """A run that goes on.

    Attributes:
        folder: its run folder.
        sweep: its `sweep.json`.
        past: what its journal tells, with the trials that go on in more epochs.
        next_number: of the journal's next record.
        changes: what is extended.
        reopened: events of the trials that go on in more epochs, which are to be written.
    """

    folder: Path
    sweep: Mapping[str, Any]
    past: Past
    next_number: int
    changes: Changes = field(default_factory=dict)
    reopened: list[Event] = field(default_factory=list)

    @property
    def lines(self) -> list[str]:
        """What goes on, for the user."""
        resumed = [f"resumed    {self.past.words}"]
        if not self.changes:
            return resumed
        return [*resumed, f"extended   {extension_words(self.changes, self.reopened)}"]

    def kept(self, now: Mapping[str, Any]) -> dict[str, Any]:
        """Return what `sweep.json` keeps of before.

        Args:
            now: its content, as this process would write it.
        """
        again = {"command": now["command"], "unix_s": now["started_unix_s"]}
        if self.changes:
            again["extended"] = {
                name: {"before": then, "now": now} for name, (then, now) in self.changes.items()
            }
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
        configs = {
            event.fields["trial_id"]: TrialConfig.from_dict(event.fields["config"])
            for event in self.past.events
            if event.kind in ("add", "reopen")
        }
        drawn = []
        for trial_id, config in configs.items():
            reason = refused.get(trial_id)
            refusal = None if reason is None else Refusal(reason, figure(config))
            drawn.append(DrawnTrial(trial_id, config, refusal))
        return drawn

    def latencies(self) -> list[LatencyFigure]:
        """Return the figures that the run went by; none where its models are served otherwise."""
        if not self.changes.keys().isdisjoint(SERVING):
            return []
        rows = read_rows(self.folder, LATENCY_FILE, LATENCY_SCHEMA, is_required=False)
        return [LatencyFigure(**row) for row in rows]

    def check_plan(self, plan: SweepPlan, data: SplitData) -> None:
        """Check that what was planned now is what was planned then.

        Raises:
            InputError: if it is not; says what differs.
        """
        check_searcher(plan, self.sweep, self.changes)
        space = [dataclasses.asdict(entry) for entry in describe_space(plan.space, plan.fixed)]
        follow = FOLLOW_EPOCHS if "epochs" in self.changes else ()
        for name, now, then in (
            ("data", data.fingerprint, self.sweep["dataset"]["fingerprint"]),
            ("space", json.loads(json.dumps(space)), self.sweep["space"]),
            (
                "fixed hyperparameters",
                _without(json.loads(json.dumps(dict(plan.fixed))), follow),
                _without(self.sweep["fixed"], follow),
            ),
            ("mutable hyperparameters", sorted(plan.mutable), self.sweep["mutable"]),
        ):
            if now != then:
                raise InputError(
                    f"{_flag(plan.spec)} must find the {name} that the run began with, got "
                    f"{_first(now, then)}; restore that, or start a new run"
                )


def _without(fields: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name not in names}


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
    if spec.resume is not None and spec.extend is not None:
        raise InputError(
            f"--extend must be left out with --resume, got {spec.extend} and {spec.resume}; go on "
            "with the run first, then extend it"
        )
    given = spec.extend or spec.resume
    if given is None:
        return spec
    run, flag = bring_run(given, spec.storage, spec.out), _flag(spec)
    spec = parse_spec(recorded_spec(default, run, flag))
    extended = None if spec.extend is None else run
    return dataclasses.replace(spec, resume=run, extend=extended, out=run)


def read_resumption(spec: SweepSpec) -> Resumption:
    """Return what a run left behind, once it is clear that it can go on as the spec says.

    Raises:
        InputError: if there is no such run, its journal is broken, or the spec wants another sweep.
    """
    assert spec.resume is not None
    folder, flag = Path(spec.resume), _flag(spec)
    sweep = _read_sweep(folder, flag)
    recorded = recorded_spec(spec, spec.resume, flag)
    changes = {} if spec.extend is None else changes_of(spec, recorded)
    _check_same(spec, recorded)
    events = read_journal(folder / JOURNAL_FOLDER)
    past = read_past(events)
    if not past.is_drawn:
        raise InputError(
            f"{flag} must name a run whose trials were drawn, got {folder}, which ended before; "
            "start it again with --overwrite"
        )
    if spec.extend is None:
        return Resumption(folder, sweep, past, len(events))
    check_extension(spec, changes, past)
    reopened = reopenings(past, spec.epochs) if "epochs" in changes and spec.epochs else []
    past = read_past(events + reopened)
    return Resumption(folder, sweep, past, len(events), changes, reopened)


def recorded_spec(default: SweepSpec, run: str, flag: str = "--resume") -> SweepSpec:
    """Return the spec of a run, with what it had chosen for the hardware and data it found.

    Args:
        default: gives the fields that `sweep.json` does not hold as they are.
        run: its folder.
        flag: that names it.
    """
    sweep = _read_sweep(Path(run), flag)
    names = _FIELDS - {"own_space", "resume", "extend", "out"}
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


def _flag(spec: SweepSpec) -> str:
    return "--resume" if spec.extend is None else "--extend"


def _read_sweep(folder: Path, flag: str) -> dict[str, Any]:
    sweep = read_sweep(folder, f"{flag} must name")
    version = sweep.get("schema_version")
    if version != SCHEMA_VERSION:
        raise InputError(
            f"{flag} must name a run of schema version {SCHEMA_VERSION}, got {version} in "
            f"{folder}; go on with it in the version of paretune that wrote it"
        )
    if sweep["spec"]["storage"] is not None and STORED_AT not in sweep:
        raise InputError(
            f"{flag} must name a run that lies in its storage, got {folder}, whose storage has "
            "checkpoints alone; resume it with the version of paretune that wrote it"
        )
    if not (folder / JOURNAL_FOLDER).is_dir():
        raise InputError(
            f"{flag} must name a run with a journal, got {folder} without one; start a new run"
        )
    return sweep


def _check_same(spec: SweepSpec, recorded: SweepSpec) -> None:
    fixed = set(_FIELDS - MAY_CHANGE)
    if spec.extend is not None:
        fixed -= {"objectives", *SERVING}
        if (spec.epochs or 0) > (recorded.epochs or 0):
            fixed.discard("epochs")
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
            f"{_flag(spec)} must keep what the run began with, got {words}; leave that out, or "
            "start a new run"
        )


def _word(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
