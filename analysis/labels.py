"""What a reader sees for a column: its words, its unit and its figures."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.records import Objective

_SCORE_WORDS = {
    "loss": "loss",
    "accuracy": "accuracy",
    "top5_accuracy": "top-5 accuracy",
    "precision_macro": "precision macro",
    "recall_macro": "recall macro",
    "f1_macro": "F1 macro",
    "f1_weighted": "F1 weighted",
    "roc_auc": "ROC-AUC",
    "ece": "calibration error",
}
_PARTS = {"val": "validation", "test": "test"}

WORDS = {
    **{
        f"{part}_{score}": f"{part_words} {words}"
        for part, part_words in _PARTS.items()
        for score, words in _SCORE_WORDS.items()
    },
    "train_loss": "training loss",
    "train_accuracy": "training accuracy",
    "generalisation_gap": "generalisation gap",
    "samples_per_second": "throughput",
    "data_wait_fraction": "wait for data",
    "peak_memory_bytes": "peak memory",
    "energy_kwh": "energy",
    "num_parameters": "parameters",
    "flops": "forward pass",
    "activation_bytes": "activations",
    "weights_bytes": "weights on disk",
    "latency_ms": "latency",
    "latency_p50_ms": "median latency",
    "latency_p95_ms": "95th percentile latency",
    "latency_p99_ms": "99th percentile latency",
    "serving_usd_per_million": "serving cost",
    "gang_seconds": "gang time",
    "gpu_seconds": "GPU time",
    "cost_usd": "training cost",
    "lost_seconds": "time lost",
    "lineage_gang_seconds": "gang time of the lineage",
    "lineage_cost_usd": "cost of the lineage",
    "carbon_kg": "carbon",
    "held_gang_seconds": "gangs held for",
    "held_cost_usd": "cost",
    "epoch": "epochs",
}
UNITS = {
    **{
        f"{part}_{score}": "nats" if score == "loss" else "fraction"
        for part in _PARTS
        for score in _SCORE_WORDS
    },
    "train_loss": "nats",
    "train_accuracy": "fraction",
    "generalisation_gap": "fraction",
    "samples_per_second": "samples/s",
    "flops": "FLOP",
    "gpu_seconds": "GPU-s",
    "serving_usd_per_million": "USD per million",
}
UNIT_OF_ENDING = {
    "_ms": "ms",
    "_seconds": "s",
    "_usd": "USD",
    "_kwh": "kWh",
    "_kg": "kg",
    "_bytes": "bytes",
    "_fraction": "fraction",
}


def unit_of(column: str) -> str:
    """Return the column's unit, or an empty string for a count."""
    endings = (unit for ending, unit in UNIT_OF_ENDING.items() if column.endswith(ending))
    return UNITS.get(column) or next(endings, "")


def words_of(column: str) -> str:
    """Return the column in words, without its unit.

    Example:
        >>> words_of("latency_ms"), words_of("latency_raspi4_ms")
        ('latency', 'latency raspi4')
    """
    ending = next((ending for ending in UNIT_OF_ENDING if column.endswith(ending)), "")
    return WORDS.get(column, column.removesuffix(ending).replace("_", " "))


def format_value(column: str, value: float) -> str:
    """Return a figure of the column, four digits at the least, without its unit.

    Bytes are the exception: their figure carries the prefix, and so the unit.

    Example:
        >>> format_value("val_accuracy", 0.9), format_value("num_parameters", 11173962)
        ('0.9000', '11,173,962')
        >>> format_value("weights_bytes", 44_695_848)
        '44.7 MB'
    """
    unit = unit_of(column)
    if unit == "fraction":
        return f"{value:.4f}"
    if unit == "bytes":
        return format_bytes(value)
    if abs(value) >= 1e15:
        return f"{value:.4g}"
    if abs(value) >= 1000 or float(value).is_integer():
        return f"{value:,.0f}"
    return f"{value:.4g}"


def format_bytes(value: float) -> str:
    """Return a number of bytes with the decimal prefix that suits it.

    Example:
        >>> format_bytes(512), format_bytes(8_388_608)
        ('512 B', '8.389 MB')
    """
    for prefix in ("", "k", "M", "G"):
        if abs(value) < 999.95:  # what four digits would show as 1000
            return f"{value:.4g} {prefix}B"
        value /= 1000
    return f"{value:,.4g} TB"


def format_with_unit(column: str, value: float) -> str:
    """Return a figure of the column with its unit, which goes without saying for fractions."""
    unit = unit_of(column)
    return f"{format_value(column, value)} {'' if unit in ('fraction', 'bytes') else unit}".rstrip()


def difference(objective: Objective, value: float) -> str:
    """Return a difference of two values with sign and unit; of fractions in points.

    Example:
        >>> difference(Objective("latency_ms", "min"), -1.5)
        '-1.5 ms'
    """
    if unit_of(objective.column) == "fraction":
        return f"{100 * value:+.2f} points"
    sign = "+" if value >= 0 else "-"
    return f"{sign}{format_with_unit(objective.column, abs(value))}"


def format_values(objectives: Sequence[Objective], values: Sequence[float]) -> str:
    """Return words, figure and unit of every objective, on one line."""
    return ", ".join(
        f"{words_of(objective.column)} {format_with_unit(objective.column, value)}"
        for objective, value in zip(objectives, values, strict=True)
    )


def printable(text: str) -> str:
    r"""Return the text on one line, with control characters written out as escapes.

    Names, notes and commands come from files: they must not move the terminal's cursor.

    Example:
        >>> printable("a" + chr(10) + "b")
        'a\\nb'
    """
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode()
        for c in text
    )
