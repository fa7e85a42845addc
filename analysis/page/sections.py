"""The page's sections that no script changes: money, finalists, importance, provenance."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from analysis.comparison import runs_table
from analysis.evidence import Evidence
from analysis.finalists import Finalist, num_robustness_samples
from analysis.importance import Importance, find_importance
from analysis.labels import format_with_unit, words_of
from analysis.ledger import OUTCOMES, sum_spending
from analysis.page.content import Story
from analysis.page.markup import Markup, command, escape, section, table, tag
from analysis.ranking import Ranking
from analysis.table import UNKNOWN

MAX_REASONS: Final = 8
MAX_IMPORTANCE: Final = 10
MIN_EXPLAINED_FRACTION: Final = 0.05


def runs_section(story: Story) -> Markup | str:
    """Return the runs side by side; empty for one."""
    if len(story.parts) < 2 or not story.ranking.rows:
        return ""
    rows = [
        [
            row["run"], f"{row['num_trials']:,}", f"{row['num_ranked']:,}", f"{row['num_front']:,}",
            f"{row['hypervolume']:.5g}",
            UNKNOWN if row["gang_seconds"] is None else f"{row['gang_seconds']:,.1f}",
            UNKNOWN if row["cost_usd"] is None else f"{row['cost_usd']:.4g}",
        ]
        for row in runs_table(story.parts, story.ranking.objectives).to_pylist()
    ]  # fmt: skip
    headings = ["run", "trials", "ranked", "on its front", "hypervolume", "gang time (s)", "USD"]
    return section(
        "The runs",
        table(headings, rows),
        tag("p", "Hypervolumes are to one reference point, from the ranked trials of all runs. "
            "The decision above is among the trials of all runs.", class_="quiet"),
        tag("div", id="surfaces", class_="chart"),
        key="runs",
    )  # fmt: skip


def spending_section(story: Story) -> Markup:
    """Return where time and money went."""
    spending = sum_spending(story.run)
    if not spending.sums:
        return section("Where the time went", tag("p", "Nothing was spent yet."), key="spending")
    has_price = all(entry.cost_usd is not None for entry in spending.sums)
    heading = "Where the money went" if has_price else "Where the time went"
    rows = [
        tag(
            "div",
            tag("span", OUTCOMES[entry.kind], class_="name"),
            _bar(entry.fraction),
            tag("span", (f"{entry.cost_usd:.4g} USD" if has_price else f"{entry.seconds:,.1f} s")
                + f" ({entry.fraction:.1%})", class_="value"),
            class_="row",
        )
        for entry in spending.sums
    ]  # fmt: skip
    notes = [] if has_price else ["No price was given, so this is gang time."]
    if not spending.is_whole:
        notes.append("The run has no ledger: overhead and idle time are not told.")
    totals = story.run.spec.get("totals")
    told = [
        f"{words_of(key)} {format_with_unit(key, value)}"
        for key, value in (totals.items() if isinstance(totals, dict) else ())
        if isinstance(value, (int, float)) and not isinstance(value, bool)
    ]
    notes += [f"In all: {', '.join(told)}."] if told else []
    return section(
        heading,
        tag("div", rows, class_="bars"),
        tag("p", " ".join(notes), class_="quiet"),
        tag("h3", "What it bought"),
        tag("div", id="spent", class_="chart"),
        key="spending",
    )


def _bar(fraction: float, mark: float | None = None) -> Markup:
    """Return a bar, and with `mark` a line across its track."""
    marks = [] if mark is None else [tag("i", class_="mark", style=f"left:{100 * mark:.1f}%")]
    fill = tag("i", class_="fill", style=f"width:{100 * fraction:.1f}%")
    return tag("span", fill, marks, class_="track")


def importance_section(story: Story) -> Markup:
    """Return which hyperparameters each objective depends on, or why that can't be told."""
    parts: list[Markup] = []
    untold: dict[str, list[str]] = {}
    for objective in story.ranking.objectives:
        try:
            bars = _importance_bars(find_importance(story.run, objective))
        except ImportError:
            missing = tag("p", "Not computed: Optuna is not installed.")
            return section(
                "What mattered",
                missing,
                command("pip install 'paretune[analysis]'"),
                key="importance",
            )
        except ValueError as error:
            untold.setdefault(str(error), []).append(words_of(objective.column))
            continue
        parts += [tag("h3", words_of(objective.column)), bars]
    parts += [
        tag("p", f"{', '.join(words)}: not told. {why[:1].upper()}{why[1:]}.", class_="quiet")
        for why, words in untold.items()
    ]
    note = tag(
        "p",
        "Fraction of a random forest's variance that a hyperparameter explains alone (fANOVA). The "
        "line across a bar is the most that columns of random numbers got: what is not clearly "
        "beyond it may be noise.",
        class_="quiet",
    )
    return section(
        "What mattered", parts, note if len(parts) > len(untold) else "", key="importance"
    )


def _importance_bars(found: Importance) -> Markup:
    shown = list(found.fractions.items())[:MAX_IMPORTANCE]
    rows = [
        tag("div", tag("span", name, class_="name"), _bar(value, found.chance_fraction),
            tag("span", f"{value:.0%}", class_="value"), class_="row")
        for name, value in shown
    ]  # fmt: skip
    explained = found.explained_fraction
    words = f"A forest explains {explained:.0%} of the variance on trials that it has not seen."
    if explained < MIN_EXPLAINED_FRACTION:
        words = (
            "A forest learns nothing that holds for trials it has not seen: take these bars for "
            "noise."
        )
    return Markup(tag("div", rows, class_="bars") + tag("p", words, class_="quiet"))


def finalists_section(evidence: Evidence, pictures: Mapping[str, bytes]) -> Markup | str:
    """Return what the finalists did on the test part, and the pictures; empty without any."""
    finalists = evidence.finalists
    if not finalists:
        return ""
    scores = [
        [
            finalist.trial_id,
            _fraction(finalist.val_accuracy),
            _fraction(finalist.scores["test_accuracy"]),
            UNKNOWN if finalist.bias is None else f"{100 * finalist.bias:+.2f}",
            _fraction(finalist.scores["test_f1_macro"]),
            _fraction(finalist.scores["test_ece"]),
        ]
        for finalist in finalists
    ]
    headings = ["trial", "validation accuracy", "test accuracy", "points", "F1 macro", "ECE"]
    return section(
        "Finalists on the test part",
        table(headings, scores),
        tag("p", "The test part was read once, after the search, for these trials only, and "
            "nothing was chosen by it. Points: test minus validation accuracy, the bias of having "
            "chosen by the latter.", class_="quiet"),
        _robustness(finalists),
        [_picture(name, content) for name, content in pictures.items()],
        key="finalists",
    )  # fmt: skip


def _robustness(finalists: Sequence[Finalist]) -> Markup:
    """Return accuracy under each corruption and attack, mean over severities."""
    measured = [finalist for finalist in finalists if finalist.curves]
    if not measured:
        return tag("p", "Robustness was not measured.", class_="quiet")
    keys = dict.fromkeys((curve.kind, curve.name) for f in measured for curve in f.curves)
    rows = []
    for kind, name in keys:
        cells = []
        for finalist in measured:
            curve = next((c for c in finalist.curves if (c.kind, c.name) == (kind, name)), None)
            value = None if curve is None else sum(curve.accuracies) / len(curve.accuracies)
            cells.append(_fraction(value))
        rows.append([f"{name.replace('_', ' ')} ({kind})", *cells])
    words = f"Mean over severities, on {num_robustness_samples(measured)} test samples."
    return Markup(
        tag("h3", "Robustness: accuracy under corruption and attack")
        + table(["", *(f.trial_id for f in measured)], rows)
        + tag("p", words, class_="quiet")
    )


def _picture(name: str, content: bytes) -> Markup:
    source = "data:image/png;base64," + base64.b64encode(content).decode()
    return Markup(tag("h3", name) + tag("img", src=source, alt=name))


def _fraction(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.4f}"


def unranked_section(ranking: Ranking) -> Markup | str:
    """Return why trials could not be ranked, the most frequent reasons first; empty if all were."""
    if not ranking.unranked:
        return ""
    example = {trial.why: trial.trial_id for trial in reversed(ranking.unranked)}
    counts = Counter(trial.why for trial in ranking.unranked)
    rows = [[why, f"{n:,}", example[why]] for why, n in counts.most_common(MAX_REASONS)]
    hidden = len(counts) - len(rows)
    note = f"And {hidden:,} other reasons in trials.parquet." if hidden else ""
    return section(
        f"Not ranked: {len(ranking.unranked):,} trials",
        table(["why", "trials", "such as"], rows),
        tag("p", note, class_="quiet"),
        key="unranked",
    )


def provenance_section(story: Story) -> Markup:
    """Return what the figures were made with and from, for each run."""
    parts: list[Markup] = []
    for name, run in story.parts.items():
        if len(story.parts) > 1:
            parts.append(tag("h3", name))
        rows = [tag("tr", tag("th", key), tag("td", text)) for key, text in _provenance(run.spec)]
        parts.append(tag("div", tag("table", tag("tbody", rows)), class_="wide facts"))
        if isinstance(run.spec.get("command"), str):
            parts.append(command(run.spec["command"]))
    return section("Provenance", parts, key="provenance")


def _provenance(spec: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    dataset = spec.get("dataset")
    data: dict[str, Any] = dataset if isinstance(dataset, dict) else {}
    yield "data set", " ".join(str(data[k]) for k in ("name", "note") if data.get(k)) or "unknown"
    counts = [f"{data[k]:,} {words}" for k, words in (
        ("num_train", "training"), ("num_val", "validation"), ("num_test", "test"),
    ) if isinstance(data.get(k), int)]  # fmt: skip
    if counts:
        yield "samples", ", ".join(counts)
    for key, value in (
        ("data fingerprint", data.get("fingerprint")), ("seed", spec.get("seed")),
        ("commit", spec.get("commit")), ("scheduler", spec.get("scheduler")),
        ("sampler", spec.get("sampler")), ("schema", spec.get("schema_version")),
    ):  # fmt: skip
        yield key, "not recorded" if value is None else str(value)
    for key in ("serving", "gangs", "hardware", "versions", "price", "simulated"):
        value = spec.get(key)
        if value:
            yield key, _flat(value)


def _flat(value: Any) -> str:
    """Return a nested value on one line, as `key value` where it is an object."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {_flat(one)}" for key, one in value.items() if one is not None)
    if isinstance(value, list):
        return "; ".join(map(_flat, value))
    return value if isinstance(value, str) else json.dumps(value)


def warnings_section(story: Story) -> Markup | str:
    """Return what must be read before anything else; empty if nothing must."""
    status = story.ranking.sweep_status
    notes = []
    if status != "finished":
        notes.append(
            f"The sweep had not finished when this was read (status: {status}): running trials "
            "stand with their last report."
        )
    if story.ranking.rows and len(story.ranking.rows) == 1:
        notes.append("Only one trial is ranked: there was nothing to choose from.")
    return tag("div", [tag("p", escape(note)) for note in notes], class_="warning") if notes else ""
