"""Interactive figures for notebooks, made with Plotly (the extra `analysis`).

Each function takes what the rest of `analysis` returns and gives a `plotly.graph_objects.Figure`.
Text from run folders is escaped: Plotly reads some HTML.
"""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from analysis import chart_style as look
from analysis.configs import differing_keys
from analysis.curves import Curve
from analysis.importance import Importance
from analysis.labels import format_value, unit_of, words_of
from analysis.ledger import OUTCOMES, Spending
from analysis.lineage import Segment, schedule
from analysis.plots import pareto_roles
from analysis.ranking import RankedTrial, Ranking
from analysis.records import Objective

MAX_LINES: Final = 60
"""Trials in a figure with a line each; of more the first."""
MAX_CHOICES: Final = 20
"""Values that a hyperparameter that is no number may take to be an axis."""


def front_figure(ranking: Ranking) -> go.Figure:
    """Return the ranked trials and the front; hovering tells values and config.

    Two objectives are the axes and a third is the colour; of more the others are told on hovering.

    Raises:
        ValueError: if no trial is ranked, or there is only one objective.
    """
    if not ranking.rows or len(ranking.objectives) < 2:
        raise ValueError(
            f"ranking must hold ranked trials and two objectives, got {len(ranking.rows)} trials "
            f"and {len(ranking.objectives)} objectives; see its `unranked` for why"
        )
    x, y, colour = pareto_roles(ranking.objectives)
    figure = _figure(f"Pareto front of {ranking.name}")
    dominated = [row for row in ranking.rows if not row.is_front]
    keys = differing_keys([row.config for row in ranking.rows])
    for name, rows, size in (("dominated", dominated, 6), ("front", ranking.front, 11)):
        marker: dict[str, Any] = {
            "size": size,
            "color": look.FRONT_COLOUR if name == "front" else look.FAINT_COLOUR,
            "opacity": 1.0 if name == "front" else 0.5,
        }
        if colour is not None:
            column = ranking.objectives[colour].column
            marker |= {"coloraxis": "coloraxis", "color": [row.values[colour] for row in rows]}
            figure.update_layout(coloraxis={"colorbar": {"title": words_of(column)}})
        figure.add_scatter(
            x=[row.values[x] for row in rows],
            y=[row.values[y] for row in rows],
            mode="markers",
            name=name,
            marker=marker,
            text=[_hover(row, ranking.objectives, keys) for row in rows],
            hoverinfo="text",
        )
    knee = ranking.knee
    assert knee is not None
    ring = {"size": 18, "symbol": "circle-open", "color": look.KNEE_COLOUR, "line": {"width": 2}}
    at = {"x": [knee.values[x]], "y": [knee.values[y]]}
    figure.add_scatter(**at, mode="markers", name="knee", marker=ring, hoverinfo="skip")
    figure.update_layout(legend={"orientation": "h", "y": 1.08})
    figure.update_xaxes(title=_axis_title(ranking.objectives[x]))
    figure.update_yaxes(title=_axis_title(ranking.objectives[y]))
    return figure


def parallel_coordinates_figure(ranking: Ranking, keys: Sequence[str] | None = None) -> go.Figure:
    """Return hyperparameters and objectives as parallel axes, coloured by the first objective.

    Args:
        ranking: with ranked trials.
        keys: hyperparameters to show; None for all that differ. A choice of more than
            `MAX_CHOICES` values is left out, and so are trials that lack a number.

    Raises:
        ValueError: if no trial is ranked.
    """
    if not ranking.rows:
        raise ValueError(
            "ranking must hold at least one ranked trial, got none; see its `unranked` for why"
        )
    rows = ranking.rows
    shown = keys if keys is not None else differing_keys([row.config for row in rows])
    axes = [axis for key in shown if (axis := _config_axis(key, rows)) is not None]
    for index, objective in enumerate(ranking.objectives):
        values = [row.values[index] for row in rows]
        axes.append({"label": _escaped(words_of(objective.column)), "values": values})
    figure = _figure(f"Configs and objectives of {ranking.name}")
    first = [row.values[0] for row in rows]
    colours = {"color": first, "colorscale": "Viridis", "showscale": True}
    figure.add_parcoords(dimensions=axes, line=colours)
    figure.update_layout(margin={"t": 100})
    return figure


def curves_figure(
    curves: Mapping[str, Curve], column: str, highlighted: Sequence[str] = ()
) -> go.Figure:
    """Return learning curves, a line a trial.

    Args:
        curves: from `learning_curves`; the highlighted and then the first `MAX_LINES` are drawn.
        column: what they are of.
        highlighted: ids of trials that stand out, such as those of the front.
    """
    order = [*(t for t in highlighted if t in curves), *(t for t in curves if t not in highlighted)]
    figure = _figure(f"{words_of(column)} by epoch")
    for trial_id in order[: max(MAX_LINES, len(highlighted))][::-1]:
        is_high = trial_id in highlighted
        figure.add_scatter(
            x=curves[trial_id].epochs,
            y=curves[trial_id].values,
            name=_escaped(trial_id),
            mode="lines+markers" if len(curves[trial_id].epochs) < 3 else "lines",
            opacity=1.0 if is_high or not highlighted else 0.4,
            line={"width": 2.5 if is_high else 1, **({} if is_high else _faint(highlighted))},
        )
    figure.update_xaxes(title="epoch")
    figure.update_yaxes(title=_with_unit(column))
    return figure


def schedules_figure(lineages: Mapping[str, Sequence[Segment]], key: str) -> go.Figure:
    """Return a hyperparameter over the epochs of each trial's lineage, as steps.

    Args:
        lineages: from `gather_lineages`; the first `MAX_LINES` are drawn.
        key: of the configs; a number.
    """
    figure = _figure(f"Schedules of {key}")
    for trial_id, segments in list(lineages.items())[:MAX_LINES]:
        epochs, values = schedule(segments, key)
        shape = {"shape": "hvh"}
        figure.add_scatter(x=epochs, y=values, name=_escaped(trial_id), mode="lines", line=shape)
    figure.update_xaxes(title="epoch of the lineage")
    numbers = [v for s in lineages.values() for v in schedule(s, key)[1] if _is_number(v)]
    is_wide = bool(numbers) and min(numbers) > 0 and max(numbers) / min(numbers) >= look.LOG_RATIO
    figure.update_yaxes(title=_escaped(key), type="log" if is_wide else "-")
    return figure


def lineage_figure(lineages: Mapping[str, Sequence[Segment]]) -> go.Figure:
    """Return who went on from whom: a row a trial, and a line from each donor.

    Args:
        lineages: from `gather_lineages`.
    """
    figure = _figure("Lineage")
    rows = {trial_id: index for index, trial_id in enumerate(lineages)}
    for trial_id, segments in lineages.items():
        own = [s for s in segments if s is segments[-1]]
        for segment in own:
            line = {"color": look.FRONT_COLOUR, "width": 3}
            x, y = [segment.from_epoch, segment.to_epoch], [rows[trial_id]] * 2
            figure.add_scatter(x=x, y=y, mode="lines", line=line, name=_escaped(trial_id))
            if segment.donor_id in rows:
                x, y = [segment.from_epoch] * 2, [rows[segment.donor_id], rows[trial_id]]
                line = {"color": look.KNEE_COLOUR, "width": 1}
                figure.add_scatter(x=x, y=y, mode="lines+markers", line=line, hoverinfo="skip")
    names = [_escaped(trial_id) for trial_id in rows]
    figure.update_yaxes(tickvals=list(rows.values()), ticktext=names, autorange="reversed")
    figure.update_xaxes(title="epoch")
    figure.update_layout(showlegend=False)
    return figure


def spent_figure(curves: Mapping[str, Any], name: str = "Hypervolume over spending") -> go.Figure:
    """Return the curves of `compare_hypervolumes`, a line a run."""
    figure = _figure(name)
    for label, curve in curves.items():
        x, y = curve.spent, curve.hypervolumes
        figure.add_scatter(x=x, y=y, name=_escaped(label), mode="lines", line={"shape": "hv"})
        figure.update_xaxes(title=curve.unit.replace("_", " "))
    figure.update_yaxes(title="hypervolume")
    return figure


def attainment_figure(
    surfaces: Mapping[float, NDArray[np.float64]], objectives: Sequence[Objective]
) -> go.Figure:
    """Return the surfaces of `attainment_surfaces` of two objectives as step lines.

    Raises:
        ValueError: if there are not two objectives.
    """
    if len(objectives) != 2:
        raise ValueError(f"objectives must be two to be drawn, got {len(objectives)}; choose which")
    figure = _figure("Attained by a part of the sweeps")
    for percentile, points in surfaces.items():
        ordered = points[np.argsort(objectives[0].loss(points[:, 0]))]
        share = "at least one" if percentile == 0 else f"{percentile:g} %"
        line = {"shape": "hv"}
        figure.add_scatter(
            x=ordered[:, 0], y=ordered[:, 1], name=share, mode="lines+markers", line=line
        )
    figure.update_xaxes(title=_axis_title(objectives[0]))
    figure.update_yaxes(title=_axis_title(objectives[1]))
    return figure


def importance_figure(found: Sequence[Importance]) -> go.Figure:
    """Return hyperparameters' importance as bars, a colour an objective.

    A dotted line of its colour marks the most that columns of random numbers got.
    """
    figure = _figure("Importance of hyperparameters (fANOVA)")
    for index, one in enumerate(found):
        colour = look.SERIES_COLOURS[index % look.MAX_SERIES]
        names = [_escaped(name) for name in one.fractions]
        values = list(one.fractions.values())
        label = words_of(one.column)
        figure.add_bar(x=values, y=names, orientation="h", name=label, marker_color=colour)
        figure.add_vline(x=one.chance_fraction, line={"color": colour, "dash": "dot"})
    figure.update_xaxes(title="fraction of the explained variance")
    figure.update_yaxes(autorange="reversed")
    return figure


def spending_figure(spending: Spending) -> go.Figure:
    """Return where time and money went as bars."""
    figure = _figure("Where the gangs' time went")
    has_price = all(entry.cost_usd is not None for entry in spending.sums)
    values = [entry.cost_usd if has_price else entry.seconds for entry in spending.sums]
    names = [OUTCOMES[entry.kind] for entry in spending.sums]
    figure.add_bar(x=values, y=names, orientation="h", marker_color=look.FRONT_COLOUR)
    figure.update_xaxes(title="USD" if has_price else "gang time (s)")
    figure.update_yaxes(autorange="reversed")
    return figure


def _figure(title: str) -> go.Figure:
    figure = go.Figure()
    figure.update_layout(title=_escaped(title), template="plotly_white")
    return figure


def _escaped(text: str) -> str:
    return html.escape(text, quote=False)


def _with_unit(column: str) -> str:
    unit = unit_of(column)
    return _escaped(f"{words_of(column)} ({unit})" if unit else words_of(column))


def _axis_title(objective: Objective) -> str:
    better = "higher is better" if objective.direction == "max" else "lower is better"
    return f"{_with_unit(objective.column)}, {better}"


def _hover(row: RankedTrial, objectives: Sequence[Objective], keys: Sequence[str]) -> str:
    lines = [f"{row.trial_id} (rank {row.rank}, epoch {row.epoch})"]
    lines += [
        f"{words_of(objective.column)}: {format_value(objective.column, value)}"
        for objective, value in zip(objectives, row.values, strict=True)
    ]
    lines += [f"{key}: {json.dumps(row.config[key])}" for key in keys if key in row.config]
    return "<br>".join(map(_escaped, lines))


def _config_axis(key: str, rows: Sequence[RankedTrial]) -> dict[str, Any] | None:
    """Return a hyperparameter as an axis; None for a choice of too many values."""
    cells = [row.config.get(key) for row in rows]
    if all(_is_number(cell) or cell is None for cell in cells):
        numbers = np.array([np.nan if cell is None else cell for cell in cells], dtype=np.float64)
        known = numbers[~np.isnan(numbers)]
        if len(known) and known.min() > 0 and known.max() / known.min() >= look.LOG_RATIO:
            return {"label": _escaped(f"log10 {key}"), "values": np.log10(numbers)}
        return {"label": _escaped(key), "values": numbers}
    texts = [json.dumps(cell) if not isinstance(cell, str) else cell for cell in cells]
    choices = sorted(set(texts))
    if len(choices) > MAX_CHOICES:
        return None
    places = [choices.index(text) for text in texts]
    names = [_escaped(look.shorten(text, 24)) for text in choices]
    return {
        "label": _escaped(key),
        "values": places,
        "tickvals": list(range(len(choices))),
        "ticktext": names,
    }


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _faint(highlighted: Sequence[str]) -> dict[str, str]:
    return {"color": look.FAINT_COLOUR} if highlighted else {}
