"""Prints a ranking in the terminal."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from rich.console import Console

from analysis.certainty import weigh_finalists
from analysis.choice import KNEE_DEFINITIONS
from analysis.configs import differing_keys
from analysis.finalists import Finalist, num_robustness_samples
from analysis.hypervolume import REFERENCE_RULE
from analysis.labels import (
    format_value,
    format_values,
    format_with_unit,
    printable,
    unit_of,
    words_of,
)
from analysis.ledger import sum_ledger
from analysis.load import Run
from analysis.ranking import RankedTrial, Ranking
from analysis.records import LEDGER_KINDS, Objective
from analysis.seeds_summary import print_seeds
from analysis.serving import gather_serving
from analysis.serving_summary import print_latency_notes, print_shipped
from analysis.table import UNKNOWN, Column, fraction_column, print_columns, say

MAX_ROWS = 20
MAX_REASONS = 5


def print_summary(
    run: Run, ranking: Ranking, finalists: Sequence[Finalist], console: Console
) -> None:
    """Print what the run found: the ranked trials, the front's hypervolume, knee and members.

    Then what the finalists did on the test part, what further seeds say of them and what they are
    as shipped, if there are any, and where the time went. Text from the run folder is printed as
    it is, never read as markup, and each command stands on one line of its own, however narrow the
    terminal.
    """
    serving = gather_serving(run)
    _print_head(run, ranking, console)
    if not ranking.rows:
        say(console, "No trial can be ranked.", style="bold red")
        _print_unranked(ranking, console)
        print_latency_notes(serving, console)
        _print_ledger(run, console)
        return
    _print_table(ranking, console)
    _print_unranked(ranking, console)
    print_latency_notes(serving, console)
    _print_hypervolume(ranking, console)
    _print_members(ranking, console)
    if finalists:
        _print_finalists(finalists, console)
    certainty = weigh_finalists(run, ranking)
    if certainty is not None:
        print_seeds(certainty, console)
    print_shipped(serving, console)
    _print_ledger(run, console)


def _print_head(run: Run, ranking: Ranking, console: Console) -> None:
    say(console, f"Sweep {ranking.name}", style="bold")
    say(console, f"Data set: {ranking.dataset}")
    say(console, f"Objectives: {', '.join(map(str, ranking.objectives))}")
    if ranking.serving is not None:
        say(console, f"Latency: {ranking.serving}")
    counts = ", ".join(f"{count:,} {status}" for status, count in ranking.status_counts.items())
    say(console, f"Trials: {counts or 'none'}; {len(ranking.rows):,} ranked")
    totals = run.spec.get("totals")
    if isinstance(totals, dict):
        figures = [
            f"{words_of(key)} {format_with_unit(key, value)}"
            for key, value in totals.items()
            if isinstance(value, (int, float)) and not isinstance(value, bool)
        ]
        if figures:
            say(console, f"Totals: {', '.join(figures)}")
    if ranking.sweep_status != "finished":
        say(
            console,
            f"The sweep had not finished when this was read (status: {ranking.sweep_status}): "
            "running trials stand with their last report.",
            style="yellow",
        )


def _print_table(ranking: Ranking, console: Console) -> None:
    """Print the first rows with as many of the differing config keys as fit."""
    shown = ranking.rows[:MAX_ROWS]
    optional = [
        Column(printable(key), [_config_cell(row.config.get(key)) for row in shown])
        for key in differing_keys([row.config for row in ranking.rows])
    ]
    styles = ["bold green" if row.is_knee else "green" if row.is_front else "" for row in shown]
    left_out = print_columns(_fixed_columns(ranking, shown), optional, styles, console)
    hidden = len(ranking.rows) - len(shown)
    if hidden:
        say(console, f"... and {hidden:,} more ranked trials in report/front.csv")
    if left_out:
        say(console, f"Config keys that also differ, no room here: {', '.join(left_out)}")


def _fixed_columns(ranking: Ranking, rows: Sequence[RankedTrial]) -> list[Column]:
    """Return what stands in a table of trials before their configs."""
    return [
        Column("rank", ["0 knee" if row.is_knee else str(row.rank) for row in rows]),
        Column("trial", [printable(row.trial_id) for row in rows], is_text=True),
        Column("status", [row.status for row in rows], is_text=True),
        *(
            Column(
                _heading(objective), [format_value(objective.column, row.values[i]) for row in rows]
            )
            for i, objective in enumerate(ranking.objectives)
        ),
        Column("epoch", [str(row.epoch) for row in rows]),
    ]


def _heading(objective: Objective) -> str:
    unit = unit_of(objective.column)
    notes = f"{unit}, {objective.direction}" if unit else objective.direction
    return f"{words_of(objective.column)}\n({notes})"


def _config_cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return printable(value if isinstance(value, str) else json.dumps(value))


def _print_unranked(ranking: Ranking, console: Console) -> None:
    """Print how many trials could not be ranked and the most frequent reasons."""
    if not ranking.unranked:
        return
    say(console, f"Not ranked: {len(ranking.unranked):,} trials", style="yellow")
    reasons = Counter(trial.why for trial in ranking.unranked)
    example = {trial.why: trial.trial_id for trial in reversed(ranking.unranked)}
    for why, count in reasons.most_common(MAX_REASONS):
        say(console, f"  {count:,} x {why} (such as {example[why]})")
    if len(reasons) > MAX_REASONS:
        say(console, f"  ... and {len(reasons) - MAX_REASONS:,} other reasons in trials.parquet")


def _print_hypervolume(ranking: Ranking, console: Console) -> None:
    assert ranking.reference is not None
    assert ranking.hypervolume is not None
    origin = "as given" if ranking.is_reference_given else REFERENCE_RULE
    point = format_values(ranking.objectives, ranking.reference)
    console.print()
    say(console, f"Hypervolume {ranking.hypervolume:.6g}", style="bold")
    say(console, f"  reference point: {point} ({origin})")


def _print_members(ranking: Ranking, console: Console) -> None:
    """Print config, checkpoint and command of the knee, then of the front's other members."""
    knee, front = ranking.knee, ranking.front
    assert knee is not None
    say(console, f"Knee: trial {knee.trial_id}", style="bold")
    say(console, f"  {format_values(ranking.objectives, knee.values)}")
    say(console, f"  knee: {KNEE_DEFINITIONS['ideal']}")
    console.print()
    say(console, f"Front: {len(front):,} trials that nothing dominates", style="bold")
    shown = [row for row in front[:MAX_ROWS] if row is not knee]
    keys = differing_keys([row.config for row in ranking.rows])
    if keys:
        say(console, "  config: where trials differ; report/front.csv has the whole")
    for row in [knee, *shown]:
        mark = " (knee)" if row.is_knee else ""
        say(console, f"{row.trial_id}{mark}", style="green")
        say(console, f"  {format_values(ranking.objectives, row.values)}")
        config = {key: row.config[key] for key in keys if key in row.config} or row.config
        say(console, f"  config: {json.dumps(config)}")
        say(console, f"  checkpoint: {row.checkpoint or 'none'}")
        if row.reproduce:
            say(console, "  reproduce:")
            say(console, row.reproduce)
        else:
            say(console, "  reproduce: no command recorded")
    hidden = len(front) - len(shown) - 1
    if hidden:
        say(console, f"... and {hidden:,} more members of the front in report/front.csv")


def _print_finalists(finalists: Sequence[Finalist], console: Console) -> None:
    """Print what the finalists did on the test part beside what they were chosen by."""
    console.print()
    say(console, "Finalists on the test part", style="bold")
    fixed = [
        Column("trial", [printable(finalist.trial_id) for finalist in finalists], is_text=True),
        fraction_column("validation accuracy", [finalist.val_accuracy for finalist in finalists]),
        _test_column("test accuracy", "test_accuracy", finalists),
        Column("difference (points)", [_points(finalist.bias) for finalist in finalists]),
    ]
    robust = [
        fraction_column(f"under {kind}", [finalist.mean_accuracy(kind) for finalist in finalists])
        for kind in ("corruption", "attack")
        if any(finalist.mean_accuracy(kind) is not None for finalist in finalists)
    ]
    optional = [
        *robust,
        _test_column("F1 macro", "test_f1_macro", finalists),
        _test_column("ECE", "test_ece", finalists),
        _test_column("ROC-AUC", "test_roc_auc", finalists),
    ]
    left_out = print_columns(fixed, optional, [""] * len(finalists), console)
    if left_out:
        names = ", ".join(left_out)
        say(console, f"No room here: {names}; scores stand in report/front.csv too")
    say(
        console,
        "The test part was read once, after the search, for these trials only. Difference: test "
        "minus validation accuracy, the bias of having chosen by the latter.",
    )
    if robust:
        say(
            console,
            "Under corruption and attack: mean accuracy over all kinds and severities, on "
            f"{num_robustness_samples(finalists)} test samples.",
        )


def _print_ledger(run: Run, console: Console) -> None:
    """Print to what the gangs' time went, and the money with it."""
    sums = sum_ledger(run.ledger)
    if not sums:
        return
    console.print()
    say(console, "Where the gangs' time went", style="bold")
    columns = [
        Column("what", [entry.kind.replace("_", "-") for entry in sums], is_text=True),
        Column("gang time (s)", [f"{entry.seconds:.1f}" for entry in sums]),
        Column("share", [f"{entry.fraction:.1%}" for entry in sums]),
    ]
    if all(entry.cost_usd is not None for entry in sums):
        columns.append(Column("cost (USD)", [f"{entry.cost_usd:.4g}" for entry in sums]))
    why = Column("", [LEDGER_KINDS[entry.kind] for entry in sums], is_text=True)
    print_columns(columns, [why], [""] * len(sums), console)


def _test_column(heading: str, column: str, finalists: Sequence[Finalist]) -> Column:
    return fraction_column(heading, [finalist.scores[column] for finalist in finalists])


def _points(difference: float | None) -> str:
    return UNKNOWN if difference is None else f"{100 * difference:+.2f}"
