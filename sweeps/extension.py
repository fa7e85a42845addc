"""`--extend RUN`: a sweep that has ended is given more trials or epochs, or is judged anew.

What was trained stays trained. Trials that were trained to the end go on from their checkpoints,
in more epochs; those that the scheduler or their patience stopped stay as they are. The scheduler
hears of the next report of a trial that goes on as of any other: it decides by its own rule.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sweeps.journal import Event
from sweeps.past import Past
from sweeps.plan import SweepPlan
from sweeps.spec import SweepSpec
from trainables.errors import InputError

SERVING: Final = (
    "runtime", "precision", "fallback_runtime", "latency_batch_size", "latency_threads",
    "latency_device", "serving_price_usd_per_hour",
)  # fmt: skip
"""How models will be served: with another way the architectures are measured, not trained."""

EXTENDED: Final = ("trials", "epochs", "objectives", *SERVING)
"""Fields of a spec that an extended run may have otherwise; trials and epochs only more."""

FOLLOW_EPOCHS: Final = ("num_epochs", "warmup_epochs")
"""Hyperparameters that are chosen by the number of epochs."""

_CALLS: Final = "more --trials or --epochs, other --objectives or another --runtime"

Changes = Mapping[str, tuple[Any, Any]]
"""What a run had and has now, by field."""


def changes_of(spec: SweepSpec, recorded: SweepSpec) -> dict[str, tuple[Any, Any]]:
    """Return what an extended run had and shall have now, by field."""
    pairs = {name: (getattr(recorded, name), getattr(spec, name)) for name in EXTENDED}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def check_extension(spec: SweepSpec, changes: Changes, past: Past) -> None:
    """Check that a run can be extended so.

    Args:
        spec: asked for.
        changes: what of it is new.
        past: what the run's journal tells.

    Raises:
        InputError: if it can't be.
    """
    if not changes:
        raise InputError(
            f"--extend must come with {_CALLS}, got none of them for {spec.extend}; add one"
        )
    if past.unended:
        raise InputError(
            f"--extend must name a run whose trials have all ended, got {spec.extend} with "
            f"{len(past.unended)} that have not; go on with it first: --resume {spec.extend}"
        )
    if "epochs" in changes and spec.scheduler == "hyperband":
        raise InputError(
            "--epochs must stay as they are with hyperband, whose brackets are made of them, got "
            f"{spec.epochs} where the run has {changes['epochs'][0]}; start a new run"
        )
    if "epochs" in changes and not past.completed:
        raise InputError(
            "--epochs may be more where a trial was trained to the end and has its last "
            f"checkpoint, got {spec.epochs} for {spec.extend} without one; start a new run"
        )
    served = [name for name in SERVING if name in changes]
    if served and spec.latency_slo_ms is not None:
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in served)
        raise InputError(
            f"{flags} must stay as the run has it where --latency-slo-ms decided what trained, got "
            f"{changes[served[0]][1]} where it has {changes[served[0]][0]}; start a new run"
        )


def check_searcher(plan: SweepPlan, sweep: Mapping[str, Any], changes: Changes) -> None:
    """Check that a searcher which adapts can choose more trials.

    It is told all again, and must suggest what it did: with other objectives it would not.

    Args:
        plan: of now.
        sweep: the run's `sweep.json`.
        changes: what is new.

    Raises:
        InputError: if it can't.
    """
    if "trials" not in changes or {plan.searcher, sweep["searcher"]} == {"random"}:
        return
    earlier = [entry.get("extended", {}) for entry in sweep.get("resumed", ())]
    others = {name for entry in (changes, *earlier) for name in entry} - {"trials"}
    if others:
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in sorted(others))
        raise InputError(
            f"--trials must stay as they are with {sweep['searcher']}, which chose by what the run "
            f"was, where {flags} changed, got {changes['trials'][1]} where it has "
            f"{changes['trials'][0]}; ask for more trials before that"
        )


def reopenings(past: Past, num_epochs: int) -> list[Event]:
    """Return the events of trials that go on, with the config that they then have."""
    first_number = len(past.all_events) + 1  # after that of the process
    goes_on = {
        trial_id: {**standstill.config, "num_epochs": num_epochs}
        for trial_id, standstill in past.completed.items()
        if standstill.config["num_epochs"] < num_epochs
    }
    return [
        Event(first_number + n, "reopen", {"trial_id": trial_id, "config": config})
        for n, (trial_id, config) in enumerate(goes_on.items())
    ]


def extension_words(changes: Changes, reopened: list[Event]) -> str:
    """Return what is new, in one line."""
    parts = [
        f"--{name.replace('_', '-')} {_word(now)} in place of {_word(then)}"
        for name, (then, now) in changes.items()
    ]
    schedules = {e.fields["config"].get("schedule") for e in reopened} - {None, "constant"}
    if reopened:
        parts.append(f"{len(reopened)} trials that were trained to the end go on")
    if schedules:
        parts.append(
            f"their learning rate by {' and '.join(sorted(schedules))} rises to where that of "
            f"{changes['epochs'][1]} epochs is by then"
        )
    return "; ".join(parts)


def _word(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
