"""A run during and after the sweep: checks of what its tables say."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from sweeps.doctor.finding import Finding, Level

MAX_IDLE_FRACTION: Final = 0.2
MAX_AROUND_FRACTION: Final = 0.3
"""Of a gang's time: saving, loading and waiting beside training and validation."""

MIN_FAILURES: Final = 2
"""Trials with the same value that failed, and no other did: fewer are chance."""

Row = Mapping[str, Any]


def check_exploits(
    trials: Sequence[Row], scheduler: str, perturbation_epochs: int
) -> Finding | None:
    """Check that a population copied anything; None for other schedulers.

    Args:
        trials: rows of `trials.parquet`.
        scheduler: of the sweep.
        perturbation_epochs: between two decisions.
    """
    if scheduler not in ("pbt", "mo_pbt"):
        return None
    num_exploits = sum(trial["num_exploits"] or 0 for trial in trials)
    num_due = sum((trial["epoch"] or 0) // max(1, perturbation_epochs) for trial in trials)
    value = f"{num_exploits} in {num_due} decisions of {scheduler}"
    if num_exploits or num_due < max(1, 2 * len(trials)):
        return Finding("ok", "exploits", value)
    step = "raise --trials (a quarter of them is replaced), or lower --perturbation-epochs"
    return Finding("fault", "exploits", value, step)


def check_idle(spans: Sequence[Row]) -> Finding:
    """Check which part of the gangs' time nothing was trained in, between their first and last."""
    seconds: dict[str, float] = defaultdict(float)
    for span in spans:
        seconds[span["kind"]] += span["ended_s"] - span["started_s"]
    total_s = sum(seconds.values())
    if total_s <= 0:
        return Finding("ok", "idle", "no gang was held yet")
    fraction = seconds["idle"] / total_s
    value = f"{fraction:.0%} of {total_s:.0f} s in which gangs were held"
    if fraction > MAX_IDLE_FRACTION:
        step = "lower --gangs, or raise --trials: gangs wait for one another at the end"
        return Finding("warning", "idle", value, step)
    return Finding("ok", "idle", value)


def check_failures(trials: Sequence[Row], configs: Sequence[Row]) -> list[Finding]:
    """Look for a value with which every trial failed, while others trained.

    Args:
        trials: rows of `trials.parquet`.
        configs: of these trials.
    """
    begun = [
        (trial["status"] == "failed", config)
        for trial, config in zip(trials, configs, strict=True)
        if trial["status"] == "failed" or (trial["epoch"] or 0) > 0
    ]
    num_failed = sum(has_failed for has_failed, _ in begun)
    if not num_failed:
        return [Finding("ok", "failures", f"none in {len(begun)} trials that began")]
    reason = _first_line(next(trial["reason"] for trial in trials if trial["status"] == "failed"))
    if num_failed == len(begun):
        value = f"all {num_failed} trials that began: {reason}"
        return [Finding("fault", "failures", value, "see reason in trials.parquet")]
    outcomes: dict[tuple[str, str], list[bool]] = defaultdict(list)
    for has_failed, config in begun:
        for name, entry in config.items():
            if isinstance(entry, str | bool | int):
                outcomes[name, json.dumps(entry)].append(has_failed)
    guilty = [
        Finding(
            "warning",
            "failures",
            f"all {len(of_value)} trials with {name} = {text}, e.g. {reason}",
            f"leave it out of the space, or look at the model with --fix {name}={text}",
        )
        for (name, text), of_value in outcomes.items()
        if len(of_value) >= MIN_FAILURES and all(of_value)
    ]
    value = f"{num_failed} of {len(begun)} trials, e.g. {reason}"
    return guilty or [Finding("warning", "failures", value, "see reason in trials.parquet")]


def check_duplicates(first_configs: Iterable[str]) -> Finding:
    """Check that no config was drawn twice, seeds aside.

    Args:
        first_configs: with which trials began, as JSON.
    """
    counts = Counter(first_configs)
    num_trials = sum(counts.values())
    num_more = num_trials - len(counts)
    if not num_more:
        return Finding("ok", "duplicates", f"none in {num_trials} configs")
    level: Level = "warning"
    value = f"{num_more} of {num_trials} configs had been drawn before"
    return Finding(level, "duplicates", value, "lower --trials, or widen --space")


def check_churn(results: Sequence[Row], checkpoint_epochs: int) -> Finding:
    """Check how much of the gangs' time goes into what is around an epoch: saving, above all.

    Args:
        results: rows of `results.parquet`.
        checkpoint_epochs: of the sweep.
    """
    held_s: dict[str, float] = defaultdict(float)
    trained_s = 0.0
    for row in results:
        held_s[row["trial_id"]] = max(held_s[row["trial_id"]], row["gang_seconds"] or 0.0)
        trained_s += (row["train_seconds"] or 0.0) + (row["val_seconds"] or 0.0)
    total_s = sum(held_s.values())
    if total_s <= 0:
        return Finding("ok", "checkpoint churn", "no epoch was reported yet")
    fraction = max(0.0, 1 - trained_s / total_s)
    value = f"{fraction:.0%} of the trials' time is saving, loading and waiting"
    if fraction > MAX_AROUND_FRACTION:
        step = f"raise --checkpoint-epochs ({checkpoint_epochs}), or give a nearer --storage"
        return Finding("warning", "checkpoint churn", value, step)
    return Finding("ok", "checkpoint churn", value)


def check_left_checkpoints(present: set[str], named: set[str], *, has_ended: bool) -> Finding:
    """Check that after the end only checkpoints lie there that a trial names.

    Args:
        present: keys of checkpoints in storage.
        named: keys in `trials.parquet`, and those that they came from.
        has_ended: whether the sweep has.
    """
    left, missing = present - named, named - present
    if missing and has_ended:
        value = f"{len(missing)} are named and not there, e.g. {min(missing)}"
        return Finding("fault", "checkpoints", value, "copy them, or train again (reproduce)")
    value = f"{len(present)} in storage, {len(named)} named by trials"
    if left and has_ended:
        step = f"nothing needs the others, e.g. {min(left)}: delete them by hand"
        return Finding("warning", "checkpoints", value, step)
    return Finding("ok", "checkpoints", value)


def check_processes(is_driver_alive: bool, status: str, left: Mapping[int, str]) -> Finding:
    """Check that nothing of a run that ended is left, and that one that runs has its driver.

    Args:
        is_driver_alive: the process that wrote the run.
        status: of the run.
        left: names of processes of its cluster, by pid.
    """
    named = ", ".join(f"{pid} {name}" for pid, name in sorted(left.items())[:4])
    if is_driver_alive:
        return Finding("ok", "processes", f"the sweep runs, with {len(left)} of Ray's")
    if left:
        value = f"{len(left)} of Ray's are left though the sweep has ended: {named}"
        return Finding("fault", "processes", value, f"kill {' '.join(map(str, sorted(left)))}")
    if status == "running":
        value = "the sweep was killed: its driver is gone"
        return Finding("fault", "processes", value, "what it wrote can be reported on")
    return Finding("ok", "processes", "none is left")


def check_placement_groups(left: Sequence[str], *, has_ended: bool) -> Finding:
    """Check that a run that ended holds no machines of a cluster.

    Args:
        left: ids of placement groups that the run made and that still stand.
        has_ended: whether the sweep has.
    """
    if not left or not has_ended:
        return Finding("ok", "placement groups", f"{len(left)} of this run")
    value = f"{len(left)} are left though the sweep has ended, e.g. {left[0]}"
    step = "ray.util.remove_placement_group, or restart the cluster: they hold its machines"
    return Finding("fault", "placement groups", value, step)


def _first_line(text: str | None) -> str:
    return (text or "no reason given").strip().partition("\n")[0][:120]
