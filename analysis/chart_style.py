"""How our charts look: colours, header, axes and legend, apart from what they show."""

from __future__ import annotations

import textwrap
from typing import Any

import matplotlib
import numpy as np
from matplotlib.colors import ListedColormap, LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import (
    FuncFormatter,
    LogLocator,
    MaxNLocator,
    NullFormatter,
    ScalarFormatter,
)
from numpy.typing import NDArray

from analysis.labels import format_bytes, unit_of, words_of
from analysis.records import Objective

FRONT_COLOUR = "#1260a8"
KNEE_COLOUR = "#c8400a"
WRONG_COLOUR = "#b3151d"
FAINT_COLOUR = "#98a2ad"
GRID_COLOUR = "#e9ecef"
INK_COLOUR = "#22262b"
QUIET_COLOUR = "#59616b"
SERIES_COLOURS = (FRONT_COLOUR, KNEE_COLOUR, "#1f8a5b", "#7d4fa3", "#a87b00", QUIET_COLOUR)
SERIES_MARKERS = ("o", "s", "^", "D", "v", "P")
MAX_SERIES = len(SERIES_COLOURS)
# The last tenth of viridis is a yellow that does not stand out from white.
COLOUR_MAP = ListedColormap(matplotlib.colormaps["viridis"](np.linspace(0, 0.9, 256)))

LOG_RATIO = 10.0
"""An axis of positive values, other than fractions, is logarithmic from this ratio on."""

MARGIN_INCHES = 0.16
TITLE_INCHES = 0.31
LINE_INCHES = 0.19
LEGEND_INCHES = 0.30


def write_header(figure: Figure, title: str, sentences: list[str], legend: list[Line2D]) -> float:
    """Write the title, the sentences beneath it and the legend's entries.

    Returns:
        The fraction of the figure's height that this takes.
    """
    width, height = figure.get_size_inches()
    lines = _wrapped(sentences, width)
    left = MARGIN_INCHES / width
    style: dict[str, Any] = {"ha": "left", "va": "top", "parse_math": False}
    figure.text(
        left,
        1 - MARGIN_INCHES / height,
        textwrap.shorten(title, int(width * 8.5), placeholder=" …"),
        fontsize=14,
        weight="bold",
        color=INK_COLOUR,
        **style,
    )
    figure.text(
        left,
        1 - (MARGIN_INCHES + TITLE_INCHES) / height,
        "\n".join(lines),
        fontsize=9,
        linespacing=1.45,
        color=QUIET_COLOUR,
        **style,
    )
    used_inches = header_inches(width, sentences)
    figure.legend(
        handles=legend,
        loc="upper left",
        bbox_to_anchor=(left, 1 - (used_inches - LEGEND_INCHES) / height),
        ncols=len(legend),
        frameon=False,
        fontsize=9,
        labelcolor=INK_COLOUR,
        borderpad=0.3,
        borderaxespad=0,
        handletextpad=0.5,
        columnspacing=1.8,
    )
    return float(used_inches / height)


def header_inches(width: float, sentences: list[str]) -> float:
    """Return the height of the header on a figure of this width [inches]."""
    num_lines = len(_wrapped(sentences, width))
    return MARGIN_INCHES + TITLE_INCHES + LINE_INCHES * num_lines + 0.04 + LEGEND_INCHES


def _wrapped(sentences: list[str], width: float) -> list[str]:
    return [line for text in sentences for line in textwrap.wrap(text, int(width * 14.6))]


def series_style(index: int) -> dict[str, Any]:
    """Return how to draw one of at most `MAX_SERIES` lines: told apart without colour too."""
    return {
        "color": SERIES_COLOURS[index],
        "marker": SERIES_MARKERS[index],
        "markersize": 4.5,
        "markeredgewidth": 0,
        "linewidth": 1.5,
    }


def shorten(text: str, max_characters: int) -> str:
    """Return the text, cut where it is too long for its place."""
    return text if len(text) <= max_characters else f"{text[: max_characters - 1].rstrip()}…"


def left_out(num_shown: int, num_there: int, things: str) -> str:
    """Return a sentence that says how much is not in the picture; empty if all is."""
    if num_shown == num_there:
        return ""
    return f"Shown: the first {num_shown} of {num_there:,} {things}."


def marker_handle(label: str, **style: Any) -> Line2D:
    """Return a legend entry that shows a marker."""
    return Line2D([], [], linestyle="none", marker="o", markeredgewidth=0, label=label, **style)


def style_axes(axes: Any) -> None:
    """Draw a light grid and no more frame than the two axes."""
    axes.grid(color=GRID_COLOUR, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FAINT_COLOUR)
    style_ticks(axes)


def style_ticks(axes: Any) -> None:
    """Draw ticks that recede behind the data."""
    axes.tick_params(which="both", labelsize=9, color=FAINT_COLOUR, labelcolor=QUIET_COLOUR)


def style_objective(axis: Any, objective: Objective, values: NDArray[np.float64]) -> None:
    """Give an axis the objective's label with unit and direction, and readable ticks."""
    unit, is_log = unit_of(objective.column), is_wide(objective, values)
    better = "higher is better" if objective.direction == "max" else "lower is better"
    notes = [note for note in (unit, "log scale" if is_log else "", better) if note]
    words = words_of(objective.column)
    axis.set_label_text(f"{words[:1].upper()}{words[1:]} ({', '.join(notes)})", color=INK_COLOUR)
    if is_log:
        is_short = values.max() / values.min() < 200
        axis.set_major_locator(LogLocator(subs=(1, 2, 5) if is_short else (1,)))
        axis.set_minor_formatter(NullFormatter())
    else:
        axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    if unit == "bytes":
        axis.set_major_formatter(FuncFormatter(lambda value, _: format_bytes(value)))
    elif is_log or np.abs(values).max() >= 1000:
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
    else:
        axis.set_major_formatter(ScalarFormatter(useOffset=False))


def limits(objective: Objective, values: NDArray[np.float64]) -> tuple[float, float]:
    """Return an axis' ends: a little beyond the values, wherever they lie."""
    low, high = float(values.min()), float(values.max())
    if is_wide(objective, values):
        ratio = (high / low) ** 0.07
        return low / ratio, high * ratio
    pad = 0.07 * (high - low) or 0.1 * abs(high) or 1.0
    low, high = low - pad, high + pad
    if unit_of(objective.column) == "fraction":
        # The difference of two fractions may be negative.
        low = max(low, -0.02) if values.min() >= 0 else low
        high = min(high, 1.02)
    return low, high


def is_wide(objective: Objective, values: NDArray[np.float64]) -> bool:
    """Return whether the values need a log scale; fractions never do."""
    if unit_of(objective.column) == "fraction" or values.min() <= 0:
        return False
    return bool(values.max() / values.min() >= LOG_RATIO)


def colour_norm(objective: Objective, values: NDArray[np.float64]) -> Normalize:
    """Return the scale that turns an objective into colours."""
    low, high = float(values.min()), float(values.max())
    if is_wide(objective, values):
        return LogNorm(low, high)
    pad = 0.0 if high > low else 0.1 * abs(high) or 1.0
    return Normalize(low - pad, high + pad)
