"""The process that measures: one JSON request on stdin, one JSON reply on stdout."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import json
import sys
import time
from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from trainables.errors import InputError
from trainables.latency import RUNTIMES, LatencyError
from trainables.latency.blocks import Limits, settle
from trainables.latency.calibration import Calibration, Nominal, calibrate, tail_ms
from trainables.latency.figure import (
    LatencyFigure,
    host_device,
    median_interval,
    quantile,
    torch_version,
)
from trainables.latency.outputs import check_outputs
from trainables.latency.protocol import Call, Runtime
from trainables.latency.reference import reference_call
from trainables.models import architecture_fingerprint, create_model, describe_architecture
from trainables.models.example import example_inputs
from trainables.task import Task
from trainables.trial_config import TrialConfig

_NOMINAL_LIMITS = Limits(min_time_s=3.0)


def measure(
    request: Mapping[str, Any], config: TrialConfig, reference: Call
) -> tuple[LatencyFigure, Calibration]:
    """Measure one architecture in this process.

    Args:
        request: as `trainables.latency.measure` writes it.
        config: of a trial; its architecture fields are used.
        reference: a call of the reference network.
    """
    task = Task.from_dict(request["task"])
    torch.manual_seed(0)
    model = create_model(config, task).eval()
    call = load_checked(request["runtime"], model, example_inputs(task, request["batch_size"]))
    measured_unix_s = time.time()
    target, references, num_tries = settle(call, reference, Limits(**request["limits"]))
    calibration = calibrate(
        target,
        references,
        Nominal(**request["nominal"]),
        num_tries=num_tries,
        num_threads=request["num_threads"],
    )
    samples_ms = sorted(call.wall_ms for call in target.calls)
    low_ms, high_ms = median_interval(samples_ms)
    p95_ms, p99_ms = tail_ms(target, calibration)
    figure = LatencyFigure(
        architecture=architecture_fingerprint(config, task),
        description=describe_architecture(config, task),
        runtime=request["runtime"],
        precision=RUNTIMES[request["runtime"]].precision,
        batch_size=request["batch_size"],
        num_threads=request["num_threads"],
        device=host_device(),
        p50_ms=quantile(samples_ms, 0.5),
        p95_ms=p95_ms,
        p99_ms=p99_ms,
        p50_low_ms=low_ms,
        p50_high_ms=high_ms,
        num_samples=len(samples_ms),
        torch_version=torch_version(),
        measured_unix_s=measured_unix_s,
    )
    return figure, calibration


def load_checked(runtime: str, model: nn.Module, example: Tensor) -> Call:
    """Return a call of the model in a runtime, with its outputs checked against eager's.

    Args:
        runtime: a name in `RUNTIMES`.
        model: in evaluation mode; may be modified.
        example: its input.

    Raises:
        LatencyError: if the runtime can't run the model, or its outputs aren't eager's.
    """
    module_name, _, class_name = RUNTIMES[runtime].target.partition(":")
    entry = cast("Runtime", getattr(importlib.import_module(module_name), class_name)())
    with torch.inference_mode():
        expected = model(example)
    call = entry.prepare(model, example)
    check_outputs(call(), expected, runtime)
    return call


def answer(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the reply to a request: for the nominal time of the reference, or for figures."""
    torch.set_num_threads(request["num_threads"])
    assert torch.get_num_threads() == request["num_threads"]
    reference = reference_call()
    if "configs" not in request:
        own, again, _ = settle(reference, reference, _NOMINAL_LIMITS)
        reference_ms = min(own.smallest_ms()[0], again.smallest_ms()[0])
        return dataclasses.asdict(Nominal(reference_ms, own.is_stable() and again.is_stable()))
    measured = [
        measure(request, TrialConfig.from_dict(config), reference) for config in request["configs"]
    ]
    return {"measured": [[dataclasses.asdict(part) for part in pair] for pair in measured]}


def main() -> None:
    """Answer one request."""
    request = json.load(sys.stdin)
    # The reply alone goes to stdout, whatever a runtime prints.
    with contextlib.redirect_stdout(sys.stderr):
        try:
            reply = answer(request)
        except (InputError, LatencyError) as error:
            reply = {"error": type(error).__name__, "message": str(error)}
    json.dump(reply, sys.stdout)


if __name__ == "__main__":
    main()
