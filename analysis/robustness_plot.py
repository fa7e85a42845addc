"""Draws how the finalists' accuracy falls as test images get worse."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis import chart_style as look
from analysis.finalists import SEVERITIES_OF_KIND, Finalist, num_robustness_samples
from analysis.labels import printable
from analysis.plots import short_ids

MAX_PANELS = 12
NUM_COLUMNS = 4
EPSILONS = ("1/255", "2/255", "4/255", "8/255")
"""Of an attack's severities: what a pixel of 0 to 1 moves at most."""

CLEAN_STYLE: dict[str, Any] = {
    "color": look.QUIET_COLOUR,
    "linestyle": (0, (4, 3)),
    "linewidth": 0.9,
}


def plot_robustness(name: str, finalists: Sequence[Finalist], path: str | Path | IO[bytes]) -> None:
    """Write a PNG with a panel for each corruption and attack, and a line for each finalist.

    Args:
        name: of the sweep.
        finalists: at least one of them with curves; the first `look.MAX_SERIES` of these are drawn.
        path: where to write to: a path or a binary stream.
    """
    measured = [finalist for finalist in finalists if finalist.curves]
    shown = measured[: look.MAX_SERIES]
    keys = list(dict.fromkeys((c.kind, c.name) for finalist in shown for c in finalist.curves))
    keys.sort(key=lambda key: list(SEVERITIES_OF_KIND).index(key[0]))
    panels = keys[:MAX_PANELS]
    num_columns = min(NUM_COLUMNS, len(panels))
    num_rows = -(-len(panels) // num_columns)
    legend_width = 2.0 + 1.5 * len(shown)
    size = (max(6.4, legend_width, 2.7 * num_columns), 1.6 + 2.5 * num_rows)
    figure = Figure(figsize=size, dpi=150, facecolor="white")
    FigureCanvasAgg(figure)
    notes = [
        look.left_out(len(shown), len(measured), "finalists"),
        look.left_out(len(panels), len(keys), "corruptions and attacks"),
    ]
    facts = (
        f"Accuracy (fraction) on {num_robustness_samples(shown)} test samples, corrupted or "
        "attacked."
    )
    header = look.write_header(
        figure,
        f"Robustness of the finalists of {printable(name)}",
        [" ".join([facts, *filter(None, notes)])],
        _legend(shown),
    )
    figure.set_layout_engine(
        "constrained", rect=(0.01, 0.01, 0.98, 0.98 - header), w_pad=0.06, h_pad=0.08
    )
    grid = figure.subplots(num_rows, num_columns, squeeze=False, sharey=True)
    for index, axes in enumerate(grid.flat):
        if index < len(panels):
            _draw_panel(axes, *panels[index], shown)
        else:
            axes.remove()
    figure.savefig(path, format="png")


def _legend(finalists: Sequence[Finalist]) -> list[Line2D]:
    handles = [
        Line2D([], [], label=short_id, **look.series_style(index))
        for index, short_id in enumerate(short_ids([f.trial_id for f in finalists]))
    ]
    return [*handles, Line2D([], [], label="clean, whole test part", **CLEAN_STYLE)]


def _draw_panel(axes: Any, kind: str, name: str, finalists: Sequence[Finalist]) -> None:
    look.style_axes(axes)
    words = printable(name).replace("_", " ")
    title = words.upper() if kind == "attack" else words
    axes.set_title(look.shorten(title, 26), fontsize=10, color=look.INK_COLOUR, parse_math=False)
    severities = SEVERITIES_OF_KIND[kind]
    axes.set(xlim=(0.7, severities[-1] + 0.3), ylim=(-0.02, 1.02), xticks=severities)
    if kind == "attack":
        axes.set_xticklabels(EPSILONS)
    label = "severity" if kind == "corruption" else "largest change of a pixel"
    axes.set_xlabel(label, fontsize=8.5, color=look.QUIET_COLOUR, labelpad=2)
    for index, finalist in enumerate(finalists):
        style = look.series_style(index)
        clean = finalist.scores["test_accuracy"]
        if clean is not None:
            axes.axhline(clean, **(CLEAN_STYLE | {"color": style["color"]}))
        for curve in finalist.curves:
            if (curve.kind, curve.name) == (kind, name):
                axes.plot(curve.severities, curve.accuracies, **style)
