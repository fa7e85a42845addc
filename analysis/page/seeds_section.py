"""The page's section on finalists that were trained again with further seeds."""

from __future__ import annotations

from analysis.certainty import Certainty
from analysis.evidence import format_odds
from analysis.labels import difference, format_value, format_values, words_of
from analysis.page.content import Story
from analysis.page.markup import Markup, section, table, tag
from analysis.table import UNKNOWN


def seeds_section(story: Story) -> Markup | str:
    """Return what further seeds say of the finalists and their front; empty without any."""
    certainty = story.evidence.certainty
    if certainty is None:
        return ""
    objectives = certainty.estimates.objectives
    headings = ["trial", "seeds"]
    for objective, dof in zip(objectives, certainty.estimates.seed_dof, strict=True):
        words = words_of(objective.column)
        headings += [f"{words} chosen by", "off by", f"mean {words}"] if dof else [words]
    headings += ["mean test accuracy", "on the true front", "its knee"]
    rows = [_row(story, certainty, place) for place in range(len(certainty.on_front))]
    assert story.ranking.reference is not None
    ends = f"{certainty.hypervolume_low:.5g}, {certainty.hypervolume_high:.5g}"
    return section(
        "How sure the front is",
        table(headings, rows),
        tag("p", f"Hypervolume of the finalists' true front: {certainty.hypervolume:.5g} [{ends}] "
            f"(95 %; reference point: {format_values(objectives, story.ranking.reference)})."),
        tag("p", "The true front is one of a few. " + " ".join(membership_lines(certainty))),
        tag("p", EXPLANATION, class_="quiet"),
        key="seeds",
    )  # fmt: skip


EXPLANATION = (
    "Intervals are of 95 %. The truth meant is what a config reaches on average over seeds, on "
    "samples drawn as the validation part was. The further trainings count, and not the score that "
    "a finalist was chosen by: having been chosen, it is too good on average (off by). What a seed "
    "changes is pooled over finalists; the test part decides nothing."
)


def membership_lines(certainty: Certainty) -> list[str]:
    """Return who is surely on the true front of the finalists, who not, and who may be."""
    names = certainty.estimates.trial_ids
    on, off = certainty.surely_on, certainty.surely_off
    open_ = [name for name in names if name not in (*on, *off)]
    lines = []
    for chosen, words in (
        (on, "In all that it is among with 95 %"),
        (open_, "In some of these"),
        (off, "In none of these"),
    ):
        if chosen:
            lines.append(f"{words}: {', '.join(chosen)}.")
    return lines


def _row(story: Story, certainty: Certainty, place: int) -> list[str]:
    estimates = certainty.estimates
    trial_id = estimates.trial_ids[place]
    cells = [trial_id, str(story.evidence.retrainings[trial_id].num_seeds)]
    for index, objective in enumerate(estimates.objectives):
        column = objective.column
        value, first = estimates.values[place, index], estimates.chosen_by[place, index]
        low, high = estimates.intervals()[:, place, index]
        told = format_value(column, value)
        if low < high:
            told += f" [{format_value(column, low)}, {format_value(column, high)}]"
        if estimates.seed_dof[index]:
            cells += [format_value(column, first), difference(objective, first - value)]
        cells.append(told)
    return [
        *cells,
        story.evidence.test_words(trial_id) or UNKNOWN,
        format_odds(float(certainty.on_front[place])),
        format_odds(float(certainty.is_knee[place])),
    ]
