"""Finalists as they would be shipped: their trained weights, timed while the gangs are idle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from sweeps.latencies import Latencies
from sweeps.trial_record import TrialRecord
from trainables.latency import LatencyError
from trainables.latency.blocks import MAX_TRIES, Limits
from trainables.latency.measure import Samples, Subject
from trainables.trial_config import TrialConfig

MIN_TIME_S: Final = 5.0
"""Seconds of calls at least, if the limit allows: on a quiet machine a finalist takes this."""


def finalist_limits(seconds: float) -> Limits:
    """Return limits with which all tries together take this long at most."""
    return Limits(min(MIN_TIME_S, seconds / MAX_TRIES), seconds / MAX_TRIES)


def subject_of(trial: TrialRecord, locate: Callable[[str], str]) -> Subject:
    """Return what is measured of a finalist.

    Args:
        trial: with a checkpoint.
        locate: from a checkpoint as recorded to its location.
    """
    assert trial.checkpoint is not None
    return Subject(TrialConfig.from_dict(trial.config), locate(trial.checkpoint), trial.trial_id)


def measure_finalists(
    subjects: Sequence[Subject],
    latencies: Latencies,
    samples: Samples,
    limits: Limits,
    *,
    is_stopping: Callable[[], bool],
) -> dict[str, str]:
    """Measure each finalist in the runtime and precision that its architecture was measured in.

    Args:
        subjects: of finalists, pruned or not; no gang may be at work.
        latencies: of their architectures; takes the figures in.
        samples: of the train part for int8, of the validation part for the accuracy.
        limits: of the time.
        is_stopping: says whether those that haven't begun shall be left out.

    Returns:
        Why some were not measured, by what they are.
    """
    latencies.progress.begin("latencies of trained weights", len(subjects))
    failures: dict[str, str] = {}
    for subject in subjects:
        name = f"{subject.trial_id}{' pruned' if subject.pruned_fraction else ''}"
        if is_stopping():
            failures[name] = "the sweep was interrupted"
            continue
        try:
            latencies.measure_trained(subject, samples, limits)
        except LatencyError as error:
            failures[name] = str(error)
    return failures
