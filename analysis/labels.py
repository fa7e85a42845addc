"""What a reader sees for a column: its words, its unit and its figures."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.records import Objective

WORDS = {
    "val_accuracy": "validation accuracy",
    "val_loss": "validation loss",
    "train_loss": "training loss",
    "latency_p50_ms": "median latency",
    "num_parameters": "parameters",
    "gang_seconds": "gang time",
    "gpu_seconds": "GPU time",
    "cost_usd": "training cost",
    "epoch": "epochs",
}
UNITS = {
    "val_accuracy": "fraction",
    "val_loss": "nats",
    "train_loss": "nats",
    "gpu_seconds": "GPU-s",
}
UNIT_OF_ENDING = {
    "_ms": "ms",
    "_seconds": "s",
    "_usd": "USD",
    "_kwh": "kWh",
    "_fraction": "fraction",
}


def unit_of(column: str) -> str:
    """Return the column's unit, or an empty string for a count."""
    endings = (unit for ending, unit in UNIT_OF_ENDING.items() if column.endswith(ending))
    return UNITS.get(column) or next(endings, "")


def words_of(column: str) -> str:
    """Return the column in words, without its unit."""
    return WORDS.get(column, column.replace("_", " "))


def format_value(column: str, value: float) -> str:
    """Return a figure of the column, four digits at the least, without its unit.

    Example:
        >>> format_value("val_accuracy", 0.9), format_value("num_parameters", 11173962)
        ('0.9000', '11,173,962')
    """
    if unit_of(column) == "fraction":
        return f"{value:.4f}"
    if abs(value) >= 1e15:
        return f"{value:.4g}"
    if abs(value) >= 1000 or float(value).is_integer():
        return f"{value:,.0f}"
    return f"{value:.4g}"


def format_values(objectives: Sequence[Objective], values: Sequence[float]) -> str:
    """Return words, figure and unit of every objective, on one line."""
    parts = []
    for objective, value in zip(objectives, values, strict=True):
        column = objective.column
        unit = "" if unit_of(column) == "fraction" else unit_of(column)
        parts.append(f"{words_of(column)} {format_value(column, value)} {unit}".rstrip())
    return ", ".join(parts)


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
