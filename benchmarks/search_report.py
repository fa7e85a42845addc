"""Tables and a plot of what `benchmarks/search.py` found.

A row a method: the medians over the seeds, and the quartiles, of its worth over time (anytime), of
its worth at the end, and of when it first has 95 %. Then the mean rank of each method, by the
median of anytime over the seeds that all have, over the tables, among the methods that were run on
all of them; and on how many seeds our default is ahead of each other method.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from search_outcomes import NUM_TIMES, Outcome, read_outcomes

from analysis.chart_style import SERIES_COLOURS

DEFAULT = "mo_asha+known"
PLOTTED = (DEFAULT, "asha+motpe", "asha+nsga2", "full+motpe", "asha+random", "full+random")

Methods = Mapping[str, Sequence[Outcome]]


def say_table(name: str, methods: Methods) -> None:
    """Print a table's rows, best first."""
    print(f"\n`{name}`\n")
    print("| method | n | anytime (median, quartiles) | at the end | first at 95 % |")
    print("|---|---|---|---|---|")
    medians = _medians(methods)
    for place, method in enumerate(sorted(medians, key=lambda m: -medians[m])):
        found = methods[method]
        at_95 = float(np.median([one.at_95 for one in found]))
        spread = _spread([one.anytime for one in found])
        print(
            f"| {method} | {len(found)} | {f'**{spread}**' if not place else spread} | "
            f"{np.median([one.final for one in found]):.4f} | "
            f"{'never' if at_95 == np.inf else f'{at_95:.2f}'} |"
        )


def say_overview(tables: Mapping[str, Methods]) -> None:
    """Print the medians of anytime, a row a method and a column a table; the best in bold."""
    medians = {name: _medians(methods) for name, methods in tables.items()}
    print(f"\n| anytime, median (n) | {' | '.join(tables)} |\n|---|{'---|' * len(tables)}")
    for method in sorted({method for methods in tables.values() for method in methods}):
        cells = []
        for name, methods in tables.items():
            if method not in methods:
                cells.append("")
                continue
            text = f"{medians[name][method]:.4f}"
            is_best = medians[name][method] == max(medians[name].values())
            cells.append(f"{f'**{text}**' if is_best else text} ({len(methods[method])})")
        print(f"| {method} | {' | '.join(cells)} |")


def say_ranks(tables: Mapping[str, Methods]) -> None:
    """Print the mean ranks of the methods that were run on all tables, by their common seeds."""
    everywhere = set.intersection(*[set(methods) for methods in tables.values()])
    ranks: dict[str, list[int]] = defaultdict(list)
    for methods in tables.values():
        seeds = set.intersection(*[{o.case.seed for o in methods[m]} for m in everywhere])
        medians = _medians(
            {m: [o for o in methods[m] if o.case.seed in seeds] for m in everywhere if seeds}
        )
        for rank, method in enumerate(sorted(medians, key=lambda m: -medians[m]), 1):
            ranks[method].append(rank)
    means = sorted((float(np.mean(found)), method) for method, found in ranks.items())
    said = ", ".join(f"{method} {mean:.2f}" for mean, method in means)
    print(f"\nMean rank over {len(tables)} tables ({', '.join(tables)}): {said}.")


def say_pairs(tables: Mapping[str, Methods]) -> None:
    """Print on how many seeds our default is ahead of each other method."""
    print(f"\n| {DEFAULT} ahead of | {' | '.join(tables)} |\n|---|{'---|' * len(tables)}")
    for other in sorted({method for methods in tables.values() for method in methods} - {DEFAULT}):
        cells = [_ahead(methods, other) for methods in tables.values()]
        print(f"| {other} | {' | '.join(cells)} |")


def _ahead(methods: Methods, other: str) -> str:
    ours = {one.case.seed: one.anytime for one in methods.get(DEFAULT, ())}
    theirs = {one.case.seed: one.anytime for one in methods.get(other, ())}
    both = [seed for seed in ours if seed in theirs]
    return f"{sum(ours[seed] > theirs[seed] for seed in both)} of {len(both)}" if both else ""


def _medians(methods: Methods) -> dict[str, float]:
    return {m: float(np.median([one.anytime for one in found])) for m, found in methods.items()}


def _spread(values: Sequence[float]) -> str:
    low, median, high = np.quantile(values, (0.25, 0.5, 0.75))
    return f"{median:.4f} [{low:.4f}, {high:.4f}]"


def draw(tables: Mapping[str, Methods], num_workers: int, path: Path) -> None:
    """Draw what is missing of the hypervolume over time, a panel a table; log scale."""
    num_rows = (len(tables) + 3) // 4
    figure, panels = plt.subplots(
        num_rows, 4, figsize=(14, 3.2 * num_rows), sharex=True, layout="constrained", squeeze=False
    )
    times = np.arange(1, NUM_TIMES + 1) / NUM_TIMES
    for panel, (name, methods) in zip(panels.flat, tables.items(), strict=False):
        for method, colour in zip(PLOTTED, SERIES_COLOURS, strict=True):
            if method not in methods:
                continue
            missing = 1 - np.array([one.worths for one in methods[method]])
            low, median, high = np.quantile(missing, (0.25, 0.5, 0.75), axis=0)
            panel.semilogy(
                times, median, color=colour, linewidth=2.2 if method == DEFAULT else 1.2,
                label=method,
            )  # fmt: skip
            panel.fill_between(times, low, high, color=colour, alpha=0.12, linewidth=0)
        panel.axhline(0.05, color="0.6", linewidth=0.8, linestyle=":")
        panel.set_title(name, fontsize=10)
    for panel in panels.flat[len(tables) :]:
        panel.set_visible(False)
    figure.supxlabel("virtual time, of the horizon")
    figure.supylabel("missing of the true hypervolume")
    handles, labels = panels.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(PLOTTED), frameon=False)
    figure.savefig(path, dpi=80)
    print(f"\n![{num_workers} workers]({path.name})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("outcomes", nargs="+", type=Path, help="JSON lines")
    parser.add_argument("--plot", type=Path, help="PNG to write, `-WORKERS` before its ending")
    asked = parser.parse_args()
    by_workers: dict[int, dict[str, dict[str, list[Outcome]]]] = defaultdict(
        lambda: defaultdict(lambda: defaultdict(list))
    )
    for one in read_outcomes(asked.outcomes):
        by_workers[one.case.num_workers][one.case.table][one.case.method].append(one)
    for num_workers, tables in sorted(by_workers.items()):
        print(f"\n### {num_workers} workers")
        tables = dict(sorted(tables.items()))
        say_overview(tables)
        for name, methods in tables.items():
            say_table(name, methods)
        say_ranks(tables)
        say_pairs(tables)
        if asked.plot:
            path = asked.plot.with_stem(f"{asked.plot.stem}-{num_workers}")
            draw(tables, num_workers, path)


if __name__ == "__main__":
    main()
