"""How often a network is timed, in how many processes, until its figure can stand. No Torch.

What changes from one process to the next is where its memory lies and what the other users of the
shared cache leave it. So a figure is made of several processes: the shortest call in one of them
must be confirmed by another.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from trainables.latency.blocks import MAX_TRIES, NUM_PROCESSES, Limits, Series, pool

_LEAST_PROCESSES = 2  # where calls are so long that the time limit leaves no more
_CONFIRMED_FRACTION = 0.05
_PAUSE_S = 2.0  # between tries, for a burst of load to pass


class Settled(NamedTuple):
    """What all processes timed.

    Attributes:
        series: [num_networks], in the order in which the networks were given.
        disagreement: which networks' shortest calls did not agree, within a process or between
            them; empty if all did.
        num_tries: taken to get there.
    """

    series: list[Series]
    disagreement: tuple[int, ...]
    num_tries: int


def settle(
    time_in_process: Callable[[], Sequence[Series]],
    limits: Limits,
    *,
    is_good: Callable[[Sequence[Series]], bool] = lambda series: True,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Settled:
    """Time networks in one process after the other until their shortest calls agree.

    At least three processes, or as many as the time limit leaves; then more of them until it is
    reached; then again after a pause, up to three times. All that was timed counts: a shortest call
    stays one.

    Args:
        time_in_process: times the networks in a fresh process.
        limits: of each try.
        is_good: says of the pooled series whether their ratio can be trusted.
        clock: seconds.
        sleep: waits so many seconds.
    """
    processes: list[Sequence[Series]] = []
    num_tries = 0
    while True:
        num_tries += 1
        started_s, num_before = clock(), len(processes)
        while True:
            processes.append(time_in_process())
            pooled = [pool(parts) for parts in zip(*processes, strict=True)]
            disagreement = _disagreement(processes, pooled)
            is_settled = not disagreement and is_good(pooled)
            is_over = clock() - started_s >= limits.time_limit_s
            num_processes = len(processes) - num_before
            if is_settled and num_processes >= (_LEAST_PROCESSES if is_over else NUM_PROCESSES):
                return Settled(pooled, (), num_tries)
            if is_over and num_processes >= _LEAST_PROCESSES:
                break
        if num_tries == MAX_TRIES:
            return Settled(pooled, disagreement, num_tries)
        sleep(_PAUSE_S)


def _disagreement(
    processes: Sequence[Sequence[Series]], pooled: Sequence[Series]
) -> tuple[int, ...]:
    return tuple(
        number
        for number, series in enumerate(pooled)
        if not series.is_stable() or not _is_confirmed([parts[number] for parts in processes])
    )


def _is_confirmed(series: Sequence[Series]) -> bool:
    """Return whether the shortest calls of two processes lie within 5 %."""
    smallest_ms = sorted(min(one.minima_ms) for one in series)
    return len(smallest_ms) > 1 and smallest_ms[1] <= (1 + _CONFIRMED_FRACTION) * smallest_ms[0]
