"""From timed calls to a figure that a loaded host leaves alone. Needs no Torch."""

from __future__ import annotations

import statistics
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trainables.latency.blocks import Series, shortest_ms
from trainables.latency.nominal import Nominal, nominal_path
from trainables.latency.order_statistics import quantile, quantile_interval
from trainables.latency.serving import Serving
from trainables.latency.settling import MAX_SPREAD, Processes, Settled, spread

_MIN_CLEAN_CALLS = 662
_MIN_CLEAN_FRACTION = 0.7
_MIN_CPU_FRACTION = 0.5
_MAX_PRESSURE = 1.15
_TOO_QUICK = 0.95

Milliseconds = NDArray[np.float64]


class _Shortest(NamedTuple):
    """The shortest calls in each process, [num_processes] each."""

    target_ms: Milliseconds
    compact_ms: Milliseconds
    wide_ms: Milliseconds

    @property
    def reference_ms(self) -> Milliseconds:
        return np.sqrt(self.compact_ms * self.wide_ms)

    @property
    def ratios(self) -> Milliseconds:
        return self.target_ms / self.reference_ms


def calibrate(settled: Settled, nominal: Nominal, serving: Serving) -> dict[str, Any]:
    """Return what a `LatencyFigure` says of a model timed in turn with the reference networks.

    In each process its shortest call is divided by the references'; the figure is the median of
    the processes'. By the compact reference alone the latency of a large model comes out too high
    on a busy host, by the wide one alone that of a small model too low: the figure goes by their
    geometric mean, and its interval is the middle half of the processes' by either or by both.

    Args:
        settled: of the model, the compact and the wide reference.
        nominal: their quiet times.
        serving: how the model was called.

    Returns:
        Its status, its times and what led to them, by the names of its fields.
    """
    shortest = _shortest(settled.processes)
    middle_halves_ms = [
        np.quantile(shortest.target_ms / reference_ms * nominal_ms, (0.25, 0.75))
        for reference_ms, nominal_ms in (
            (shortest.compact_ms, nominal.compact_ms),
            (shortest.wide_ms, nominal.wide_ms),
            (shortest.reference_ms, nominal.mean_ms),  # the figure's own, so that it lies inside
        )
    ]
    target = [call for networks in settled.processes for call in networks[0]]
    clean_fraction = _clean_fraction(target)
    tail_reason = _tail_reason(target, clean_fraction, serving.num_threads)
    reason = _doubt(shortest, nominal, serving, settled.num_tries)
    ratio = float(np.median(shortest.ratios))
    figures = {
        "status": "exact" if reason is None else "uncertain",
        "reason": reason,
        "latency_ms": ratio * nominal.mean_ms,
        "latency_low_ms": float(np.min(middle_halves_ms)),
        "latency_high_ms": float(np.max(middle_halves_ms)),
        "reference_ratio": ratio,
        "min_ms": shortest_ms(target),
        "reference_min_ms": float(shortest.reference_ms.min()),
        "nominal_reference_ms": nominal.mean_ms,
        "num_tries": settled.num_tries,
        "num_samples": len(target),
        "clean_fraction": clean_fraction,
        "tail_reason": tail_reason,
        **_quantiles("p50", 0.5, [call.wall_ms for call in target]),
    }
    if tail_reason is None:
        clean_ms = [call.wall_ms for call in target if call.is_preempted is False]
        figures |= _quantiles("p95", 0.95, clean_ms) | _quantiles("p99", 0.99, clean_ms)
    return figures


def is_figure_settled(processes: Processes, nominal: Nominal) -> bool:
    """Return whether processes agree on a model, and the references can calibrate it."""
    shortest = _shortest(processes)
    return spread(shortest.ratios) <= MAX_SPREAD and _pressure(shortest, nominal) <= _MAX_PRESSURE


def _shortest(processes: Processes) -> _Shortest:
    return _Shortest(*np.array([[shortest_ms(one) for one in series] for series in processes]).T)


def _pressure(shortest: _Shortest, nominal: Nominal) -> float:
    """Return how much more the wide reference was slowed than the compact one; 1: not at all."""
    ratios = shortest.wide_ms / nominal.wide_ms / (shortest.compact_ms / nominal.compact_ms)
    ratio = float(np.median(ratios))
    return max(ratio, 1 / ratio)


def _doubt(shortest: _Shortest, nominal: Nominal, serving: Serving, num_tries: int) -> str | None:
    if not nominal.is_stable:
        return "the reference networks' shortest calls did not agree when their times were taken"
    found = spread(shortest.ratios)
    if found > MAX_SPREAD:
        return (
            f"the middle half of {len(shortest.ratios)} processes' figures spans {found:.0%} in "
            f"the last of {num_tries} tries, and {MAX_SPREAD:.0%} is allowed"
        )
    for name, times_ms, quiet_ms in (
        ("compact", shortest.compact_ms, nominal.compact_ms),
        ("wide", shortest.wide_ms, nominal.wide_ms),
    ):
        found_ms = float(np.median(times_ms))
        if found_ms < _TOO_QUICK * quiet_ms:
            path = nominal_path(serving.num_threads, serving.device)
            return (
                f"the {name} reference network took {found_ms:.3g} ms, and {quiet_ms:.3g} ms when "
                f"this host was taken to be quiet; remove {path} to measure that again"
            )
    found = _pressure(shortest, nominal)
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
    if any(call.is_preempted is None for call in target):
        return None
    return sum(not call.is_preempted for call in target) / len(target)


def _tail_reason(target: Series, clean_fraction: float | None, num_threads: int) -> str | None:
    if clean_fraction is None:
        return "this system does not count a thread's preemptions"
    if num_threads > 1:
        return f"preemptions are seen in the calling thread alone, not in {num_threads} threads"
    if statistics.median(call.cpu_ms / call.wall_ms for call in target) < _MIN_CPU_FRACTION:
        return "the runtime computes in a thread whose preemptions are not seen"
    num_clean = round(clean_fraction * len(target))
    if num_clean < _MIN_CLEAN_CALLS:
        return f"{num_clean} calls were not preempted, and {_MIN_CLEAN_CALLS} are needed"
    if clean_fraction < _MIN_CLEAN_FRACTION:
        return f"{clean_fraction:.0%} of the calls were not preempted, and 70% are needed"
    return None
