"""The process that measures: one JSON request on stdin, one JSON list of figures on stdout."""

from __future__ import annotations

import dataclasses
import importlib
import json
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, cast

import torch

from trainables.latency import RUNTIMES
from trainables.latency.figure import (
    LatencyFigure,
    host_device,
    median_interval,
    quantile,
    torch_version,
)
from trainables.latency.protocol import Runtime
from trainables.models import architecture_fingerprint, create_model, describe_architecture
from trainables.models.example import example_inputs
from trainables.task import Task
from trainables.trial_config import TrialConfig

_WARM_UP_CALLS = 5
_WARM_UP_S = 0.1
_MAX_SAMPLES = 2000


def sample_latencies_ms(
    call: Callable[[], None],
    *,
    min_samples: int,
    time_limit_s: float,
    clock_s: Callable[[], float] = time.perf_counter,
) -> list[float]:
    """Time a call over and over, after a warm-up.

    Args:
        call: what is timed.
        min_samples: taken even beyond the time limit.
        time_limit_s: for the samples together, without the warm-up.
        clock_s: a monotonic clock.

    Returns:
        [num_samples] milliseconds, ascending.
    """
    warm_up_end_s = clock_s() + _WARM_UP_S
    num_calls = 0
    while num_calls < _WARM_UP_CALLS or clock_s() < warm_up_end_s:
        call()
        num_calls += 1
    samples_ms: list[float] = []
    end_s = clock_s() + time_limit_s
    start_s = clock_s()
    while len(samples_ms) < min_samples or (start_s < end_s and len(samples_ms) < _MAX_SAMPLES):
        start_s = clock_s()
        call()
        samples_ms.append((clock_s() - start_s) * 1000)
    return sorted(samples_ms)


def measure(request: Mapping[str, Any], config: TrialConfig) -> LatencyFigure:
    """Measure one architecture in this process.

    Args:
        request: as `trainables.latency.measure` writes it.
        config: of a trial; its architecture fields are used.
    """
    task = Task.from_dict(request["task"])
    runtime = load_runtime(request["runtime"])
    torch.manual_seed(0)
    model = create_model(config, task)
    example = example_inputs(task, request["batch_size"])
    measured_unix_s = time.time()
    samples_ms = sample_latencies_ms(
        runtime.prepare(model, example),
        min_samples=request["min_samples"],
        time_limit_s=request["time_limit_s"],
    )
    low_ms, high_ms = median_interval(samples_ms)
    return LatencyFigure(
        architecture=architecture_fingerprint(config, task),
        description=describe_architecture(config, task),
        runtime=request["runtime"],
        precision=RUNTIMES[request["runtime"]].precision,
        batch_size=request["batch_size"],
        num_threads=request["num_threads"],
        device=host_device(),
        p50_ms=quantile(samples_ms, 0.5),
        p95_ms=quantile(samples_ms, 0.95) if len(samples_ms) >= 20 else None,
        p99_ms=quantile(samples_ms, 0.99) if len(samples_ms) >= 100 else None,
        p50_low_ms=low_ms,
        p50_high_ms=high_ms,
        num_samples=len(samples_ms),
        torch_version=torch_version(),
        measured_unix_s=measured_unix_s,
    )


def load_runtime(name: str) -> Runtime:
    """Import and return the runtime of that name."""
    module_name, _, class_name = RUNTIMES[name].target.partition(":")
    return cast("Runtime", getattr(importlib.import_module(module_name), class_name)())


def main() -> None:
    """Answer one request."""
    request = json.load(sys.stdin)
    torch.set_num_threads(request["num_threads"])
    figures = [measure(request, TrialConfig.from_dict(config)) for config in request["configs"]]
    json.dump([dataclasses.asdict(figure) for figure in figures], sys.stdout)


if __name__ == "__main__":
    main()
