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

from trainables.checkpoint_store import read_checkpoint
from trainables.errors import InputError
from trainables.latency import RUNTIMES, LatencyError
from trainables.latency.blocks import Limits, settle
from trainables.latency.calibration import Nominal, calibrate
from trainables.latency.figure import LatencyFigure
from trainables.latency.host import cpu_governor, device_name, runtime_versions
from trainables.latency.outputs import check_outputs
from trainables.latency.protocol import Call, Runtime
from trainables.latency.reference import reference_call
from trainables.latency.serving import Serving
from trainables.models import (
    architecture_fingerprint,
    count_parameters,
    create_model,
    describe_architecture,
)
from trainables.models.example import example_inputs
from trainables.task import Task
from trainables.trial_config import TrialConfig

_NOMINAL_LIMITS = Limits(min_time_s=3.0)


def measure(
    request: Mapping[str, Any], subject: Mapping[str, Any], reference: Call
) -> LatencyFigure:
    """Measure one model in this process.

    Args:
        request: as `trainables.latency.measure` writes it.
        subject: of it.
        reference: a call of the reference network.
    """
    started_unix_s, started_s = time.time(), time.monotonic()
    task, config = Task.from_dict(request["task"]), TrialConfig.from_dict(subject["config"])
    serving = Serving(**request["serving"])
    pruned_fraction = subject["pruned_fraction"]
    found: dict[str, Any] = {}
    try:
        model = create_subject(subject, config, task)
        found["num_parameters"] = count_parameters(model)
        found |= time_model(request, model, task, reference)
    except (InputError, LatencyError) as error:
        found |= {"status": "failed", "reason": str(error)}
    return LatencyFigure(
        architecture=architecture_fingerprint(config, task),
        description=describe_architecture(config, task),
        runtime=serving.runtime,
        precision=serving.precision,
        batch_size=serving.batch_size,
        num_threads=serving.num_threads,
        device=device_name(serving.device),
        versions=runtime_versions(serving.runtime),
        trial_id=subject["trial_id"],
        compression=f"pruned {pruned_fraction:g}" if pruned_fraction else None,
        governor=cpu_governor(),
        measured_unix_s=started_unix_s,
        measure_seconds=time.monotonic() - started_s,
        **found,
    )


def create_subject(subject: Mapping[str, Any], config: TrialConfig, task: Task) -> nn.Module:
    """Return the model of a subject in evaluation mode, with its trained weights if it has any."""
    torch.manual_seed(0)
    model = create_model(config, task)
    if subject["pruned_fraction"]:
        from trainables.pruning import prune

        model = prune(model, example_inputs(task, 2), subject["pruned_fraction"])
    if subject["checkpoint"] is not None:
        state = read_checkpoint(subject["checkpoint"], torch.device("cpu"))
        average = state["average"]
        model.load_state_dict(state["model"] if average is None else average["model"])
    return model.eval()


def time_model(
    request: Mapping[str, Any], model: nn.Module, task: Task, reference: Call
) -> dict[str, Any]:
    """Return what is found of a model, by the names of a figure's fields."""
    serving = Serving(**request["serving"])
    call = load_checked(serving.runtime, model, example_inputs(task, serving.batch_size))
    target, references, num_tries = settle(call, reference, Limits(**request["limits"]))
    found = calibrate(
        target,
        references,
        Nominal(**request["nominal"]),
        num_tries=num_tries,
        num_threads=serving.num_threads,
    )
    throughput_per_s = 1000 * serving.batch_size / found["latency_ms"]
    return {**found, "throughput_per_s": throughput_per_s}


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
    num_threads = request["num_threads"]
    torch.set_num_threads(num_threads)
    assert torch.get_num_threads() == num_threads
    reference = reference_call()
    if "subjects" not in request:
        own, again, _ = settle(reference, reference, _NOMINAL_LIMITS)
        reference_ms = min(own.smallest_ms()[0], again.smallest_ms()[0])
        return dataclasses.asdict(Nominal(reference_ms, own.is_stable() and again.is_stable()))
    figures = [measure(request, subject, reference) for subject in request["subjects"]]
    return {"figures": [dataclasses.asdict(figure) for figure in figures]}


def main() -> None:
    """Answer one request."""
    request = json.load(sys.stdin)
    # The reply alone goes to stdout, whatever a runtime prints.
    with contextlib.redirect_stdout(sys.stderr):
        reply = answer(request)
    json.dump(reply, sys.stdout)


if __name__ == "__main__":
    main()
