"""Timing a network in short blocks that alternate with those of a reference. Needs no Torch.

What slows the host down, slows both down, and so leaves their ratio alone; the shortest call of
many shows neither preemption nor cold caches. Chen and Revels (2016, Robust benchmarking in noisy
environments, arXiv:1608.04295) show why the minimum is the estimator to take.
"""

from __future__ import annotations

import heapq
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

MAX_TRIES = 4

_BLOCK_MS = 4.5
_WARM_UP_CALLS = 5
_WARM_UP_MS = 100.0
_MIN_PAIRS = 20
_NUM_SMALLEST = 5
_STABLE_FRACTION = 0.02
_PAUSE_S = 2.0  # between tries, for a burst of load to pass


class Limits(NamedTuple):
    """How long a network and the reference are timed together, in each try.

    Attributes:
        min_time_s: seconds of calls at least; 60 for figures that a decision stands on.
        time_limit_s: seconds of calls at most, but for five pairs of blocks.
    """

    min_time_s: float = 0.5
    time_limit_s: float = 10.0


class TimedCall(NamedTuple):
    """What one call took.

    Attributes:
        wall_ms: from its start to its end.
        cpu_ms: of the calling thread.
        is_preempted: the calling thread had to give up its core; None where the system (other
            than Linux) doesn't say.
    """

    wall_ms: float
    cpu_ms: float
    is_preempted: bool | None


def time_call(call: Callable[[], Any]) -> TimedCall:
    """Call and time it."""
    preemptions = _num_preemptions()
    cpu_ns = time.thread_time_ns()
    wall_ns = time.perf_counter_ns()
    call()
    wall_ns = time.perf_counter_ns() - wall_ns
    cpu_ns = time.thread_time_ns() - cpu_ns
    is_preempted = None if preemptions is None else _num_preemptions() != preemptions
    return TimedCall(wall_ns / 1e6, cpu_ns / 1e6, is_preempted)


def _num_preemptions() -> int | None:
    who = getattr(resource, "RUSAGE_THREAD", None)
    return None if who is None else resource.getrusage(who).ru_nivcsw


@dataclass
class Series:
    """The timed calls of one network.

    Attributes:
        calls: all but those that only warmed up.
        minima_ms: the shortest call of each block.
    """

    calls: list[TimedCall] = field(default_factory=list)
    minima_ms: list[float] = field(default_factory=list)

    def smallest_ms(self) -> list[float]:
        """Return the five smallest block minima, ascending."""
        return heapq.nsmallest(_NUM_SMALLEST, self.minima_ms)

    def is_stable(self) -> bool:
        """Return whether there are five smallest block minima that lie within 2 %."""
        smallest = self.smallest_ms()
        return (
            len(smallest) == _NUM_SMALLEST and smallest[-1] <= (1 + _STABLE_FRACTION) * smallest[0]
        )


Timer = Callable[[Callable[[], Any]], TimedCall]


def alternate(
    target: Callable[[], Any],
    reference: Callable[[], Any],
    limits: Limits,
    *,
    timer: Timer = time_call,
) -> tuple[Series, Series]:
    """Time blocks of a target and of a reference in turn until the shortest of both agree.

    A block lasts 4.5 ms, or one call if that is longer; the call before it, after the switch, is
    not counted. The end is at 20 pairs of blocks and the least time, once both series are stable,
    or at the time limit; five pairs are always taken, for without them nothing can be said.

    Args:
        target: what is measured.
        reference: what it is measured against.
        limits: of the time spent in calls.
        timer: calls and times.

    Returns:
        The calls of both.
    """
    for network in (target, reference):
        _warm_up(network, timer)
    series = (Series(), Series())
    spent_ms = 0.0
    while True:
        for network, one in zip((target, reference), series, strict=True):
            spent_ms += timer(network).wall_ms
            spent_ms += _time_block(network, one, timer)
        num_pairs = len(series[0].minima_ms)
        if num_pairs >= _NUM_SMALLEST and spent_ms >= limits.time_limit_s * 1000:
            break
        is_enough = num_pairs >= _MIN_PAIRS and spent_ms >= limits.min_time_s * 1000
        if is_enough and all(one.is_stable() for one in series):
            break
    return series


def settle(
    target: Callable[[], Any],
    reference: Callable[[], Any],
    limits: Limits,
    *,
    timer: Timer = time_call,
    sleep: Callable[[float], None] = time.sleep,
) -> tuple[Series, Series, int]:
    """Time a target in turn with the reference until both are stable, in four tries at most.

    Returns:
        The series of target and reference in the last try, and the number of tries.
    """
    for num_tries in range(1, MAX_TRIES + 1):
        series = alternate(target, reference, limits, timer=timer)
        if all(one.is_stable() for one in series) or num_tries == MAX_TRIES:
            break
        sleep(_PAUSE_S)
    return *series, num_tries


def _warm_up(network: Callable[[], Any], timer: Timer) -> None:
    num_calls, spent_ms = 0, 0.0
    while num_calls < _WARM_UP_CALLS or spent_ms < _WARM_UP_MS:
        spent_ms += timer(network).wall_ms
        num_calls += 1


def _time_block(network: Callable[[], Any], series: Series, timer: Timer) -> float:
    first = len(series.calls)
    spent_ms = 0.0
    while spent_ms < _BLOCK_MS:
        series.calls.append(timer(network))
        spent_ms += series.calls[-1].wall_ms
    series.minima_ms.append(min(call.wall_ms for call in series.calls[first:]))
    return spent_ms
