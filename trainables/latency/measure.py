"""Measure latencies in a fresh process, so that nothing else in ours is timed with them.

Needs no Torch itself.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trainables.errors import InputError
from trainables.latency import LatencyError
from trainables.latency.blocks import MAX_TRIES, Limits
from trainables.latency.calibration import Nominal
from trainables.latency.figure import LatencyFigure
from trainables.latency.nominal import keep_nominal_ms, read_nominal_ms
from trainables.latency.serving import Serving, check_serving
from trainables.task import Task
from trainables.trial_config import TrialConfig

_START_LIMIT_S = 180.0  # to start Python, import Torch and time the reference on a busy host
_SUBJECT_LIMIT_S = 180.0  # to build and compile one model, and for the pauses between tries
_DEFAULT_LIMITS = Limits()


class Subject(NamedTuple):
    """A model to measure.

    Attributes:
        config: of a trial; its architecture fields are used, and no other.
        checkpoint: location of the trained weights; None: random ones.
        trial_id: whose weights they are.
        pruned_fraction: of the channels, removed first (`trainables.pruning`); the checkpoint is
            of what is left. 0: none.
    """

    config: TrialConfig
    checkpoint: str | None = None
    trial_id: str | None = None
    pruned_fraction: float = 0.0


@dataclass(frozen=True, eq=False)
class Samples:
    """Inputs as the models take them.

    Attributes:
        calibration: [num_samples, ...], of the training part alone: what int8 is fitted to.
        evaluation: [num_samples, ...]; what accuracy and agreement are measured on.
        labels: [num_samples] int64, of the evaluation inputs.
    """

    calibration: NDArray[Any]
    evaluation: NDArray[Any] | None = None
    labels: NDArray[np.int64] | None = None


def measure_all(
    subjects: Sequence[Subject],
    task: Task,
    serving: Serving,
    *,
    samples: Samples | None = None,
    limits: Limits = _DEFAULT_LIMITS,
    on_figure: Callable[[LatencyFigure], None] | None = None,
) -> list[LatencyFigure]:
    """Measure models one after the other, away from this process.

    The first call on a host also times the reference network, and keeps that time
    (`trainables.latency.nominal`).

    Args:
        subjects: what to measure.
        task: what the models must fit.
        serving: how they are served.
        samples: for int8, agreement and accuracy; without them int8 is fitted to random inputs,
            and accuracy is not measured.
        limits: of the time.
        on_figure: is told each figure as it is there.

    Returns:
        [len(subjects)], in order. What can't run so has a figure that failed, with the reason.

    Raises:
        InputError: if this host can't serve so, or a limit is wrong.
        LatencyError: if the process that measures broke or hung.
    """
    check_serving(serving)
    _check_limits(limits)
    request = {
        "subjects": [
            {**subject._asdict(), "config": subject.config.to_dict()} for subject in subjects
        ],
        "task": task.to_dict(),
        "serving": asdict(serving),
        "num_threads": serving.num_threads,
        "nominal": asdict(_nominal(serving.num_threads)),
        "limits": limits._asdict(),
    }
    subject_limit_s = _SUBJECT_LIMIT_S + MAX_TRIES * 2 * limits.time_limit_s
    reply = _ask(request, _START_LIMIT_S + len(subjects) * subject_limit_s)
    figures = [LatencyFigure(**figure) for figure in reply["figures"]]
    for figure in figures:
        if on_figure is not None:
            on_figure(figure)
    return figures


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


def _check_limits(limits: Limits) -> None:
    for name, value in limits._asdict().items():
        if value <= 0:
            raise InputError(f"{name} must be > 0, got {value}; raise it")
    if limits.time_limit_s < limits.min_time_s:
        raise InputError(
            f"time_limit_s must be >= min_time_s ({limits.min_time_s:g} s), got "
            f"{limits.time_limit_s:g}; raise it"
        )
