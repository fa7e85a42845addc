"""From timed calls to a figure that a loaded host leaves alone. Needs no Torch."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from trainables.latency.blocks import Series
from trainables.latency.figure import cpu_governor, quantile

_MIN_CLEAN_CALLS = 662
_MIN_CLEAN_FRACTION = 0.7
_MIN_CPU_FRACTION = 0.5


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What a latency is on this host when it is quiet, whatever the host does now.

    Figures are comparable where `nominal_reference_ms` is the same, and `reference_ratio` always
    is on one kind of processor: multiply it by any nominal time.

    Attributes:
        calibrated_ms: reference_ratio x nominal_reference_ms.
        calibrated_low_ms: with the fifth smallest block minimum of the reference.
        calibrated_high_ms: with the fifth smallest block minimum of the target.
        reference_ratio: min_ms / reference_min_ms.
        min_ms: the target's shortest call.
        reference_min_ms: the reference network's shortest call, measured in turn with it.
        nominal_reference_ms: the reference network's shortest call when the host is quiet.
        is_stable: the shortest calls of both agree. A figure that isn't must not be ranked.
        num_tries: taken to get there.
        clean_fraction: of the target's calls, not preempted; None where the system doesn't say.
        governor: of the CPU's clock rate; None where the system doesn't tell.
        tail_reason: why there is no p95 and p99; None where there are.
    """

    calibrated_ms: float
    calibrated_low_ms: float
    calibrated_high_ms: float
    reference_ratio: float
    min_ms: float
    reference_min_ms: float
    nominal_reference_ms: float
    is_stable: bool
    num_tries: int
    clean_fraction: float | None
    governor: str | None
    tail_reason: str | None


@dataclass(frozen=True)
class Nominal:
    """The shortest call of the reference network on a quiet host.

    Attributes:
        reference_ms: of that call.
        is_stable: the shortest calls agreed when it was measured.
    """

    reference_ms: float
    is_stable: bool


def calibrate(
    target: Series, reference: Series, nominal: Nominal, *, num_tries: int, num_threads: int
) -> Calibration:
    """Return the calibrated figure of a target that was timed in turn with the reference."""
    target_ms, reference_ms = target.smallest_ms(), reference.smallest_ms()
    clean_fraction = _clean_fraction(target)
    return Calibration(
        calibrated_ms=target_ms[0] / reference_ms[0] * nominal.reference_ms,
        calibrated_low_ms=target_ms[0] / reference_ms[-1] * nominal.reference_ms,
        calibrated_high_ms=target_ms[-1] / reference_ms[0] * nominal.reference_ms,
        reference_ratio=target_ms[0] / reference_ms[0],
        min_ms=target_ms[0],
        reference_min_ms=reference_ms[0],
        nominal_reference_ms=nominal.reference_ms,
        is_stable=target.is_stable() and reference.is_stable() and nominal.is_stable,
        num_tries=num_tries,
        clean_fraction=clean_fraction,
        governor=cpu_governor(),
        tail_reason=_tail_reason(target, clean_fraction, num_threads),
    )


def tail_ms(target: Series, calibration: Calibration) -> tuple[float | None, float | None]:
    """Return p95 and p99 of the calls that were not preempted, or None where they say nothing."""
    if calibration.tail_reason is not None:
        return None, None
    clean_ms = sorted(call.wall_ms for call in target.calls if call.is_preempted is False)
    return quantile(clean_ms, 0.95), quantile(clean_ms, 0.99)


def _clean_fraction(target: Series) -> float | None:
    if any(call.is_preempted is None for call in target.calls):
        return None
    return sum(not call.is_preempted for call in target.calls) / len(target.calls)


def _tail_reason(target: Series, clean_fraction: float | None, num_threads: int) -> str | None:
    if clean_fraction is None:
        return "this system does not count a thread's preemptions"
    if num_threads > 1:
        return f"preemptions are seen in the calling thread alone, not in {num_threads} threads"
    if statistics.median(call.cpu_ms / call.wall_ms for call in target.calls) < _MIN_CPU_FRACTION:
        return "the runtime computes in a thread whose preemptions are not seen"
    num_clean = round(clean_fraction * len(target.calls))
    if num_clean < _MIN_CLEAN_CALLS:
        return f"{num_clean} calls were not preempted, and {_MIN_CLEAN_CALLS} are needed"
    if clean_fraction < _MIN_CLEAN_FRACTION:
        return f"{clean_fraction:.0%} of the calls were not preempted, and 70% are needed"
    return None
