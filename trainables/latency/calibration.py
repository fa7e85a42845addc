"""From timed calls to a figure that a loaded host leaves alone. Needs no Torch."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any

from trainables.latency.blocks import Series
from trainables.latency.nominal import Nominal, nominal_path
from trainables.latency.order_statistics import quantile, quantile_interval
from trainables.latency.serving import Serving
from trainables.latency.settling import Settled

_MIN_CLEAN_CALLS = 662
_MIN_CLEAN_FRACTION = 0.7
_MIN_CPU_FRACTION = 0.5
_MAX_PRESSURE = 1.15
_TOO_QUICK = 0.95
_NETWORKS = ("the model", "the compact reference network", "the wide reference network")


def calibrate(settled: Settled, nominal: Nominal, serving: Serving) -> dict[str, Any]:
    """Return what a `LatencyFigure` says of a model timed in turn with the reference networks.

    By the compact reference alone the latency of a large model comes out too high on a busy host,
    by the wide one alone that of a small model too low. They are the ends of the interval, and
    their geometric mean is the figure: half of what the interval spans is the most it is off.

    Args:
        settled: series of the model, the compact and the wide reference.
        nominal: their quiet times.
        serving: how the model was called.

    Returns:
        Its status, its times and what led to them, by the names of its fields.
    """
    target, compact, wide = settled.series
    target_ms = target.smallest_ms()
    compact_ms, wide_ms = compact.smallest_ms()[0], wide.smallest_ms()[0]
    by_each = sorted(
        (nominal.compact_ms / compact_ms * target_ms[0], nominal.wide_ms / wide_ms * target_ms[0])
    )
    reference_ms = math.sqrt(compact_ms * wide_ms)
    clean_fraction = _clean_fraction(target)
    tail_reason = _tail_reason(target, clean_fraction, serving.num_threads)
    reason = _doubt(settled, nominal, serving)
    figures = {
        "status": "exact" if reason is None else "uncertain",
        "reason": reason,
        "latency_ms": target_ms[0] / reference_ms * nominal.mean_ms,
        "latency_low_ms": by_each[0],
        "latency_high_ms": by_each[1] * target_ms[-1] / target_ms[0],
        "reference_ratio": target_ms[0] / reference_ms,
        "min_ms": target_ms[0],
        "reference_min_ms": reference_ms,
        "nominal_reference_ms": nominal.mean_ms,
        "num_tries": settled.num_tries,
        "num_samples": len(target.calls),
        "clean_fraction": clean_fraction,
        "tail_reason": tail_reason,
        **_quantiles("p50", 0.5, [call.wall_ms for call in target.calls]),
    }
    if tail_reason is None:
        clean_ms = [call.wall_ms for call in target.calls if call.is_preempted is False]
        figures |= _quantiles("p95", 0.95, clean_ms) | _quantiles("p99", 0.99, clean_ms)
    return figures


def pressure(references: Sequence[Series], nominal: Nominal) -> float:
    """Return how much more the wide reference was slowed than the compact one; 1: not at all."""
    compact_ms, wide_ms = (series.smallest_ms()[0] for series in references)
    ratio = (wide_ms / nominal.wide_ms) / (compact_ms / nominal.compact_ms)
    return max(ratio, 1 / ratio)


def is_low_pressure(series: Sequence[Series], nominal: Nominal) -> bool:
    """Return whether a model timed in turn with the references can be calibrated by them."""
    return pressure(series[1:], nominal) <= _MAX_PRESSURE


def _doubt(settled: Settled, nominal: Nominal, serving: Serving) -> str | None:
    if not nominal.is_stable:
        return "the reference networks' shortest calls did not agree when their times were taken"
    if settled.disagreement:
        noisy = " and ".join(_NETWORKS[number] for number in settled.disagreement)
        return f"the shortest calls of {noisy} did not agree in {settled.num_tries} tries"
    references = settled.series[1:]
    for name, series, quiet_ms in zip(
        _NETWORKS[1:], references, (nominal.compact_ms, nominal.wide_ms), strict=True
    ):
        shortest_ms = series.smallest_ms()[0]
        if shortest_ms < _TOO_QUICK * quiet_ms:
            path = nominal_path(serving.num_threads, serving.device)
            return (
                f"{name} took {shortest_ms:.3g} ms, and {quiet_ms:.3g} ms when this host was taken "
                f"to be quiet; remove {path} to measure that again"
            )
    found = pressure(references, nominal)
    if found > _MAX_PRESSURE:
        return (
            f"this host's caches are too busy: the wide reference network was slowed {found:.2f} "
            "times as much as the compact one"
        )
    return None


def _quantiles(name: str, fraction: float, samples_ms: list[float]) -> dict[str, float]:
    ordered = sorted(samples_ms)
    low_ms, high_ms = quantile_interval(ordered, fraction)
    return {
        f"{name}_ms": quantile(ordered, fraction),
        f"{name}_low_ms": low_ms,
        f"{name}_high_ms": high_ms,
    }


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
