"""Measure latencies in a fresh process, so that nothing else in ours is timed with them.

Needs no Torch itself.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from trainables.errors import InputError
from trainables.latency import RUNTIMES
from trainables.latency.figure import LatencyFigure
from trainables.task import Task
from trainables.trial_config import TrialConfig

_START_LIMIT_S = 120.0  # to start Python and import Torch on a busy host
_CONFIG_LIMIT_S = 60.0  # for one architecture, beyond its time limit


class LatencyError(RuntimeError):
    """The process that measures failed."""


def measure_all(
    configs: Sequence[TrialConfig],
    task: Task,
    *,
    runtime: str = "eager",
    batch_size: int = 1,
    num_threads: int = 1,
    min_samples: int = 30,
    time_limit_s: float = 0.7,
) -> list[LatencyFigure]:
    """Measure architectures one after the other in one fresh process on the CPU.

    The weights are random: latency does not depend on them.

    Args:
        configs: their architecture fields are used, and no other.
        task: what the models must fit.
        runtime: a name in `RUNTIMES`.
        batch_size: samples per call.
        num_threads: that a call may use.
        min_samples: calls timed at least, even beyond the time limit.
        time_limit_s: seconds of timed calls per architecture.

    Returns:
        [len(configs)], in order.

    Raises:
        InputError: for an unknown runtime, or a number that is not positive.
        LatencyError: if the process failed or hung.
    """
    _check(runtime, batch_size, num_threads, min_samples, time_limit_s)
    request = {
        "configs": [config.to_dict() for config in configs],
        "task": task.to_dict(),
        "runtime": runtime,
        "batch_size": batch_size,
        "num_threads": num_threads,
        "min_samples": min_samples,
        "time_limit_s": time_limit_s,
    }
    limit_s = _START_LIMIT_S + len(configs) * (time_limit_s + _CONFIG_LIMIT_S)
    try:
        process = subprocess.run(
            [sys.executable, "-m", "trainables.latency.worker"],
            input=json.dumps(request),
            env=_environment(num_threads),
            capture_output=True,
            text=True,
            timeout=limit_s,
            check=True,
        )
    except subprocess.TimeoutExpired as error:
        raise LatencyError(
            f"measuring {len(configs)} latencies took over {limit_s:.0f} s"
        ) from error
    except subprocess.CalledProcessError as error:
        lines = error.stderr.strip().splitlines() or [f"exit status {error.returncode}"]
        raise LatencyError(f"measuring latencies failed: {lines[-1]}") from error
    return [LatencyFigure(**figure) for figure in json.loads(process.stdout)]


def _environment(num_threads: int) -> dict[str, str]:
    """Return ours, with threads set on purpose and this package on the path."""
    package_root = str(Path(__file__).resolve().parents[2])
    python_path = os.pathsep.join(filter(None, [package_root, os.environ.get("PYTHONPATH")]))
    return {
        **os.environ,
        "PYTHONPATH": python_path,
        "OMP_NUM_THREADS": str(num_threads),
        "OMP_WAIT_POLICY": "PASSIVE",
        "CUDA_VISIBLE_DEVICES": "",
    }


def _check(
    runtime: str, batch_size: int, num_threads: int, min_samples: int, time_limit_s: float
) -> None:
    if runtime not in RUNTIMES:
        raise InputError(
            f"runtime must be one of {', '.join(RUNTIMES)}, got {runtime!r}; choose one"
        )
    numbers = {
        "batch_size": batch_size,
        "num_threads": num_threads,
        "min_samples": min_samples,
        "time_limit_s": time_limit_s,
    }
    for name, value in numbers.items():
        if value <= 0:
            raise InputError(f"{name} must be > 0, got {value}; raise it")
