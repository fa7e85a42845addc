"""In how many processes a network is timed until its figure can stand. No Torch.

What changes from one process to the next is where its memory lies and what the other users of the
shared cache leave it. So a figure is the median of several processes', and stands where they agree.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trainables.latency.blocks import MAX_TRIES, NUM_PROCESSES, Limits, Series

MAX_SPREAD: Final = 0.08

Processes = Sequence[Sequence[Series]]
"""[num_processes, num_networks], the networks in the order in which they were given."""

_LEAST_PROCESSES = 2  # where calls are so long that the time limit leaves no more
_PAUSE_S = 2.0  # between tries, for a burst of load to pass


class Settled(NamedTuple):
    """What the processes of the last try timed.

    Attributes:
        processes: what each timed.
        num_tries: taken to get there.
    """

    processes: Processes
    num_tries: int


def settle(
    time_in_process: Callable[[], Sequence[Series]],
    limits: Limits,
    is_settled: Callable[[Processes], bool],
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Settled:
    """Time networks in one process after the other until what they timed agrees.

    At least five processes, or as many as the time limit leaves; then more of them until it is
    reached; then all again after a pause, up to four times.

    Args:
        time_in_process: times the networks in a fresh process.
        limits: of each try.
        is_settled: says whether the processes agree.
        clock: seconds.
        sleep: waits so many seconds.
    """
    for num_tries in range(1, MAX_TRIES + 1):
        if num_tries > 1:
            sleep(_PAUSE_S)
        processes: list[Sequence[Series]] = []
        ends_at_s = clock() + limits.time_limit_s
        is_over = False
        while len(processes) < _LEAST_PROCESSES or not is_over:
            processes.append(time_in_process())
            is_over = clock() >= ends_at_s
            if len(processes) >= (_LEAST_PROCESSES if is_over else NUM_PROCESSES) and is_settled(
                processes
            ):
                return Settled(processes, num_tries)
    return Settled(processes, MAX_TRIES)


def spread(figures: Sequence[float] | NDArray[np.float64]) -> float:
    """Return what the middle half of the processes' figures spans, as a fraction of the median."""
    low, median, high = np.quantile(figures, (0.25, 0.5, 0.75))
    return float((high - low) / median)
