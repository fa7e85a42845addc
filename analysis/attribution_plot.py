"""Draws what the finalists look at: test samples with the weight of each pixel or token."""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from analysis import chart_style as look
from analysis.finalists import AttributedSample, Finalist
from analysis.labels import printable
from analysis.plots import short_ids

MAX_SAMPLES = 6
HEAT_COLOUR = look.KNEE_COLOUR
HEAT_OPACITY = 0.85
"""Of the greatest attribution: what lies beneath stays visible."""

# All in inches.
CELL = 1.5
CELL_GAP = 0.14
CELL_TITLE = 0.24
NAME_WIDTH = 1.15
BOTTOM = 0.16
TEXT_WIDTH = 8.3
LINE_HEIGHT = 0.19
BLOCK_GAP = 0.14
HEAD_HEIGHT = 0.27

TOKEN_POINTS = 8.5
CHARACTER = 0.602 * TOKEN_POINTS / 72
"""Inches; DejaVu Sans Mono's advance is 0.602 of its size."""
MAX_LINES = 8


def plot_attributions(
    name: str, finalists: Sequence[Finalist], path: str | Path | IO[bytes]
) -> None:
    """Write a PNG of test samples under each finalist's attribution.

    Images: a row for each finalist and a column for each sample, under a row of the plain images.
    Texts: a paragraph for each sample and finalist.

    Args:
        name: of the sweep.
        finalists: at least one of them with samples; the first `look.MAX_SERIES` of these, and
            their first `MAX_SAMPLES`, are drawn.
        path: where to write to: a path or a binary stream.
    """
    explained = [finalist for finalist in finalists if finalist.samples]
    shown = explained[: look.MAX_SERIES]
    samples = sorted({s.sample for finalist in shown for s in finalist.samples})
    notes = [
        look.left_out(len(shown), len(explained), "finalists"),
        look.left_out(min(MAX_SAMPLES, len(samples)), len(samples), "samples"),
    ]
    is_text = shown[0].samples[0].tokens is not None
    chart = _draw_texts if is_text else _draw_images
    figure = chart(name, shown, samples[:MAX_SAMPLES], " ".join(filter(None, notes)))
    with warnings.catch_warnings():
        # The font has not all the world's signs: it draws a box for the others.
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        figure.savefig(path, format="png")


@dataclass(frozen=True)
class _Canvas:
    """A figure whose places are inches from its upper left corner."""

    figure: Figure
    top: float
    """Inches that the header takes."""

    def axes(self, left: float, top: float, width: float, height: float) -> Any:
        """Return axes without frame, in inches from the left and from below the header."""
        full_width, full_height = self.figure.get_size_inches()
        bottom = full_height - self.top - top - height
        axes = self.figure.add_axes(
            (left / full_width, bottom / full_height, width / full_width, height / full_height)
        )
        axes.set_axis_off()
        return axes


def _canvas(title: str, sentences: list[str], width: float, height: float) -> _Canvas:
    """Return a canvas with `height` inches of room below the header."""
    # What the header takes does not depend on the figure's height: measure it on a draft.
    top = 0.0
    for _ in range(2):
        figure = Figure(figsize=(width, top + height or 1.0), dpi=150, facecolor="white")
        FigureCanvasAgg(figure)
        top = look.write_header(figure, title, sentences, _legend()) * (top + height)
    return _Canvas(figure, top)
