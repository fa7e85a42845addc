"""From timed calls to a figure that a loaded host leaves alone. Needs no Torch."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Any

from trainables.latency.blocks import Series
from trainables.latency.order_statistics import quantile, quantile_interval

_MIN_CLEAN_CALLS = 662
_MIN_CLEAN_FRACTION = 0.7
_MIN_CPU_FRACTION = 0.5


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
) -> dict[str, Any]:
    """Return what a `LatencyFigure` says of a model timed in turn with the reference network.

    Returns:
        Its status, its times and what led to them, by the names of its fields.
    """
    target_ms, reference_ms = target.smallest_ms(), reference.smallest_ms()
    clean_fraction = _clean_fraction(target)
    tail_reason = _tail_reason(target, clean_fraction, num_threads)
    reason = _unstable_reason(target, reference, nominal, num_tries)
    figures = {
        "status": "exact" if reason is None else "uncertain",
        "reason": reason,
        "latency_ms": target_ms[0] / reference_ms[0] * nominal.reference_ms,
        "latency_low_ms": target_ms[0] / reference_ms[-1] * nominal.reference_ms,
        "latency_high_ms": target_ms[-1] / reference_ms[0] * nominal.reference_ms,
        "reference_ratio": target_ms[0] / reference_ms[0],
        "min_ms": target_ms[0],
        "reference_min_ms": reference_ms[0],
        "nominal_reference_ms": nominal.reference_ms,
        "num_tries": num_tries,
        "num_samples": len(target.calls),
        "clean_fraction": clean_fraction,
        "tail_reason": tail_reason,
        **_quantiles("p50", 0.5, [call.wall_ms for call in target.calls]),
    }
    if tail_reason is None:
        clean_ms = [call.wall_ms for call in target.calls if call.is_preempted is False]
        figures |= _quantiles("p95", 0.95, clean_ms) | _quantiles("p99", 0.99, clean_ms)
    return figures


def _quantiles(name: str, fraction: float, samples_ms: list[float]) -> dict[str, float]:
    ordered = sorted(samples_ms)
    low_ms, high_ms = quantile_interval(ordered, fraction)
    return {
        f"{name}_ms": quantile(ordered, fraction),
        f"{name}_low_ms": low_ms,
        f"{name}_high_ms": high_ms,
    }


def _unstable_reason(
    target: Series, reference: Series, nominal: Nominal, num_tries: int
) -> str | None:
    if not nominal.is_stable:
        return "the reference network's shortest calls did not agree when its time was taken"
    noisy = [
        name
        for name, series in (("the model", target), ("the reference network", reference))
        if not series.is_stable()
    ]
    if noisy:
        return f"the shortest calls of {' and '.join(noisy)} did not agree in {num_tries} tries"
    return None


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
