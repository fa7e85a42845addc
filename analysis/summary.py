"""Prints a ranking in the terminal."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from analysis.hypervolume import REFERENCE_RULE
from analysis.labels import format_value, format_values, printable, unit_of, words_of
from analysis.load import Run
from analysis.ranking import KNEE_DEFINITION, RankedTrial, Ranking

MAX_ROWS = 20
MAX_REASONS = 5
COLUMN_GAP = 2
EDGES = 2


def print_summary(run: Run, ranking: Ranking, console: Console) -> None:
    """Print what the run found: the ranked trials, the front's hypervolume, knee and members.

    Text from the run folder is printed as it is, never read as markup, and each command stands
    on one line of its own, however narrow the terminal.
    """
    _print_head(run, ranking, console)
    if not ranking.rows:
        _say(console, "No trial can be ranked.", style="bold red")
        _print_unranked(ranking, console)
        return
    _print_table(ranking, console)
    _print_unranked(ranking, console)
    _print_hypervolume(ranking, console)
    _print_members(ranking, console)


def differing_keys(configs: Sequence[dict[str, Any]]) -> list[str]:
    """Return the keys whose values are not the same in all configs, in order of appearance.

    Example:
        >>> differing_keys([{"width": 8, "depth": 2}, {"width": 16, "depth": 2}])
        ['width']
    """
    keys = dict.fromkeys(key for config in configs for key in config)
    first = configs[0] if configs else {}
    return [
        key
        for key in keys
        if any(config.get(key) != first.get(key) or key not in config for config in configs)
    ]


def _say(console: Console, text: str, style: str = "") -> None:
    """Print a line that may be copied: not wrapped, without markup."""
    console.print(Text(printable(text), style=style), soft_wrap=True, highlight=False)


def _print_head(run: Run, ranking: Ranking, console: Console) -> None:
    _say(console, f"Sweep {ranking.name}", style="bold")
    _say(console, f"Data set: {ranking.dataset}")
    _say(console, f"Objectives: {', '.join(map(str, ranking.objectives))}")
    counts = ", ".join(f"{count:,} {status}" for status, count in ranking.status_counts.items())
    _say(console, f"Trials: {counts or 'none'}; {len(ranking.rows):,} ranked")
    totals = run.spec.get("totals")
    if isinstance(totals, dict):
        figures = [
            f"{words_of(key)} {format_value(key, value)} {unit_of(key)}".rstrip()
            for key, value in totals.items()
            if isinstance(value, (int, float)) and not isinstance(value, bool)
        ]
        if figures:
            _say(console, f"Totals: {', '.join(figures)}")
    if ranking.sweep_status != "finished":
        _say(
            console,
            f"The sweep had not finished when this was read (status: {ranking.sweep_status}): "
            "running trials stand with their last report.",
            style="yellow",
        )


def _print_table(ranking: Ranking, console: Console) -> None:
    """Print the first rows with as many of the differing config keys as fit."""
    shown = ranking.rows[:MAX_ROWS]
    header = ["rank", "trial", "status", *map(_heading, ranking.objectives), "epoch"]
    cells = [_fixed_cells(ranking, row) for row in shown]
    widths = [_content_width(name, cells, index) for index, name in enumerate(header)]
    width = EDGES + sum(widths) + COLUMN_GAP * len(widths)
    left_out = []
    for key in differing_keys([row.config for row in ranking.rows]):
        column = [_config_cell(row.config.get(key)) for row in shown]
        needed = max(map(cell_len, [printable(key), *column]))
        if width + COLUMN_GAP + needed > console.width:
            left_out.append(printable(key))
            continue
        width += COLUMN_GAP + needed
        widths.append(needed)
        header.append(printable(key))
        for line, cell in zip(cells, column, strict=True):
            line.append(cell)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for index, name in enumerate(header):
        justify: Literal["left", "right"] = "left" if index in (1, 2) else "right"
        table.add_column(Text(name), justify=justify, min_width=widths[index], overflow="fold")
    for row, line in zip(shown, cells, strict=True):
        style = "bold green" if row.is_knee else "green" if row.is_front else ""
        table.add_row(*map(Text, line), style=style)
    console.print(table)
    hidden = len(ranking.rows) - len(shown)
    if hidden:
        _say(console, f"... and {hidden:,} more ranked trials in report/front.csv")
    if left_out:
        _say(console, f"Config keys that also differ, no room here: {', '.join(left_out)}")


def _heading(objective: Any) -> str:
    unit = unit_of(objective.column)
    notes = f"{unit}, {objective.direction}" if unit else objective.direction
    return f"{words_of(objective.column)}\n({notes})"


def _fixed_cells(ranking: Ranking, row: RankedTrial) -> list[str]:
    """Return the cells of a row before its config."""
    rank = "0 knee" if row.is_knee else str(row.rank)
    values = [
        format_value(objective.column, value)
        for objective, value in zip(ranking.objectives, row.values, strict=True)
    ]
    return [rank, printable(row.trial_id), row.status, *values, str(row.epoch)]


def _content_width(heading: str, cells: Sequence[Sequence[str]], index: int) -> int:
    """Return the width that a column needs when its heading wraps between words."""
    return max(map(cell_len, [*heading.split(), *(line[index] for line in cells)]))


def _config_cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return printable(value if isinstance(value, str) else json.dumps(value))


def _print_unranked(ranking: Ranking, console: Console) -> None:
    """Print how many trials could not be ranked and the most frequent reasons."""
    if not ranking.unranked:
        return
    _say(console, f"Not ranked: {len(ranking.unranked):,} trials", style="yellow")
    reasons = Counter(trial.why for trial in ranking.unranked)
    example = {trial.why: trial.trial_id for trial in reversed(ranking.unranked)}
    for why, count in reasons.most_common(MAX_REASONS):
        _say(console, f"  {count:,} x {why} (such as {example[why]})")
    if len(reasons) > MAX_REASONS:
        _say(console, f"  ... and {len(reasons) - MAX_REASONS:,} other reasons in trials.parquet")


def _print_hypervolume(ranking: Ranking, console: Console) -> None:
    assert ranking.reference is not None
    assert ranking.hypervolume is not None
    origin = "as given" if ranking.is_reference_given else REFERENCE_RULE
    point = format_values(ranking.objectives, ranking.reference)
    console.print()
    _say(console, f"Hypervolume {ranking.hypervolume:.6g}", style="bold")
    _say(console, f"  reference point: {point} ({origin})")


def _print_members(ranking: Ranking, console: Console) -> None:
    """Print config, checkpoint and command of the knee, then of the front's other members."""
    knee, front = ranking.knee, ranking.front
    assert knee is not None
    _say(console, f"Knee: trial {knee.trial_id}", style="bold")
    _say(console, f"  {format_values(ranking.objectives, knee.values)}")
    _say(console, f"  knee: {KNEE_DEFINITION}")
    console.print()
    _say(console, f"Front: {len(front):,} trials that nothing dominates", style="bold")
    shown = [row for row in front[:MAX_ROWS] if row is not knee]
    for row in [knee, *shown]:
        mark = " (knee)" if row.is_knee else ""
        _say(console, f"{row.trial_id}{mark}", style="green")
        _say(console, f"  {format_values(ranking.objectives, row.values)}")
        _say(console, f"  config: {json.dumps(row.config)}")
        _say(console, f"  checkpoint: {row.checkpoint or 'none'}")
        if row.reproduce:
            _say(console, "  reproduce:")
            _say(console, row.reproduce)
        else:
            _say(console, "  reproduce: no command recorded")
    hidden = len(front) - len(shown) - 1
    if hidden:
        _say(console, f"... and {hidden:,} more members of the front in report/front.csv")
