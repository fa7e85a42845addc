"""The page's first words: what to ship, why, how sure one can be, and how to get it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from analysis.choice import KNEE_DEFINITIONS
from analysis.evidence import Note
from analysis.labels import difference, format_value, format_with_unit, unit_of, words_of
from analysis.page.content import Story
from analysis.page.markup import Markup, command, section, tag
from analysis.ranking import RankedTrial
from analysis.records import Objective

MAX_RUNNERS_UP: Final = 5
NO_PICK: Final = "none"
NO_PICK_REASON: Final = (
    "No trial meets all limits without something found against it after the search: move a limit "
    "back."
)


def decision_section(story: Story) -> Markup:
    """Return the recommendation; scripts fill it anew when limits are moved."""
    if not story.ranking.rows:
        lead = tag("p", nothing_ranked(story), class_="lead")
        return section("No model can be recommended", lead, key="decision")
    decision = story.decision
    pick, others = decision.pick, decision.runners_up[:MAX_RUNNERS_UP]
    is_none = pick is None
    return section(
        "Recommended model",
        tag("p", NO_PICK if pick is None else pick.trial_id, id="pick", class_="pick"),
        tag("div", _tiles(story, pick), id="pick-values", class_="tiles", hidden=is_none),
        tag("p", "The sweep had no SLO; a limit set under The front stands in for one.",
            class_="quiet", hidden=any(bound.is_slo for bound in story.bounds)),
        tag("p", NO_PICK_REASON if pick is None else reason(story, pick), id="pick-why"),
        tag("div",
            tag("h3", "Reproduce it"),
            command((pick and pick.reproduce) or "no command recorded"),
            tag("h3", "How sure that is"),
            tag("ul", note_items(story.evidence.notes(pick) if pick else []), id="pick-notes",
                class_="notes"),
            id="pick-more", hidden=is_none),
        tag("h3", "Runners-up", id="runners-heading", hidden=not others),
        tag("ul", [_runner_up(story, row, pick) for row in others if pick], id="runners"),
        tag("p", f"Rule: {KNEE_DEFINITIONS['ideal']}, among the trials that meet all limits and "
            "that nothing measured after the search speaks against.", class_="quiet"),
        key="decision",
    )  # fmt: skip


def nothing_ranked(story: Story) -> str:
    """Return why no trial could be recommended, whatever the limits."""
    num_trials = len(story.run.trials)
    if not num_trials:
        return "The run has no trials yet."
    counts = ", ".join(f"{n:,} {status}" for status, n in story.ranking.status_counts.items())
    return f"None of the {num_trials:,} trials can be ranked ({counts}); the reasons are below."


def reason(story: Story, pick: RankedTrial) -> str:
    """Return why the pick is recommended, and what it gives up for that."""
    ranking, members = story.ranking, (pick, *story.decision.runners_up)
    num_left = story.decision.num_left
    which = "ranked" if num_left == len(ranking.rows) else "left by the limits"
    words = _listed([words_of(objective.column) for objective in ranking.objectives])
    if len(members) == 1 or len(ranking.objectives) == 1:
        return f"The best in {words} of the {num_left:,} trials {which}."
    given_up = []
    for index, objective in enumerate(ranking.objectives):
        losses = [objective.loss(row.values[index]) for row in members]
        best = members[losses.index(min(losses))]
        if best.values[index] != pick.values[index]:
            gap = difference(objective, abs(pick.values[index] - best.values[index]))
            given_up.append(f"{gap[1:]} of {words_of(objective.column)} against {best.trial_id}")
    text = (
        f"The best balance of {words} among the {len(members):,} trials that nothing dominates, "
        f"of {num_left:,} {which}."
    )
    return text + (f" It gives up {_listed(given_up)}." if given_up else "")


def _listed(parts: list[str]) -> str:
    return ", ".join(parts[:-1]) + (" and " if len(parts) > 1 else "") + parts[-1]


def _tiles(story: Story, pick: RankedTrial | None) -> Iterator[Markup]:
    """Yield the pick's figures, with their margin to a limit."""
    if pick is None:
        return
    row = story.ranking.rows.index(pick)
    for index, bound in enumerate(story.bounds):
        column, value = bound.scale.column, float(story.values[row, index])
        if value != value:
            continue
        yield tag(
            "div",
            tag("span", words_of(column), class_="name"),
            tag("span", format_value(column, value), class_="figure"),
            tag("span", _shown_unit(column), class_="unit"),
            tag("span", margin(bound.scale, value, bound.value, is_slo=bound.is_slo),
                class_="margin"),
            class_="tile",
        )  # fmt: skip


def _shown_unit(column: str) -> str:
    unit = unit_of(column)
    return "" if unit in ("fraction", "bytes") else unit


def margin(scale: Objective, value: float, limit: float | None, *, is_slo: bool) -> str:
    """Return how far a value is from its limit, in the limit's own terms.

    Example:
        >>> margin(Objective("latency_ms", "min"), 4.0, 5.0, is_slo=True)
        '20.0 % under the SLO of 5 ms'
    """
    if limit is None:
        return ""
    name = f"{'the SLO' if is_slo else 'the limit'} of {format_with_unit(scale.column, limit)}"
    if unit_of(scale.column) == "fraction":
        gap = f"{100 * abs(value - limit):.2f} points"
    else:
        gap = f"{100 * abs(value - limit) / abs(limit):.1f} %" if limit else f"{abs(value):.4g}"
    if value == limit:
        return f"at {name}"
    return f"{gap} {'under' if value < limit else 'over'} {name}"


def note_items(notes: list[Note]) -> list[Markup]:
    """Return sentences on how sure one can be, as items of a list."""
    return [tag("li", note.text, class_=note.tone) for note in notes]


def _runner_up(story: Story, row: RankedTrial, pick: RankedTrial) -> Markup:
    gaps = [
        f"{words_of(o.column)} {format_with_unit(o.column, row.values[i])} "
        f"({difference(o, row.values[i] - pick.values[i])})"
        for i, o in enumerate(story.ranking.objectives)
    ]
    sure = story.evidence.front_words(row)
    text = f": {', '.join(gaps)}" + (f"; {sure}" if sure else "")
    return tag("li", tag("b", row.trial_id), text)
