"""Prints how fast the models are where they are served."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from analysis.labels import printable
from analysis.serving import (
    MAX_LOST_FRACTION,
    MIN_AGREEMENT_FRACTION,
    ServingReport,
    Shipped,
)
from analysis.table import UNKNOWN, Column, fraction_column, print_columns, say

MAX_NAMES = 8

_STATUS_WORDS = {
    "undecided": "Latency interval reaches over the SLO, so they trained",
    "uncertain": "Latency uncertain after all tries, so not ranked by it",
    "failed": "Can't run as they would be served",
}


def print_latency_notes(serving: ServingReport, console: Console) -> None:
    """Print which trials' latencies say less than they should, or something else."""
    for status, trial_ids in serving.by_status.items():
        say(console, f"{_STATUS_WORDS[status]}: {_names(trial_ids)}", style="yellow")
    for runtime, trial_ids in serving.by_runtime.items():
        say(console, f"Measured in {runtime} instead: {_names(trial_ids)}", style="yellow")


def print_shipped(serving: ServingReport, console: Console) -> None:
    """Print what the finalists are as they would be shipped, if they were measured."""
    shipped = serving.shipped
    if not shipped:
        return
    console.print()
    say(console, "Finalists as they would be shipped", style="bold")
    before = Column("latency before training (ms)", [_figure(one.before_ms) for one in shipped])
    fixed = [
        Column("trial", _row_names(shipped), is_text=True),
        before,
        Column("latency after (ms)", [_latency(one) for one in shipped]),
        Column("rank by latency", [_rank(one) for one in shipped]),
        fraction_column("accuracy", [one.accuracy for one in shipped]),
        fraction_column("of eager fp32", [one.fp32_accuracy for one in shipped]),
        Column("to be shipped", [_verdict(one) for one in shipped], is_text=True),
    ]
    optional = [
        fraction_column("agreement", [one.agreement_fraction for one in shipped]),
        Column("interval (ms)", [_interval(one) for one in shipped]),
    ]
    if any(one.compression for one in shipped):
        fixed[1] = Column("parameters", [_count(one.num_parameters) for one in shipped])
        optional.insert(0, before)
    print_columns(fixed, optional, [""] * len(shipped), console)
    _print_notes(serving, console)


def _print_notes(serving: ServingReport, console: Console) -> None:
    kinds = sorted({f"{one.runtime} {one.precision}" for one in serving.shipped})
    count = serving.num_evaluated
    samples = "" if count is None else f"{count:,} samples of "
    say(
        console,
        f"In {', '.join(kinds)}, from the trained weights, after the search. Accuracy: on "
        f"{samples}the validation part. To be shipped: at most {100 * MAX_LOST_FRACTION:g} point "
        f"lost and {MIN_AGREEMENT_FRACTION:.0%} of the classes those of eager fp32.",
    )
    if any(one.compression for one in serving.shipped):
        say(
            console,
            "Pruned: that part of each layer's channels was removed, and the rest trained a "
            "little. Its accuracy of eager fp32 is that of the pruned model: compare with the "
            "finalist's own.",
        )
    for one in serving.shipped:
        if one.status != "exact":
            say(console, f"{_name(one)}: {one.status}: {one.reason}", style="yellow")
    moved = [one for one in serving.shipped if one.rank != one.rank_before]
    if moved:
        changes = ", ".join(f"{one.trial_id} {_rank(one)}" for one in moved)
        say(console, f"Ranks by latency that training changed: {changes}", style="yellow")


def _names(trial_ids: Sequence[str]) -> str:
    rest = len(trial_ids) - MAX_NAMES
    return ", ".join(trial_ids[:MAX_NAMES]) + (f" and {rest:,} more" if rest > 0 else "")


def _row_names(shipped: Sequence[Shipped]) -> list[str]:
    """Return names of which a compressed model's is short below its finalist's row."""
    above = [None, *(one.trial_id for one in shipped)]
    return [
        one.compression if one.compression and one.trial_id == above[index] else _name(one)
        for index, one in enumerate(shipped)
    ]


def _name(one: Shipped) -> str:
    return printable(f"{one.trial_id} {one.compression}" if one.compression else one.trial_id)


def _count(value: int | None) -> str:
    return UNKNOWN if value is None else f"{value:,}"


def _figure(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.4g}"


def _latency(one: Shipped) -> str:
    return _figure(one.latency_ms) + ("?" if one.status == "uncertain" else "")


def _interval(one: Shipped) -> str:
    return f"{_figure(one.low_ms)} to {_figure(one.high_ms)}"


def _rank(one: Shipped) -> str:
    if one.rank is None:
        return UNKNOWN
    return str(one.rank) if one.rank == one.rank_before else f"{one.rank_before} -> {one.rank}"


def _verdict(one: Shipped) -> str:
    """Return whether a finalist may be shipped, or what speaks against it."""
    if one.status == "failed":
        return "no: failed"
    doubts = [*one.objections, *(["SLO undecided"] if one.slo == "undecided" else [])]
    if doubts:
        return ", ".join(doubts)
    return "accuracy unknown" if one.is_accepted is None else "yes"
