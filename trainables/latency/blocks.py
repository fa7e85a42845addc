"""Timing a network in short blocks that alternate with those of others. Needs no Torch.

What slows the host down, slows all of them down; the shortest call of many shows neither preemption
nor cold caches. Chen and Revels (2016, Robust benchmarking in noisy environments,
arXiv:1608.04295) show why the minimum is the estimator to take.
"""

from __future__ import annotations

import heapq
import resource
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

MAX_TRIES = 4
NUM_PROCESSES = 3

Call = Callable[[], Any]

_BLOCK_MS = 4.5
_WARM_UP_CALLS = 3
_WARM_UP_MS = 50.0
_MIN_ROUNDS = 10
_LEAST_ROUNDS = 3  # without them nothing can be said, however long a call takes
_NUM_SMALLEST = 5
_STABLE_FRACTION = 0.02


class Limits(NamedTuple):
    """How long a network and the references are timed together, in each try.

    Attributes:
        min_time_s: seconds of calls at least; 60 for figures that a decision stands on.
        time_limit_s: seconds at most, but for three rounds of blocks in each of two processes.
    """

    min_time_s: float = 0.5
    time_limit_s: float = 10.0

    def of_process(self) -> Limits:
        """Return the limits of one of three processes."""
        return Limits(self.min_time_s / NUM_PROCESSES, self.time_limit_s / NUM_PROCESSES)


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


def time_call(call: Call) -> TimedCall:
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


def pool(series: Iterable[Series]) -> Series:
    """Return what several processes timed of one network as one series."""
    pooled = Series()
    for one in series:
        pooled.calls += one.calls
        pooled.minima_ms += one.minima_ms
    return pooled


Timer = Callable[[Call], TimedCall]


def alternate(
    networks: Sequence[Call], limits: Limits, *, timer: Timer = time_call
) -> list[Series]:
    """Time blocks of networks in turn until the shortest calls of each agree.

    A block lasts 4.5 ms, or one call if that is longer; the call before it, after the switch, is
    not counted. The end is at 10 rounds and the least time, once all series are stable, or at the
    time limit; three rounds are always taken.

    Args:
        networks: what is timed.
        limits: of the time spent in calls.
        timer: calls and times.

    Returns:
        The calls of each.
    """
    for network in networks:
        _warm_up(network, timer)
    all_series = [Series() for _ in networks]
    spent_ms = 0.0
    while True:
        for network, series in zip(networks, all_series, strict=True):
            spent_ms += timer(network).wall_ms
            spent_ms += _time_block(network, series, timer)
        num_rounds = len(all_series[0].minima_ms)
        if num_rounds >= _LEAST_ROUNDS and spent_ms >= limits.time_limit_s * 1000:
            break
        is_enough = num_rounds >= _MIN_ROUNDS and spent_ms >= limits.min_time_s * 1000
        if is_enough and all(series.is_stable() for series in all_series):
            break
    return all_series


def _warm_up(network: Call, timer: Timer) -> None:
    num_calls, spent_ms = 0, 0.0
    while num_calls < _WARM_UP_CALLS or spent_ms < _WARM_UP_MS:
        spent_ms += timer(network).wall_ms
        num_calls += 1


def _time_block(network: Call, series: Series, timer: Timer) -> float:
    first = len(series.calls)
    spent_ms = 0.0
    while spent_ms < _BLOCK_MS:
        series.calls.append(timer(network))
        spent_ms += series.calls[-1].wall_ms
    series.minima_ms.append(min(call.wall_ms for call in series.calls[first:]))
    return spent_ms
