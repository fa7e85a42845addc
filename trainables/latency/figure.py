"""A latency figure, and the statistics it is made of. Needs no Torch."""

from __future__ import annotations

import importlib.metadata
import math
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_MAX_EXACT = 2000


@dataclass(frozen=True, kw_only=True)
class LatencyFigure:
    """One measurement: a row of the run folder's latency table.

    Attributes:
        architecture: fingerprint.
        description: what defines the graph, JSON.
        runtime: a name in `trainables.latency.RUNTIMES`.
        precision: of the runtime's arithmetic.
        batch_size: samples per call.
        num_threads: that the call may use.
        device: `cpu` with the processor's name.
        p50_ms: the median.
        p95_ms: of the calls that were not preempted; None if they are too few to tell.
        p99_ms: likewise.
        p50_low_ms: lower end of the median's 95 % interval.
        p50_high_ms: its upper end.
        num_samples: calls timed.
        torch_version: of the installed distribution.
        measured_unix_s: when.
    """

    architecture: str
    description: str
    runtime: str
    precision: str
    batch_size: int
    num_threads: int
    device: str
    p50_ms: float
    p95_ms: float | None
    p99_ms: float | None
    p50_low_ms: float
    p50_high_ms: float
    num_samples: int
    torch_version: str
    measured_unix_s: float


def quantile(ordered: Sequence[float], fraction: float) -> float:
    """Return the smallest sample that at least `fraction` of all do not exceed (nearest rank).

    Args:
        ordered: [num_samples], ascending, not empty.
        fraction: > 0 and <= 1.
    """
    return ordered[max(math.ceil(fraction * len(ordered)), 1) - 1]


def median_interval(ordered: Sequence[float]) -> tuple[float, float]:
    """Return the samples that enclose the median with a confidence of at least 95 %.

    Order statistics from the binomial distribution, without an assumption about the samples'
    own (Conover 1999, Practical Nonparametric Statistics, section 3.2). Below six samples no two
    of them reach 95 %, and the extremes are returned.

    Args:
        ordered: [num_samples], ascending, not empty.

    Example:
        >>> median_interval([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0])
        (1.0, 8.0)
    """
    num_samples = len(ordered)
    if num_samples > _MAX_EXACT:
        # The normal approximation, as in Conover's section 3.2: the integers grow too long.
        index = math.floor((num_samples - 1.96 * math.sqrt(num_samples)) / 2)
        return ordered[index], ordered[num_samples - 1 - index]
    # In exact integers: of the 2**n ways in which samples fall below or above the median, at
    # most one in forty may lie beyond each end.
    allowed = 2**num_samples // 40
    index, ways, tail = 0, 1, 1  # ways = C(n, index); tail = sum of ways up to index
    while True:
        ways = ways * (num_samples - index) // (index + 1)
        tail += ways
        if tail > allowed:
            break
        index += 1
    return ordered[index], ordered[num_samples - 1 - index]


@cache
def torch_version() -> str:
    """Return the installed Torch's version without importing it."""
    return importlib.metadata.version("torch")


@cache
def processor_name() -> str:
    """Return the name of this host's processor: Linux's, or what Python knows."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def cpu_governor() -> str | None:
    """Return what sets the clock rate of the first CPU (Linux), or None where it isn't told."""
    try:
        return Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").read_text().strip()
    except OSError:
        return None


def host_device() -> str:
    """Return `cpu` with the name of this host's processor."""
    return f"cpu {processor_name()}"
