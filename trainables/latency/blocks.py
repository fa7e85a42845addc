"""Timing a network in short blocks that alternate with those of others. Needs no Torch.

What slows the host down, slows all of them down; the shortest call of many shows neither preemption
nor cold caches. Chen and Revels (2016, Robust benchmarking in noisy environments,
arXiv:1608.04295) show why the minimum is the estimator to take.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

MAX_TRIES = 4
NUM_PROCESSES = 5

Call = Callable[[], Any]

_BLOCK_MS = 4.5
_WARM_UP_CALLS = 3
_WARM_UP_MS = 30.0
_LEAST_ROUNDS = 3  # without them nothing can be said, however long a call takes


class Limits(NamedTuple):
    """How long a network and the references are timed together, in each try.

    Attributes:
        min_time_s: seconds of calls, in all processes together; 60 for figures that a decision
            stands on.
        time_limit_s: seconds in which more processes are started until they agree.
    """

    min_time_s: float = 1.5
    time_limit_s: float = 10.0

    @property
    def process_s(self) -> float:
        """Seconds of calls in each process."""
        return self.min_time_s / NUM_PROCESSES


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


Series = list[TimedCall]
"""The timed calls of one network, but for those that only warmed up."""


def shortest_ms(series: Series) -> float:
    """Return the shortest call."""
    return min(call.wall_ms for call in series)


Timer = Callable[[Call], TimedCall]


def alternate(
    networks: Sequence[Call], seconds: float, *, timer: Timer = time_call
) -> list[Series]:
    """Time blocks of networks in turn.

    A block lasts 4.5 ms, or one call if that is longer; the call before it, after the switch, is
    not counted.

    Args:
        networks: what is timed.
        seconds: spent in calls; three rounds of blocks are always taken.
        timer: calls and times.

    Returns:
        The calls of each.
    """
    for network in networks:
        _warm_up(network, timer)
    all_series: list[Series] = [[] for _ in networks]
    num_rounds, spent_ms = 0, 0.0
    while num_rounds < _LEAST_ROUNDS or spent_ms < 1000 * seconds:
        for network, series in zip(networks, all_series, strict=True):
            spent_ms += timer(network).wall_ms
            spent_ms += _time_block(network, series, timer)
        num_rounds += 1
    return all_series


def _warm_up(network: Call, timer: Timer) -> None:
    num_calls, spent_ms = 0, 0.0
    while num_calls < _WARM_UP_CALLS or spent_ms < _WARM_UP_MS:
        spent_ms += timer(network).wall_ms
        num_calls += 1


def _time_block(network: Call, series: Series, timer: Timer) -> float:
    spent_ms = 0.0
    while spent_ms < _BLOCK_MS:
        series.append(timer(network))
        spent_ms += series[-1].wall_ms
    return spent_ms
