"""Measure latencies in a fresh process, so that nothing else in ours is timed with them.

Needs no Torch itself.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from trainables.errors import InputError
from trainables.latency import RUNTIMES, LatencyError
from trainables.latency.blocks import MAX_TRIES, Limits
from trainables.latency.calibration import Calibration, Nominal
from trainables.latency.figure import LatencyFigure
from trainables.latency.nominal import keep_nominal_ms, read_nominal_ms
from trainables.task import Task
from trainables.trial_config import TrialConfig

_START_LIMIT_S = 180.0  # to start Python, import Torch and time the reference on a busy host
_CONFIG_LIMIT_S = 180.0  # to build and compile one architecture, and for the pauses between tries
_DEFAULT_LIMITS = Limits()

_log = logging.getLogger(__name__)


class Measurement(NamedTuple):
    """What was measured of one architecture."""

    figure: LatencyFigure
    calibration: Calibration


def measure_all(
    configs: Sequence[TrialConfig],
    task: Task,
    *,
    runtime: str = "eager",
    batch_size: int = 1,
    num_threads: int = 1,
) -> list[LatencyFigure]:
    """Measure architectures as `calibrate_all` does, and return the figures of the latency table.

    An unstable figure is logged as a warning.
    """
    measured = calibrate_all(
        configs, task, runtime=runtime, batch_size=batch_size, num_threads=num_threads
    )
    for figure, calibration in measured:
        if not calibration.is_stable:
            _log.warning(
                "latency of %s is unstable after %d tries: this host is too busy to rank it",
                figure.description,
                calibration.num_tries,
            )
    return [figure for figure, _ in measured]


def calibrate_all(
    configs: Sequence[TrialConfig],
    task: Task,
    *,
    runtime: str = "eager",
    batch_size: int = 1,
    num_threads: int = 1,
    limits: Limits = _DEFAULT_LIMITS,
) -> list[Measurement]:
    """Measure architectures one after the other in one fresh process on the CPU.

    The weights are random: latency does not depend on them. The first call on a host also times
    the reference network, and keeps that time (`trainables.latency.nominal`).

    Args:
        configs: their architecture fields are used, and no other.
        task: what the models must fit.
        runtime: a name in `RUNTIMES`.
        batch_size: samples per call.
        num_threads: that a call may use.
        limits: of the time.

    Returns:
        [len(configs)], in order.

    Raises:
        InputError: for an unknown runtime or one that isn't installed, a number that is not
            positive, or more threads than this process may use CPUs.
        LatencyError: if an architecture can't run in the runtime or computes something else
            there; if the process failed or hung.
    """
    _check_runtime(runtime)
    _check_numbers(batch_size, num_threads, limits)
    request = {
        "configs": [config.to_dict() for config in configs],
        "task": task.to_dict(),
        "runtime": runtime,
        "batch_size": batch_size,
        "num_threads": num_threads,
        "nominal": asdict(_nominal(num_threads)),
        "limits": limits._asdict(),
    }
    config_limit_s = _CONFIG_LIMIT_S + MAX_TRIES * 2 * limits.time_limit_s
    reply = _ask(request, _START_LIMIT_S + len(configs) * config_limit_s)
    return [
        Measurement(LatencyFigure(**figure), Calibration(**calibration))
        for figure, calibration in reply["measured"]
    ]


def _nominal(num_threads: int) -> Nominal:
    kept_ms = read_nominal_ms(num_threads)
    if kept_ms is not None:
        return Nominal(kept_ms, is_stable=True)
    measured = Nominal(**_ask({"num_threads": num_threads}, _START_LIMIT_S))
    if not measured.is_stable:
        return measured
    return Nominal(keep_nominal_ms(num_threads, measured.reference_ms), is_stable=True)


def _ask(request: Mapping[str, Any], limit_s: float) -> dict[str, Any]:
    try:
        process = subprocess.run(
            [sys.executable, "-m", "trainables.latency.worker"],
            input=json.dumps(request),
            env=_environment(request["num_threads"]),
            capture_output=True,
            text=True,
            timeout=limit_s,
            check=True,
        )
    except subprocess.TimeoutExpired as error:
        raise LatencyError(f"measuring latencies took over {limit_s:.0f} s") from error
    except subprocess.CalledProcessError as error:
        lines = error.stderr.strip().splitlines() or [f"exit status {error.returncode}"]
        raise LatencyError(f"measuring latencies failed: {lines[-1]}") from error
    reply: dict[str, Any] = json.loads(process.stdout)
    if "error" in reply:
        kind = InputError if reply["error"] == "InputError" else LatencyError
        raise kind(reply["message"])
    return reply


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


def _check_runtime(runtime: str) -> None:
    if runtime not in RUNTIMES:
        raise InputError(
            f"runtime must be one of {', '.join(RUNTIMES)}, got {runtime!r}; choose one"
        )
    entry = RUNTIMES[runtime]
    missing = [name for name in entry.modules if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(
            f"runtime must be one that is installed, got {runtime!r} without "
            f"{', '.join(missing)}; run: pip install 'paretune[{entry.extra}]'"
        )


def _check_numbers(batch_size: int, num_threads: int, limits: Limits) -> None:
    numbers = {"batch_size": batch_size, "num_threads": num_threads, **limits._asdict()}
    for name, value in numbers.items():
        if value <= 0:
            raise InputError(f"{name} must be > 0, got {value}; raise it")
    if limits.time_limit_s < limits.min_time_s:
        raise InputError(
            f"time_limit_s must be >= min_time_s ({limits.min_time_s:g} s), got "
            f"{limits.time_limit_s:g}; raise it"
        )
    num_cpus = _num_cpus()
    if num_threads > num_cpus:
        raise InputError(
            f"num_threads must be <= {num_cpus}, the CPUs that this process may use, got "
            f"{num_threads}; lower it"
        )


def _num_cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
