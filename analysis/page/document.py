"""Puts the page together: one file that opens offline, and fetches and runs nothing else."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Final

from analysis.certainty import weigh_finalists
from analysis.decision import bound_values, decide, find_objections, list_bounds
from analysis.estimates import gather_retrainings
from analysis.evidence import Evidence
from analysis.finalists import Finalist
from analysis.load import Run
from analysis.page.content import Story, script_data
from analysis.page.decision_section import decision_section
from analysis.page.markup import Markup, escape, json_script, section, tag
from analysis.page.sections import (
    finalists_section,
    importance_section,
    provenance_section,
    runs_section,
    spending_section,
    unranked_section,
    warnings_section,
)
from analysis.page.seeds_section import seeds_section
from analysis.ranking import Ranking
from analysis.serving import gather_serving

SCRIPTS: Final = ("format.js", "chart.js", "decision.js", "front.js", "parallel.js", "page.js")
"""In the order in which they stand in the page."""

STYLES: Final = ("page.css", "chart.css")

MAX_PICTURE_BYTES: Final = 2_500_000
"""Of a page's pictures together: it stays below 5 MB."""


def tell_story(
    run: Run, parts: Mapping[str, Run], ranking: Ranking, finalists: Sequence[Finalist]
) -> Story:
    """Return what a page tells of a run.

    Args:
        run: one run, or several pooled.
        parts: the runs by the names that a reader shall see.
        ranking: of `run`.
        finalists: of `run`.
    """
    serving = gather_serving(run)
    bounds = list_bounds(run, ranking)
    values = bound_values(run, ranking, bounds)
    objections = find_objections(serving)
    return Story(
        run=run,
        parts=parts,
        ranking=ranking,
        evidence=Evidence(
            run,
            ranking,
            finalists,
            serving,
            gather_retrainings(run),
            weigh_finalists(run, ranking),
        ),
        bounds=bounds,
        values=values,
        objections=objections,
        decision=decide(ranking, bounds, values, objections),
    )


def render_page(story: Story, pictures: Mapping[str, bytes]) -> str:
    """Return the page as HTML.

    Args:
        story: what it tells.
        pictures: PNG files by their heading; left out, and named, where they are too large.
    """
    shown, left_out = _fitting(pictures)
    body = [
        tag("header", tag("h1", f"Sweep {story.ranking.name}"), tag("p", _subtitle(story))),
        warnings_section(story),
        decision_section(story),
        *_with_scripts(story, shown),
        *[tag("p", f"Too large for this page: {name}; see report/.") for name in left_out],
        unranked_section(story.ranking),
        provenance_section(story),
    ]
    if story.ranking.rows:
        body.append(json_script(script_data(story), "data"))
    return _document(f"Sweep {story.ranking.name}", body)


def _subtitle(story: Story) -> str:
    ranking = story.ranking
    counts = ", ".join(f"{n:,} {status}" for status, n in ranking.status_counts.items())
    serving = "" if ranking.serving is None else f" Served by {ranking.serving}."
    return f"{ranking.dataset}. Trials: {counts or 'none'}.{serving}"


def _fitting(pictures: Mapping[str, bytes]) -> tuple[dict[str, bytes], list[str]]:
    """Return the pictures that fit into the page, and the names of those that don't."""
    shown: dict[str, bytes] = {}
    for name, content in pictures.items():
        if sum(map(len, shown.values())) + len(content) <= MAX_PICTURE_BYTES:
            shown[name] = content
    return shown, [name for name in pictures if name not in shown]


def _with_scripts(story: Story, pictures: Mapping[str, bytes]) -> Iterator[Markup | str]:
    """Yield the sections in which scripts draw; none without a ranked trial."""
    if not story.ranking.rows:
        yield spending_section(story) if len(story.run.trials) else ""
        return
    yield section(
        "The front",
        tag("div", id="limits", class_="limits"),
        tag("div", id="front-axes", class_="choices"),
        tag("div", id="front", class_="chart"),
        tag("p", "Touch a point to see its config, and its curve below. Moving a limit moves the "
            "recommendation above.", class_="quiet"),
        tag("p", "Crosses: finalists by further seeds, with 95 % intervals; a dotted line leads "
            "from the figure that each was chosen by.", class_="quiet",
            hidden=story.evidence.certainty is None or len(story.ranking.objectives) < 2),
        tag("div", id="trial", class_="trial", hidden=True),
        key="tradeoff",
    )  # fmt: skip
    yield seeds_section(story)
    yield runs_section(story)
    yield spending_section(story)
    yield section(
        "Learning curves",
        tag("div", id="curve-metrics", class_="choices"),
        tag("div", id="curves", class_="chart"),
        key="learning",
    )
    yield section(
        "Configs and what they reach",
        tag("div", id="parallel", class_="chart"),
        tag("p", "Each line is a trial, from its hyperparameters down to the objectives. Orange: "
            "recommended. Blue: on the front. Touch a line to see its trial.", class_="quiet"),
        key="configs",
    )  # fmt: skip
    yield importance_section(story)
    yield finalists_section(story.evidence, pictures)
    yield section(
        "Lineage and schedules",
        tag("div", id="lineage", class_="chart"),
        tag("div", id="schedule-keys", class_="choices"),
        tag("div", id="schedules", class_="chart"),
        key="breeding",
    )


def _document(title: str, body: Sequence[str]) -> str:
    script = "\n".join(_asset(name) for name in SCRIPTS)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
        f"script-src 'sha256-{digest}'"
    )
    head = [
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        Markup(f'<meta http-equiv="Content-Security-Policy" content="{policy}">'),
        tag("title", title),
        tag("style", Markup("\n".join(map(_asset, STYLES)))),
    ]
    inner = [
        tag("main", map(escape, body)),
        tag("div", id="tip", hidden=True),
        tag("script", Markup(script)),
    ]
    page = tag("html", tag("head", head), tag("body", inner), lang="en")
    return f"<!DOCTYPE html>\n{page}\n"


@cache
def _asset(name: str) -> str:
    return resources.files("analysis.page").joinpath(name).read_text(encoding="utf-8")
