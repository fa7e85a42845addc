"""Draws what the finalists look at: test samples with the weight of each pixel or token."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
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
IMAGE_OPACITY = 0.85
TEXT_OPACITY = 0.6
"""Of the greatest attribution: what lies beneath stays legible."""

# Inches.
NAME_WIDTH = 1.2
CELL_SIDE = 1.6
CELL_GAP = 0.14
CELL_TITLE = 0.22
PREDICTED_WIDTH = 1.95
TEXT_WIDTH = 7.6
TEXT_LINE = 0.19
TEXT_HEAD = 0.32
TEXT_GAP = 0.1

DOTS_PER_INCH = 150
ADVANCE_PIXELS = 11
"""Of a character; whole, so that hinting does not move tokens off their ground."""
TOKEN_POINTS = ADVANCE_PIXELS * 72 / (0.602 * DOTS_PER_INCH)
"""DejaVu Sans Mono advances by 0.602 of its size."""
CHARACTERS_A_LINE = int(TEXT_WIDTH * DOTS_PER_INCH / ADVANCE_PIXELS)
MAX_LINES = 8

_Line = list[tuple[str, float]]
"""Tokens with their weights."""


def plot_attributions(
    name: str, finalists: Sequence[Finalist], path: str | Path | IO[bytes]
) -> None:
    """Write a PNG of test samples under each finalist's attribution.

    Images: a row for each finalist and a column for each sample, under a row of the plain images.
    Texts: a paragraph for each sample and finalist.

    Args:
        name: of the sweep.
        finalists: at least one of them with samples; of these the first `look.MAX_SERIES` are
            drawn, with their first `MAX_SAMPLES` samples.
        path: where to write to: a path or a binary stream.
    """
    explained = [finalist for finalist in finalists if finalist.samples]
    shown = explained[: look.MAX_SERIES]
    positions = sorted({s.sample for finalist in shown for s in finalist.samples})
    is_text = shown[0].samples[0].tokens is not None
    sentences = [
        "How much each token counts for the class predicted, which stands under the trial, in "
        "red if wrong."
        if is_text
        else "How much each pixel counts for the class predicted. Titles: label / predicted, in "
        "red if wrong.",
        look.left_out(len(shown), len(explained), "finalists"),
        look.left_out(min(len(positions), MAX_SAMPLES), len(positions), "samples"),
    ]
    title = f"What the finalists of {printable(name)} look at"
    draw = _draw_texts if is_text else _draw_images
    figure = draw(shown, positions[:MAX_SAMPLES], title, [" ".join(filter(None, sentences))])
    with warnings.catch_warnings():
        # A box stands for a sign that the font lacks.
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        figure.savefig(path, format="png")


class _Canvas:
    """A figure with a header, whose places below it are in inches from its upper left corner."""

    def __init__(
        self, size: tuple[float, float], title: str, sentences: list[str], legend: list[Line2D]
    ) -> None:
        """Take the size below the header [inches], and what the header says."""
        width, height = size
        self._top = look.header_inches(width, sentences)
        self._size = (width, self._top + height + look.MARGIN_INCHES)
        self.figure = Figure(figsize=self._size, dpi=DOTS_PER_INCH, facecolor="white")
        FigureCanvasAgg(self.figure)
        look.write_header(self.figure, title, sentences, legend)

    def axes(self, left: float, top: float, width: float, height: float) -> Any:
        """Return axes without a frame."""
        across, down = self._size
        bottom = down - self._top - top - height
        axes = self.figure.add_axes((left / across, bottom / down, width / across, height / down))
        axes.set_axis_off()
        return axes

    def write(self, left: float, top: float, text: str, **style: Any) -> None:
        """Write a line of text."""
        across, down = self._size
        place = (left / across, 1 - (self._top + top) / down)
        usual: dict[str, Any] = {
            "fontsize": 8.5,
            "va": "center",
            "color": look.INK_COLOUR,
            "parse_math": False,
        }
        self.figure.text(*place, text, **(usual | style))


def _legend(opacity: float) -> list[Line2D]:
    """Return swatches of the heat's colour."""
    handles = []
    for weight in (0.0, 0.5, 1.0):
        shade = (*to_rgb(HEAT_COLOUR), opacity * weight)
        handle = look.marker_handle(f"weight {weight:g}", color=shade, markersize=9)
        handle.set(marker="s", markeredgecolor=look.FAINT_COLOUR, markeredgewidth=0.5)
        handles.append(handle)
    return handles


def _draw_images(
    finalists: Sequence[Finalist], positions: Sequence[int], title: str, sentences: list[str]
) -> Figure:
    """Return a grid: the plain images, then a row for each finalist."""
    step, row_step = CELL_SIDE + CELL_GAP, CELL_SIDE + CELL_TITLE + 0.1
    left = look.MARGIN_INCHES + NAME_WIDTH
    width = max(6.4, left + step * len(positions))
    size = (width, row_step * (1 + len(finalists)))
    canvas = _Canvas(size, title, sentences, _legend(IMAGE_OPACITY))
    names = short_ids([finalist.trial_id for finalist in finalists])
    plain = {s.sample: s for finalist in reversed(finalists) for s in finalist.samples}
    rows = [("test sample", plain, False)]
    rows += [
        (name, {s.sample: s for s in finalist.samples}, True)
        for name, finalist in zip(names, finalists, strict=True)
    ]
    for row, (name, samples, has_heat) in enumerate(rows):
        top = row * row_step + CELL_TITLE
        canvas.write(look.MARGIN_INCHES, top + CELL_SIDE / 2, name, weight="bold")
        for column, position in enumerate(positions):
            sample = samples.get(position)
            if sample is None:
                continue
            axes = canvas.axes(left + column * step, top, CELL_SIDE, CELL_SIDE)
            _draw_image(axes, sample, has_heat=has_heat)
            heading = _verdict(sample) if has_heat else str(position)
            colour = _colour(sample) if has_heat else look.QUIET_COLOUR
            middle = left + column * step + CELL_SIDE / 2
            style = {"fontsize": 8, "ha": "center", "color": colour}
            canvas.write(middle, top - CELL_TITLE / 2, heading, **style)
    return canvas.figure


def _draw_image(axes: Any, sample: AttributedSample, *, has_heat: bool) -> None:
    """Draw an image in its colours, or in pale grey under its heat map."""
    assert sample.pixels is not None
    frame = {"transform": axes.transAxes, "edgecolor": look.FAINT_COLOUR, "linewidth": 0.5}
    axes.add_patch(Rectangle((0, 0), 1, 1, fill=False, clip_on=False, **frame))
    if not has_heat:
        axes.imshow(sample.pixels, interpolation="nearest")
        return
    grey = sample.pixels @ np.array([0.299, 0.587, 0.114]) / 255
    axes.imshow(0.6 + 0.4 * grey, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.imshow(_heat(sample.attribution), interpolation="nearest")


def _heat(attribution: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return [height, width, 4]: the heat's colour, as opaque as the attribution is great."""
    colour = np.broadcast_to(to_rgb(HEAT_COLOUR), (*attribution.shape, 3))
    return np.concatenate([colour, IMAGE_OPACITY * attribution[..., None]], axis=2)


def _verdict(sample: AttributedSample) -> str:
    names = [printable(sample.label), printable(sample.predicted)]
    if len(" / ".join(names)) > 24:
        names = [look.shorten(name, 10) for name in names]
    return " / ".join(names)


def _colour(sample: AttributedSample) -> str:
    """Return the colour that says whether the prediction is right."""
    return look.INK_COLOUR if sample.predicted == sample.label else look.WRONG_COLOUR


@dataclass(frozen=True)
class _Paragraph:
    """A text under a finalist's attribution, and where it stands."""

    finalist: str
    sample: AttributedSample
    lines: list[_Line]
    top: float
    """Inches from the header."""
    is_first: bool
    """Of its sample: a heading stands above it."""

    @property
    def height(self) -> float:
        """Inches; room for the finalist and the class predicted at the least."""
        return TEXT_LINE * max(2, len(self.lines))


def _draw_texts(
    finalists: Sequence[Finalist], positions: Sequence[int], title: str, sentences: list[str]
) -> Figure:
    """Return a paragraph for each sample and finalist."""
    paragraphs = _paragraphs(finalists, positions)
    height = paragraphs[-1].top + paragraphs[-1].height
    left = look.MARGIN_INCHES + PREDICTED_WIDTH
    size = (left + TEXT_WIDTH + look.MARGIN_INCHES, height)
    canvas = _Canvas(size, title, sentences, _legend(TEXT_OPACITY))
    for paragraph in paragraphs:
        sample, top = paragraph.sample, paragraph.top
        if paragraph.is_first:
            heading = f"Test sample {sample.sample}: {look.shorten(printable(sample.label), 80)}"
            canvas.write(look.MARGIN_INCHES, top - 0.45 * TEXT_HEAD, heading, weight="bold")
        canvas.write(look.MARGIN_INCHES, top + 0.5 * TEXT_LINE, paragraph.finalist)
        predicted = look.shorten(printable(sample.predicted), 26)
        style = {"fontsize": 8, "color": _colour(sample)}
        canvas.write(look.MARGIN_INCHES, top + 1.5 * TEXT_LINE, predicted, **style)
        width = CHARACTERS_A_LINE * ADVANCE_PIXELS / DOTS_PER_INCH
        axes = canvas.axes(left, top, width, TEXT_LINE * len(paragraph.lines))
        _draw_lines(axes, paragraph.lines)
    return canvas.figure


def _paragraphs(finalists: Sequence[Finalist], positions: Sequence[int]) -> list[_Paragraph]:
    names = short_ids([finalist.trial_id for finalist in finalists])
    paragraphs: list[_Paragraph] = []
    top = 0.0
    for position in positions:
        top += TEXT_HEAD
        is_first = True
        for name, finalist in zip(names, finalists, strict=True):
            for sample in finalist.samples:
                if sample.sample == position:
                    paragraph = _Paragraph(name, sample, _lines(sample), top, is_first)
                    paragraphs.append(paragraph)
                    top += paragraph.height + TEXT_GAP
                    is_first = False
    return paragraphs


def _lines(sample: AttributedSample) -> list[_Line]:
    """Return the tokens with their weights, broken into lines; the last says how many more."""
    assert sample.tokens is not None
    lines: list[_Line] = [[]]
    used = 0
    for index, (token, weight) in enumerate(
        zip(sample.tokens, sample.attribution.tolist(), strict=True)
    ):
        text = look.shorten(printable(token), CHARACTERS_A_LINE)
        if used + len(text) > CHARACTERS_A_LINE:
            if len(lines) == MAX_LINES:
                return [*lines, [(f"… and {len(sample.tokens) - index:,} more tokens", 0.0)]]
            lines.append([])
            used = 0
        text = text if used else text.lstrip()
        if text:
            lines[-1].append((text, weight))
            used += len(text)
    return lines


def _draw_lines(axes: Any, lines: Sequence[_Line]) -> None:
    """Draw lines of text, each token on a ground of its weight."""
    axes.set(xlim=(0, CHARACTERS_A_LINE), ylim=(len(lines), 0))
    style: dict[str, Any] = {
        "family": "DejaVu Sans Mono",
        "fontsize": TOKEN_POINTS,
        "color": look.INK_COLOUR,
        "va": "center_baseline",
        "parse_math": False,
    }
    for row, line in enumerate(lines):
        place = 0
        for text, weight in line:
            ground = Rectangle((place + 0.05, row + 0.06), len(text) - 0.1, 0.88, linewidth=0)
            ground.set(facecolor=HEAT_COLOUR, alpha=TEXT_OPACITY * weight)
            axes.add_patch(ground)
            axes.text(place, row + 0.5, text, **style)
            place += len(text)
