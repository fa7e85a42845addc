"""What `benchmarks/search.py` writes, and `benchmarks/search_report.py` reads."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

NUM_TIMES = 60


@dataclass(frozen=True)
class Case:
    """One run: a method on a table."""

    table: str
    known: tuple[str, ...]
    method: str
    num_workers: int
    seed: int


@dataclass(frozen=True)
class Outcome:
    """What came of it: fractions of the table's hypervolume, and of the horizon."""

    case: Case
    anytime: float
    final: float
    at_95: float
    worths: list[float]  # at NUM_TIMES evenly spaced times
    num_trials: int
    num_reports: int
    seconds: float


def read_outcomes(paths: Iterable[Path]) -> list[Outcome]:
    """Return the outcomes of files of JSON lines; none of a file that isn't there."""
    outcomes = []
    for line in [line for p in paths if p.exists() for line in p.read_text().splitlines()]:
        values = json.loads(line)
        case = values.pop("case")
        case["known"] = tuple(case["known"])
        outcomes.append(Outcome(Case(**case), **values))
    return outcomes
