"""The tables of a model card: scores, latencies, cost, robustness."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from scipy.stats import binomtest

from trainables.latency.figure import LatencyFigure

Row = Mapping[str, Any]

_SCORES: Final = {
    "accuracy": "accuracy",
    "top5_accuracy": "top-5 accuracy",
    "precision_macro": "precision, macro",
    "recall_macro": "recall, macro",
    "f1_macro": "F1, macro",
    "f1_weighted": "F1, weighted",
    "roc_auc": "ROC-AUC",
    "ece": "calibration error (ECE)",
    "loss": "loss [nats]",
}
_COUNTED: Final = ("accuracy", "top5_accuracy")
_MAX_CLASSES: Final = 20
_CONFIDENCE: Final = 0.95
_MEGA: Final = 1e6

NONE: Final = "-"
"""Where a table has nothing to say."""


def markdown_table(names: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a table."""
    lines = [names, ["---"] * len(names), *rows]
    escaped = ([cell.replace("|", "\\|") for cell in cells] for cells in lines)
    return [f"| {' | '.join(cells)} |" for cells in escaped]


def score_table(row: Row, num_val: int, num_test: int) -> list[str]:
    """Return the scores of the validation part, and of the test part where it was read.

    Those that are counts of samples have their 95 % interval (Wilson 1927).

    Args:
        row: of `trials.parquet`.
        num_val: samples of the validation part.
        num_test: samples of the test part.
    """
    parts = {"val": (f"validation ({num_val})", num_val)}
    if row.get("test_accuracy") is not None:
        parts["test"] = (f"test ({num_test})", num_test)
    rows = [
        [words, *(_score(row.get(f"{part}_{name}"), name, n) for part, (_, n) in parts.items())]
        for name, words in _SCORES.items()
        if row.get(f"val_{name}") is not None
    ]
    return markdown_table(["score", *(title for title, _ in parts.values())], rows)


def class_table(per_class: Sequence[Row], class_names: Sequence[str]) -> list[str]:
    """Return the scores of each class on the validation part; of many, of the worst."""
    named = sorted(zip(class_names, per_class, strict=True), key=lambda pair: pair[1]["recall"])
    if len(named) <= _MAX_CLASSES:
        named = list(zip(class_names, per_class, strict=True))
    rows = [
        [
            name,
            str(one["support"]),
            fraction_words(one["recall"], one["support"]),
            f"{one['precision']:.4f}",
            f"{one['f1']:.4f}",
        ]
        for name, one in named[:_MAX_CLASSES]
    ]
    return markdown_table(["class", "samples", "recall", "precision", "F1"], rows)


def fraction_words(fraction: float, num_samples: int) -> str:
    """Return a fraction of samples with its 95 % interval (Wilson)."""
    if num_samples == 0:
        return "no samples"
    num_hits = round(fraction * num_samples)
    low, high = binomtest(num_hits, num_samples).proportion_ci(_CONFIDENCE, method="wilson")
    return f"{fraction:.4f} [{low:.4f}, {high:.4f}]"


def latency_table(rows: Sequence[Row], measured: LatencyFigure | None) -> list[str]:
    """Return the latencies of the model's architecture and of its weights, intervals in brackets.

    Args:
        rows: of `latency.parquet`.
        measured: of the export itself; None: it was not measured.
    """
    named = [
        ("trained weights" if row["trial_id"] else "architecture, random weights", row)
        for row in rows
    ]
    if measured is not None:
        named.append(("this export", vars(measured)))
    return markdown_table(
        ["what", "served", "on", "latency [ms]", "p50 [ms]", "p95 [ms]", "p99 [ms]",
         "samples/s", "memory [MB]", "status"],
        [
            [
                what,
                f"{row['runtime']} {row['precision']}, batch {row['batch_size']}, "
                f"{row['num_threads']} thread{'' if row['num_threads'] == 1 else 's'}",
                str(row["device"]),
                *(_span(row, name) for name in ("latency", "p50", "p95", "p99")),
                _number(row.get("throughput_per_s"), 1),
                _number(row.get("peak_memory_bytes"), _MEGA),
                str(row["status"]),
            ]
            for what, row in named
        ],
    )  # fmt: skip


def cost_table(row: Row, totals: Row) -> list[str]:
    """Return what the weights, the trial and the whole sweep took."""
    rows = [
        ("these weights, donors' included", row.get("lineage_gang_seconds"),
         row.get("lineage_cost_usd")),
        ("this trial", row.get("gang_seconds"), row.get("cost_usd")),
        ("the whole sweep, idle and lost time included", totals.get("held_gang_seconds"),
         totals.get("held_cost_usd")),
    ]  # fmt: skip
    return markdown_table(
        ["what", "gang-seconds", "USD"],
        [
            [what, _number(seconds, 1), "no price was given" if usd is None else f"{usd:.4g}"]
            for what, seconds, usd in rows
        ],
    )


def robustness_table(rows: Sequence[Row]) -> list[str]:
    """Return the accuracy under each corruption and attack, at its least and its greatest."""
    by_name: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        by_name.setdefault((row["kind"], row["name"]), []).append(row)
    cells = []
    for (kind, name), group in by_name.items():
        ordered = sorted(group, key=lambda row: int(row["severity"]))
        ends = (ordered[0], ordered[-1])
        words = [fraction_words(row["accuracy"], row["num_samples"]) for row in ends]
        cells.append([f"{name} ({kind})", *words])
    return markdown_table(["under", "accuracy, least severity", "accuracy, greatest"], cells)


def _score(value: float | None, name: str, num_samples: int) -> str:
    if value is None:
        return NONE
    return fraction_words(value, num_samples) if name in _COUNTED else f"{value:.4f}"


def _span(row: Row, name: str) -> str:
    value = row.get(f"{name}_ms")
    if value is None:
        return NONE
    return f"{value:.4g} [{row[f'{name}_low_ms']:.4g}, {row[f'{name}_high_ms']:.4g}]"


def _number(value: float | None, unit: float) -> str:
    return NONE if value is None else f"{value / unit:.4g}"
