"""Prints what further seeds say of the finalists and their front."""

from __future__ import annotations

from rich.console import Console

from analysis.certainty import Certainty
from analysis.evidence import format_odds
from analysis.labels import difference, format_value, printable, words_of
from analysis.table import Column, print_columns, say


def print_seeds(certainty: Certainty, console: Console) -> None:
    """Print finalists with their means over seeds, and how sure their front is."""
    estimates = certainty.estimates
    console.print()
    say(console, "How sure the front is, by further seeds", style="bold")
    fixed = [Column("trial", [printable(name) for name in estimates.trial_ids], is_text=True)]
    optional = []
    low, high = estimates.intervals()
    for index, objective in enumerate(estimates.objectives):
        column = objective.column
        ends = zip(low[:, index].tolist(), high[:, index].tolist(), strict=True)
        cells = [f"{format_value(column, a)} to {format_value(column, b)}" for a, b in ends]
        words = words_of(column)
        if estimates.seed_dof[index]:
            values = estimates.values[:, index].tolist()
            off = (estimates.chosen_by[:, index] - estimates.values[:, index]).tolist()
            fixed.append(Column(f"mean {words}", [format_value(column, one) for one in values]))
            fixed.append(Column("chosen by: off by", [difference(objective, one) for one in off]))
        if (low[:, index] < high[:, index]).any():
            optional.append(Column(f"{words}, 95 %", cells))
    fixed.append(Column("on front", [format_odds(float(one)) for one in certainty.on_front]))
    fixed.append(Column("knee", [format_odds(float(one)) for one in certainty.is_knee]))
    left_out = print_columns(fixed, optional, [""] * len(estimates.trial_ids), console)
    if left_out:
        say(console, f"No room here: {', '.join(left_out)}; see report/report.html")
    say(
        console,
        f"Hypervolume of the finalists' true front {certainty.hypervolume:.5g} "
        f"[{certainty.hypervolume_low:.5g}, {certainty.hypervolume_high:.5g}] (95 %)",
    )
    say(
        console,
        "On front, knee: probabilities. Off by: the score that a finalist was chosen by, less its "
        "mean over further seeds.",
    )
