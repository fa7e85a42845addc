"""The trials of a sweep that no other dominates, as it runs; the report has `analysis` do it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

from analysis.records import RANKED_STATUSES, Objective
from sweeps.trial_record import TrialRecord


def ranked(trials: Iterable[TrialRecord], objectives: Sequence[Objective]) -> list[TrialRecord]:
    """Return the trials that have reported, best by the first objective first."""
    reported = (t for t in trials if t.epoch > 0 and t.status in RANKED_STATUSES)
    return sorted(reported, key=lambda trial: _losses(trial, objectives))


def front(trials: Iterable[TrialRecord], objectives: Sequence[Objective]) -> list[TrialRecord]:
    """Return the trials that no other dominates, best by the first objective first.

    Like the report's, without trials that lack the value of an objective.
    """
    losses = [(trial, _losses(trial, objectives)) for trial in ranked(trials, objectives)]
    known = [(trial, loss) for trial, loss in losses if math.inf not in loss]
    return [
        trial
        for trial, loss in known
        if not any(other != loss and _dominates(other, loss) for _, other in known)
    ]


def ranks(
    trials: Iterable[TrialRecord], objectives: Sequence[Objective]
) -> Iterator[list[TrialRecord]]:
    """Yield the front, then that of the others, and so on; each as `front` orders it."""
    left = {trial.trial_id: trial for trial in trials}
    while rank := front(left.values(), objectives):
        yield rank
        for trial in rank:
            del left[trial.trial_id]


def _losses(trial: TrialRecord, objectives: Sequence[Objective]) -> tuple[float, ...]:
    values = ((o, trial.value(o.column)) for o in objectives)
    return tuple(
        math.inf if value is None or math.isnan(value) else o.loss(value) for o, value in values
    )


def _dominates(first: tuple[float, ...], second: tuple[float, ...]) -> bool:
    return all(a <= b for a, b in zip(first, second, strict=True))
