"""Draws the front of a ranking as a picture that stands alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from analysis import chart_style as look
from analysis.label_placement import LabelPlacer
from analysis.labels import format_values, printable
from analysis.pareto import is_front, losses
from analysis.ranking import Ranking
from analysis.records import Objective

MAX_LABELS = 24
MAX_PANEL_LABELS = 8
MAX_STEMS = 60
CROWD = 2000
"""From this many trials on, dominated ones are drawn as dust."""


def plot_front(ranking: Ranking, path: str | Path | IO[bytes]) -> None:
    """Write the ranking's front as a PNG.

    One objective: the trials in order. Two: a scatter with the front as a step line. Three: the
    third as colour; the line then joins the members that nothing beats in the two objectives
    shown. More: a panel for each objective against the first.

    Args:
        ranking: with at least one row.
        path: where to write to: a path or a binary stream.

    Raises:
        ValueError: if no trial is ranked.
    """
    if not ranking.rows:
        raise ValueError(
            "ranking must hold at least one ranked trial, got none; see its `unranked` for why"
        )
    num_objectives = len(ranking.objectives)
    num_panels = num_objectives - 1 if num_objectives > 3 else 1
    num_columns = min(3, num_panels)
    num_rows = -(-num_panels // num_columns)
    size = (9.6, 6.4) if num_panels == 1 else (5.0 * num_columns, 1.5 + 4.2 * num_rows)
    figure = Figure(figsize=size, dpi=150, facecolor="white")
    FigureCanvasAgg(figure)
    header = look.write_header(
        figure, f"Pareto front of {printable(ranking.name)}", _facts(ranking), _legend(ranking)
    )
    figure.set_layout_engine(
        "constrained", rect=(0.01, 0.01, 0.98, 0.98 - header), w_pad=0.1, h_pad=0.12
    )
    panels = list(figure.subplots(num_rows, num_columns, squeeze=False).flat)
    for unused in panels[num_panels:]:
        unused.remove()
    drawn = _draw_panels(panels[:num_panels], ranking)
    figure.canvas.draw()  # fixes the layout, so that labels know their places in pixels
    figure.set_layout_engine("none")
    max_labels = MAX_LABELS if num_panels == 1 else MAX_PANEL_LABELS
    for axes, points, line in zip(panels, *drawn, strict=False):
        _write_labels(axes, ranking, points, line, max_labels)
    figure.savefig(path, format="png")


def short_ids(trial_ids: Sequence[str]) -> list[str]:
    """Return the ids without what all of them begin with, up to a separator.

    Example:
        >>> short_ids(["run_7_00001", "run_7_00012"])
        ['00001', '00012']
    """
    first = min(trial_ids, default="")
    last = max(trial_ids, default="")  # what these two share, all share
    shared = [a == b for a, b in zip(first, last, strict=False)]
    prefix = first[: [*shared, False].index(False)] if first != last else ""
    cut = max(prefix.rfind("_"), prefix.rfind("-")) + 1
    rest = [printable(trial_id[cut:]) for trial_id in trial_ids]
    return [text if len(text) <= 12 else f"…{text[-10:]}" for text in rest]


def _facts(ranking: Ranking) -> list[str]:
    """Return what must be read beside the picture."""
    assert ranking.reference is not None
    assert ranking.hypervolume is not None
    num_ranked = len(ranking.rows)
    facts = (
        f"{num_ranked:,} of {num_ranked + len(ranking.unranked):,} trials ranked, "
        f"{len(ranking.front):,} on the front. Hypervolume {ranking.hypervolume:.5g} to the "
        f"reference point ({format_values(ranking.objectives, ranking.reference)})."
    )
    if ranking.serving is not None and any(
        objective.column.startswith(("latency_", "serving_")) for objective in ranking.objectives
    ):
        facts += f" Latency: {printable(ranking.serving)}."
    if ranking.sweep_status != "finished":
        facts += f" The sweep had not finished (status: {printable(ranking.sweep_status)})."
    return [f"Data set: {printable(ranking.dataset)}", facts]


def _legend(ranking: Ranking) -> list[Line2D]:
    """Return an entry for each kind of mark in the picture."""
    num_objectives = len(ranking.objectives)
    colour = look.INK_COLOUR if num_objectives == 3 else look.FRONT_COLOUR
    label = "front" if num_objectives > 1 else "front (all with the best value)"
    handles = [look.marker_handle(label, color=colour, markersize=7)]
    if len(ranking.front) < len(ranking.rows):
        handles.append(
            look.marker_handle("dominated", color=look.FAINT_COLOUR, markersize=5, alpha=0.7)
        )
    if num_objectives > 1:
        ring = look.marker_handle("knee (closest to the ideal point)", color="none", markersize=11)
        ring.set(markeredgecolor=look.KNEE_COLOUR, markeredgewidth=2)
        handles.append(ring)
    if num_objectives > 2:
        label = "best in the two objectives shown"
        handles.append(Line2D([], [], color=look.FRONT_COLOUR, linewidth=1.5, label=label))
    return handles


def _draw_panels(
    panels: Sequence[Any], ranking: Ranking
) -> tuple[list[NDArray[np.float64]], list[NDArray[np.float64]]]:
    """Draw every panel; return its trials' points [num_trials, 2] and its line [n, 2]."""
    num_objectives = len(ranking.objectives)
    if num_objectives == 1:
        return [_draw_strip(panels[0], ranking)], [np.zeros((0, 2))]
    if num_objectives <= 3:
        roles = [pareto_roles(ranking.objectives)]
    else:
        roles = [(index, 0, None) for index in range(1, num_objectives)]
    drawn = [_draw_scatter(axes, ranking, *role) for axes, role in zip(panels, roles, strict=True)]
    return [points for points, _ in drawn], [line for _, line in drawn]


def pareto_roles(objectives: Sequence[Objective]) -> tuple[int, int, int | None]:
    """Return which objective goes to x, to y and to colour: what is spent, then what is gained."""
    indices = range(len(objectives))
    spent = [i for i in indices if objectives[i].direction == "min"]
    gained = [i for i in indices if objectives[i].direction == "max"]
    x, y = (spent[0], gained[0]) if spent and gained else (1, 0)
    return x, y, next((i for i in indices if i not in (x, y)), None)


def _draw_scatter(
    axes: Any, ranking: Ranking, x: int, y: int, colour: int | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draw one objective against another, the front as a line and the knee as a ring."""
    values = np.array([row.values for row in ranking.rows])
    num_front = len(ranking.front)
    points = values[:, [x, y]]
    look.style_axes(axes)
    for name, index in (("x", x), ("y", y)):
        objective, along = ranking.objectives[index], values[:, index]
        if look.is_wide(objective, along):
            axes.set(**{f"{name}scale": "log"})
        axes.set(**{f"{name}lim": look.limits(objective, along)})
        look.style_objective(getattr(axes, f"{name}axis"), objective, along)
    line = _front_line(points[:num_front], ranking.objectives[x], ranking.objectives[y], axes)
    axes.plot(*line.T, color=look.FRONT_COLOUR, linewidth=1.3, alpha=0.75, zorder=2)
    faint: dict[str, Any] = {"color": look.FAINT_COLOUR}
    solid: dict[str, Any] = {"color": look.FRONT_COLOUR}
    if colour is not None:
        shade, shown_as_colour = values[:, colour], ranking.objectives[colour]
        mapped: dict[str, Any] = {
            "cmap": look.COLOUR_MAP,
            "norm": look.colour_norm(shown_as_colour, shade),
        }
        faint, solid = mapped | {"c": shade[num_front:]}, mapped | {"c": shade[:num_front]}
        bar = axes.figure.colorbar(ScalarMappable(**mapped), ax=axes, pad=0.015, aspect=32)
        bar.outline.set_visible(False)
        look.style_objective(bar.ax.yaxis, shown_as_colour, shade)
        look.style_ticks(bar.ax)
    size, alpha = (5, 0.25) if len(points) > CROWD else (20, 0.45)
    axes.scatter(*points[num_front:].T, s=size, alpha=alpha, linewidths=0, zorder=1, **faint)
    axes.scatter(*points[:num_front].T, s=44, edgecolors="white", linewidths=0.8, zorder=4, **solid)
    knee = points[_knee_index(ranking)]
    ring = {"facecolors": "none", "edgecolors": look.KNEE_COLOUR, "linewidths": 2}
    axes.scatter(*knee, s=150, zorder=5, clip_on=False, **ring)
    return points, line


def _draw_strip(axes: Any, ranking: Ranking) -> NDArray[np.float64]:
    """Draw the trials in order of a single objective, the best at the left."""
    objective, num_front = ranking.objectives[0], len(ranking.front)
    values = np.array([row.values[0] for row in ranking.rows])
    points = np.stack([np.arange(1, len(values) + 1, dtype=float), values], axis=1)
    look.style_axes(axes)
    if look.is_wide(objective, values):
        axes.set_yscale("log")
    low, high = look.limits(objective, values)
    pad = 0.03 * len(values) + 0.5
    axes.set(xlim=(1 - pad, len(values) + pad), ylim=(low, high))
    look.style_objective(axes.yaxis, objective, values)
    locator = MaxNLocator(8, integer=True, steps=[1, 2, 5, 10])
    ticks = np.asarray(locator.tick_values(1, len(values)))
    axes.set_xticks([1, *ticks[(ticks > 1) & (ticks <= len(values))]])
    axes.set_xlabel("Place among the ranked trials (1 is the best)", color=look.INK_COLOUR)
    if len(values) <= MAX_STEMS:
        axes.vlines(*points.T, low, color=look.FAINT_COLOUR, linewidth=1.2, alpha=0.5, zorder=1)
    size = 5 if len(values) > CROWD else 20
    axes.scatter(*points[num_front:].T, s=size, color=look.FAINT_COLOUR, zorder=2)
    axes.scatter(*points[:num_front].T, s=44, color=look.FRONT_COLOUR, linewidths=0, zorder=4)
    return points


def _front_line(
    front: NDArray[np.float64], across: Objective, up: Objective, axes: Any
) -> NDArray[np.float64]:
    """Return the corners of the boundary between what the front attains and what it does not.

    It joins the members that nothing beats in these two objectives, and goes on to the worst
    sides of the frame.

    Args:
        front: [num_front, 2] values.
        across: the objective of the x axis.
        up: the objective of the y axis.
        axes: gives the frame's limits.

    Returns:
        [num_corners, 2] values.
    """
    loss = losses({across.column: front[:, 0], up.column: front[:, 1]}, [across, up])
    kept = np.unique(loss[is_front(loss)], axis=0)  # by x, the best first; so y gets better
    signs = np.array([-1.0 if o.direction == "max" else 1.0 for o in (across, up)])
    frame = np.array([axes.get_xlim(), axes.get_ylim()])
    worst = (signs[:, None] * frame).max(axis=1)
    corners = [(kept[0, 0], worst[1])]
    for here, next_x in zip(kept, [*kept[1:, 0], worst[0]], strict=True):
        corners += [(here[0], here[1]), (next_x, here[1])]
    return signs * np.array(corners)


def _knee_index(ranking: Ranking) -> int:
    return next(index for index, row in enumerate(ranking.front) if row.is_knee)


def _write_labels(
    axes: Any,
    ranking: Ranking,
    points: NDArray[np.float64],
    line: NDArray[np.float64],
    max_labels: int,
) -> None:
    """Name the knee, the members on the line and then others, as far as there is room."""
    front, knee = points[: len(ranking.front)], _knee_index(ranking)
    names = short_ids([row.trial_id for row in ranking.rows])
    placer = _placer(axes, points, len(front), knee, line)
    corners = set(map(tuple, line.tolist()))
    places = list(map(tuple, front.tolist()))
    by_x = np.argsort(front[:, 0], kind="stable").tolist()
    on_line = [index for index in by_x if places[index] in corners]
    order = [knee, *_spread(on_line), *_spread(by_x)] if corners else [knee]
    named: Counter[tuple[float, ...]] = Counter()
    for index in list(dict.fromkeys(order))[: 3 * max_labels]:
        if places[index] in named or len(named) == max_labels:
            continue
        num_there = places.count(places[index])
        text = names[index] + (f" +{num_there - 1} equal" if num_there > 1 else "")
        style: dict[str, Any] = {"color": look.INK_COLOUR, "weight": "normal"}
        if index == knee:
            text = f"knee: {text}" if corners else f"best: {text}"
            style = {"color": look.KNEE_COLOUR, "weight": "bold"}
        style |= {"fontsize": 8.5, "parse_math": False, "must_stand": index == knee}
        if placer.place(text, places[index], **style):
            named[places[index]] = num_there
    if corners and named.total() < len(front):
        note = f"{named.total()} of {len(front)} members of the front are named"
        style = {"ha": "right", "va": "bottom", "color": look.QUIET_COLOUR}
        offset = {"xycoords": "axes fraction", "textcoords": "offset points"}
        axes.annotate(note, (1, 1), xytext=(0, 3), fontsize=8, **offset, **style)


def _placer(
    axes: Any, points: NDArray[np.float64], num_front: int, knee: int, line: NDArray[np.float64]
) -> LabelPlacer:
    """Return a placer of labels that knows where everything stands."""
    pixels = axes.transData.transform(points)
    angles = np.linspace(0, 2 * np.pi, 16)
    radius = 9 * axes.figure.dpi / 72
    ring = pixels[knee] + radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    free_degrees = 90.0
    if len(line):  # it ends at the worst side of x and begins at the worst side of y
        way = line[len(line) // 2] - (line[-1, 0], line[0, 1])
        free_degrees = float(np.degrees(np.arctan2(np.sign(way[1]), np.sign(way[0]))))
    return LabelPlacer(
        axes,
        solid=pixels[:num_front],
        ring=ring if len(line) else ring[:0],
        faint=pixels[num_front:],
        line=_along(axes.transData.transform(line)),
        free_degrees=free_degrees,
    )


def _spread(indices: list[int]) -> list[int]:
    """Return the indices so that any first few of them are spread over the whole: ends first."""
    last, step = len(indices) - 1, max(1, len(indices) - 1)
    order: list[int] = []
    while last >= 0 and step >= 1:
        order += [*range(0, last, step), last]
        step = step // 2 if step > 1 else 0
    return [indices[position] for position in dict.fromkeys(order)]


def _along(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return points along a path of straight lines, at most some 10 pixels apart."""
    if len(corners) < 2:
        return corners
    steps = np.linspace(0, 1, 120)[:, None]
    between = corners[:-1, None] + (corners[1:, None] - corners[:-1, None]) * steps
    return np.asarray(between.reshape(-1, 2))
