"""Measure latencies in fresh processes, so that nothing else in ours is timed with them.

Needs no Torch itself.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trainables.child_process import child_environment
from trainables.errors import InputError
from trainables.latency import RUNTIMES, LatencyError
from trainables.latency.blocks import Limits
from trainables.latency.figure import LatencyFigure
from trainables.latency.serving import Serving, check_installed, check_serving
from trainables.task import Task
from trainables.trial_config import TrialConfig

_DEFAULT_LIMITS = Limits()


class Subject(NamedTuple):
    """A model to measure.

    Attributes:
        config: of a trial; its architecture fields are used, and no other.
        checkpoint: location of the trained weights; None: random ones.
        trial_id: whose weights they are.
        pruned_fraction: of the channels, removed first (`trainables.pruning`); the checkpoint is
            of what is left. 0: none.
        exported: folder of `trainables.export` that the model is read from, with the
            normalisation of images before it; None: it is built from config and checkpoint.
    """

    config: TrialConfig
    checkpoint: str | None = None
    trial_id: str | None = None
    pruned_fraction: float = 0.0
    exported: str | None = None


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

    def write(self, path: Path) -> str:
        """Write the arrays that are there into a file; return its path."""
        named = {name: value for name, value in vars(self).items() if value is not None}
        np.savez(path, **named)
        return str(path)


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

    Each in fresh processes: one builds what would be shipped, one loads it and compares its logits
    with those of eager PyTorch in fp32, at least five time it (two where calls are long). The first
    call on a host also times the reference networks, and keeps their times
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
    described = [{**subject._asdict(), "config": subject.config.to_dict()} for subject in subjects]
    request = {"subjects": described, "task": task.to_dict()}
    return _measure(request, serving, samples, limits, on_figure)


def measure_onnx(
    path: Path,
    serving: Serving,
    *,
    samples: Samples | None = None,
    limits: Limits = _DEFAULT_LIMITS,
) -> LatencyFigure:
    """Measure an ONNX file as `measure_all` measures models.

    What it computes is compared with ONNX Runtime, in fp32 and without rewriting the graph.

    Args:
        path: of the file.
        serving: how it is served.
        samples: needed for int8.
        limits: of the time.

    Raises:
        InputError: as `check_onnx` does.
        LatencyError: if the process that measures broke or hung.
    """
    check_onnx(path, serving, samples)
    subject = {
        "config": None,
        "checkpoint": None,
        "trial_id": None,
        "pruned_fraction": 0.0,
        "exported": None,
        "onnx_file": str(path.absolute()),
    }
    (figure,) = _measure({"subjects": [subject], "task": None}, serving, samples, limits, None)
    return figure


def check_onnx(path: Path, serving: Serving, samples: Samples | None) -> None:
    """Check that an ONNX file can be measured so.

    Raises:
        InputError: if this host can't serve so, the runtime doesn't take ONNX, int8 has no samples,
            or the file is none that can be measured with this batch.
    """
    check_serving(serving)
    if not RUNTIMES[serving.runtime].takes_onnx:
        takers = ", ".join(name for name, entry in RUNTIMES.items() if entry.takes_onnx)
        raise InputError(
            f"runtime must be one of {takers} for an ONNX file, got {serving.runtime!r}; choose one"
        )
    check_installed("onnxruntime")  # the yardstick
    if serving.precision == "int8" and samples is None:
        raise InputError(
            "precision must be fp32 or bf16 for an ONNX file without samples, got int8; give "
            "samples of the training data"
        )
    from trainables.latency.onnx_file import read_graph

    read_graph(path, serving.batch_size)


def _measure(
    what: Mapping[str, Any],
    serving: Serving,
    samples: Samples | None,
    limits: Limits,
    on_figure: Callable[[LatencyFigure], None] | None,
) -> list[LatencyFigure]:
    _check_limits(limits)
    request = {**what, "serving": asdict(serving), "limits": limits._asdict()}
    figures = []
    with tempfile.TemporaryDirectory(prefix="paretune-samples-") as name:
        samples_file = None if samples is None else samples.write(Path(name, "samples.npz"))
        for figure in _ask({**request, "samples_file": samples_file}, serving):
            figures.append(figure)
            if on_figure is not None:
                on_figure(figure)
    assert len(figures) == len(what["subjects"])
    return figures


def _ask(request: Mapping[str, Any], serving: Serving) -> Iterator[LatencyFigure]:
    """Yield the figures of a server as they come; its steps have time limits of their own."""
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "trainables.latency.server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=_environment(serving),
            text=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            with process.stdin as stdin:
                json.dump(request, stdin)
            for line in process.stdout:
                yield LatencyFigure(**json.loads(line))
            exit_code = process.wait()
        finally:
            process.kill()
            process.wait()
        if exit_code != 0:
            log.seek(0)
            lines = log.read().strip().splitlines() or [f"exit status {exit_code}"]
            raise LatencyError(f"measuring latencies failed: {lines[-1]}")


def _environment(serving: Serving) -> dict[str, str]:
    own = {
        **child_environment(serving.num_threads),
        "OPENBLAS_NUM_THREADS": "1",  # NumPy's would start threads, and those can't be forked
        "NNCF_CI": "1",  # it sends word of its use otherwise
    }
    return own if serving.device == "cuda" else {**own, "CUDA_VISIBLE_DEVICES": ""}


def _check_limits(limits: Limits) -> None:
    for name, value in limits._asdict().items():
        if value <= 0:
            raise InputError(f"{name} must be > 0, got {value}; raise it")
    if limits.time_limit_s < limits.min_time_s:
        raise InputError(
            f"time_limit_s must be >= min_time_s ({limits.min_time_s:g} s), got "
            f"{limits.time_limit_s:g}; raise it"
        )
