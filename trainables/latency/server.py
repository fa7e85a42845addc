"""The process from which those that measure are forked: a JSON request in, a JSON line a figure.

It imports what they need, and computes nothing itself: a fork of it starts in milliseconds as a
fresh process does in seconds.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TextIO

from trainables.errors import InputError
from trainables.latency import RUNTIMES, LatencyError
from trainables.latency import artefact as steps
from trainables.latency.blocks import Limits, Series, shortest_ms
from trainables.latency.calibration import calibrate, is_figure_settled
from trainables.latency.figure import LatencyFigure
from trainables.latency.host import cpu_governor, device_name, runtime_versions
from trainables.latency.isolated import call_isolated
from trainables.latency.job import Job
from trainables.latency.nominal import Nominal, keep_nominal, read_nominal
from trainables.latency.outputs import Comparison, fp32_fault
from trainables.latency.serving import Serving
from trainables.latency.settling import MAX_SPREAD, Processes, settle, spread
from trainables.models import find_model
from trainables.task import Task

STEP_LIMIT_S = 600.0
"""Seconds for one process: to build and compile one model on a busy host, or to time it."""

_NOMINAL_LIMITS = Limits(min_time_s=3.0)


def measure(job: Job, nominal: Nominal, limits: Limits) -> LatencyFigure:
    """Measure one model, each step in a fresh process.

    Args:
        job: the model, and how it is served.
        nominal: quiet times of the references.
        limits: of the time.

    Returns:
        Its figure; one that failed if the model can't be measured.
    """
    measured_unix_s, started_s = time.time(), time.monotonic()
    architecture, description = _identify(job)
    found: dict[str, Any] = {}
    try:
        found |= call_isolated(steps.build, job, limit_s=STEP_LIMIT_S)
        found |= call_isolated(steps.check, job, limit_s=STEP_LIMIT_S)
        found |= _fault(job, found) or _time(job, nominal, limits)
    except (InputError, LatencyError) as error:
        found |= {"status": "failed", "reason": f"{job.serving.runtime}: {error}"}
    return LatencyFigure(
        architecture=architecture,
        description=description,
        runtime=job.serving.runtime,
        precision=job.serving.precision,
        batch_size=job.serving.batch_size,
        num_threads=job.serving.num_threads,
        device=device_name(job.serving.device),
        versions=runtime_versions(job.serving.runtime),
        trial_id=job.subject["trial_id"],
        compression=job.compression,
        governor=cpu_governor(),
        measured_unix_s=measured_unix_s,
        measure_seconds=time.monotonic() - started_s,
        **found,
    )


def _identify(job: Job) -> tuple[str, str]:
    try:
        return call_isolated(steps.identify, job, limit_s=STEP_LIMIT_S)
    except (InputError, LatencyError):
        # The model can't even be built, of which the next step says why.
        return "", json.dumps(job.subject["config"], sort_keys=True)


def _fault(job: Job, found: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return that the measurement failed, if what would be timed is not the model."""
    if job.serving.precision != "fp32":
        return None  # how far it is from fp32 is told, and judged by whoever ships it
    comparison = Comparison(found["max_difference"], found["agreement_fraction"])
    reason = fp32_fault(comparison, job.serving.runtime)
    return None if reason is None else {"status": "failed", "reason": reason}


def _time(job: Job, nominal: Nominal, limits: Limits) -> dict[str, Any]:
    settled = settle(
        lambda: call_isolated(steps.time_with_references, job, limits, limit_s=STEP_LIMIT_S),
        limits,
        lambda processes: is_figure_settled(processes, nominal),
    )
    found = calibrate(settled, nominal, job.serving)
    throughput_per_s = 1000 * job.serving.batch_size / found["latency_ms"]
    return {**found, "throughput_per_s": throughput_per_s}


def find_nominal(serving: Serving) -> Nominal:
    """Return the quiet times of the references on this host, measured if none are kept.

    Times that did not settle are not kept.
    """
    kept = read_nominal(serving.num_threads, serving.device)
    if kept is not None:
        return kept

    def time_in_process() -> list[Series]:
        return call_isolated(steps.time_references, serving, _NOMINAL_LIMITS, limit_s=STEP_LIMIT_S)

    settled = settle(time_in_process, _NOMINAL_LIMITS, _is_nominal_settled)
    compact_ms, wide_ms = _shortest_by_network(settled.processes)
    nominal = Nominal(
        statistics.median(compact_ms),
        statistics.median(wide_ms),
        is_stable=_is_nominal_settled(settled.processes),
    )
    if not nominal.is_stable:
        return nominal
    return keep_nominal(nominal, serving.num_threads, serving.device)


def _is_nominal_settled(processes: Processes) -> bool:
    return all(spread(times_ms) <= MAX_SPREAD for times_ms in _shortest_by_network(processes))


def _shortest_by_network(processes: Processes) -> list[list[float]]:
    return [[shortest_ms(one) for one in series] for series in zip(*processes, strict=True)]


def answer(request: Mapping[str, Any], tell: Callable[[Mapping[str, Any]], None]) -> None:
    """Answer a request, a figure at a time.

    Args:
        request: as `trainables.latency.measure` writes it.
        tell: takes each figure.
    """
    serving = Serving(**request["serving"])
    _preload(request)
    nominal = find_nominal(serving)
    samples_file = request["samples_file"]
    for subject in request["subjects"]:
        with tempfile.TemporaryDirectory(prefix="paretune-latency-") as name:
            # What Inductor compiled before would make a cold start warm.
            os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(Path(name, "inductor"))
            job = Job(
                subject,
                None if request["task"] is None else Task.from_dict(request["task"]),
                serving,
                Path(name),
                None if samples_file is None else Path(samples_file),
            )
            figure = measure(job, nominal, Limits(**request["limits"]))
        tell(dataclasses.asdict(figure))


def _preload(request: Mapping[str, Any]) -> None:
    configs = [s["config"] for s in request["subjects"] if s["config"] is not None]
    modules = {find_model(config["model"]).target.partition(":")[0] for config in configs}
    for module in (*RUNTIMES[request["serving"]["runtime"]].preloads, *sorted(modules)):
        importlib.import_module(module)


def _take_over_stdout() -> TextIO:
    """Return what stdout is, and send whatever runtimes print there to stderr."""
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return replies


def main() -> None:
    """Answer one request."""
    replies = _take_over_stdout()

    def tell(figure: Mapping[str, Any]) -> None:
        print(json.dumps(figure), file=replies, flush=True)

    answer(json.load(sys.stdin), tell)


if __name__ == "__main__":
    main()
