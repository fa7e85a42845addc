"""What happens to one model, each step in a process of its own: built, checked, timed."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from trainables.latency.blocks import Limits, Series, alternate
from trainables.latency.job import Arrays, Job
from trainables.latency.memory import PeakMemory
from trainables.latency.outputs import Logits, compare
from trainables.latency.protocol import OnnxConverter, Recipe, Runner, open_runtime
from trainables.latency.reference import reference_calls
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

_EAGER_BATCH = 256
_NUM_RANDOM = 32  # samples for int8 where none were given


def identify(job: Job) -> tuple[str, str]:
    """Return the fingerprint and the description of a job's architecture."""
    if job.task is None:
        path = Path(job.subject["onnx_file"])
        fingerprint = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
        return fingerprint, json.dumps({"onnx_file": path.name})
    config = TrialConfig.from_dict(job.subject["config"])
    fingerprint = architecture_fingerprint(config, job.task)
    description = describe_architecture(config, job.task)
    if job.compression is None:
        return fingerprint, description
    text = f"{fingerprint} {job.compression}"
    return hashlib.sha256(text.encode()).hexdigest()[:16], description


def build(job: Job) -> dict[str, Any]:
    """Build the artefact, and keep what eager PyTorch in fp32 computes.

    Returns:
        The size of the artefact and eager's accuracy, by the names of a figure's fields.

    Raises:
        LatencyError: if the runtime can't take the model.
        InputError: if there is no such model, or a tool is missing.
    """
    _set_threads(job.serving)
    torch.manual_seed(0)
    job.artefact_folder.mkdir()
    found: dict[str, Any] = {}
    if job.task is None:
        expected = _convert(job)
    else:
        model = create_subject(job.subject, job.task)
        found["num_parameters"] = count_parameters(model)
        expected = _build(job, job.task, model.requires_grad_(False))
    job.save_expected(expected)
    found["artefact_bytes"] = _size(job.artefact_folder)
    if "evaluation_logits" in expected:
        found["fp32_accuracy"] = _accuracy(expected["evaluation_logits"], job.load_samples())
    return found


def _build(job: Job, task: Task, model: nn.Module) -> Arrays:
    """Build the artefact of a model; return what eager fp32 computes of it."""
    samples = job.load_samples()
    example = _example(job, task)
    expected: Arrays = {"example": example.numpy()}
    if "evaluation" in samples:
        evaluation = torch.from_numpy(samples["evaluation"])
        expected["evaluation_logits"] = _eager_logits(model, evaluation)
    expected["logits"] = _eager_logits(model, example)
    if "calibration" in samples:
        calibration = torch.from_numpy(samples["calibration"])
    else:
        calibration = example_inputs(task, _NUM_RANDOM)
    runtime = open_runtime(job.serving.runtime)
    runtime.build(model, _recipe(job, example, calibration), job.artefact_folder)
    return expected


def _convert(job: Job) -> Arrays:
    """Build the artefact of an ONNX file; return what ONNX Runtime makes of it as it stands."""
    from trainables.latency.onnx_file import example_of, read_graph
    from trainables.latency.onnx_runtime import open_session

    samples = job.load_samples()
    graph = read_graph(Path(job.subject["onnx_file"]), job.serving.batch_size)
    example, plain = example_of(graph), open_session(graph, is_optimised=False)
    expected: Arrays = {"example": example.numpy(), "logits": _flat(plain(example))}
    if "evaluation" in samples:
        evaluation = torch.from_numpy(samples["evaluation"])
        expected["evaluation_logits"] = _run_all(plain, evaluation, len(example))
    calibration = torch.from_numpy(samples["calibration"]) if samples else example
    converter = cast("OnnxConverter", open_runtime(job.serving.runtime))
    converter.convert(graph, _recipe(job, example, calibration), job.artefact_folder)
    return expected


def check(job: Job) -> dict[str, Any]:
    """Load the artefact in this fresh process, and compare what it computes with eager.

    Returns:
        Cold start, peak memory, difference, agreement and accuracy, by the names of a figure's
        fields.

    Raises:
        LatencyError: if the artefact can't run, or its logits have another shape.
    """
    _set_threads(job.serving)
    samples, expected = job.load_samples(), job.load_expected()
    example = torch.from_numpy(expected["example"])
    runtime, recipe = open_runtime(job.serving.runtime), _recipe(job, example, example)
    memory = PeakMemory(job.serving.device)
    started_s = time.perf_counter()
    runner = runtime.load(job.artefact_folder, recipe)
    logits = _flat(runner(example))
    found: dict[str, Any] = {
        "cold_start_ms": (time.perf_counter() - started_s) * 1000,
        "peak_memory_bytes": memory.added_bytes(),
        **compare(logits, expected["logits"])._asdict(),
    }
    if "evaluation_logits" in expected:
        logits = _run_all(runner, torch.from_numpy(samples["evaluation"]), len(example))
        by_sample = compare(logits, expected["evaluation_logits"])
        found["agreement_fraction"] = by_sample.agreement_fraction
        found["max_difference"] = max(found["max_difference"], by_sample.max_difference)
        found["accuracy"] = _accuracy(logits, samples)
    return found


def time_with_references(job: Job, limits: Limits) -> list[Series]:
    """Load the artefact in this fresh process, and time it in turn with the references."""
    _set_threads(job.serving)
    example = torch.from_numpy(job.load_expected()["example"])
    recipe = _recipe(job, example, example)
    runner = open_runtime(job.serving.runtime).load(job.artefact_folder, recipe)
    calls = [lambda: runner(example), *reference_calls(job.serving.device)]
    return alternate(calls, limits.process_s)


def time_references(serving: Serving, limits: Limits) -> list[Series]:
    """Time the references alone, in this fresh process."""
    _set_threads(serving)
    return alternate(reference_calls(serving.device), limits.process_s)


def create_subject(subject: Mapping[str, Any], task: Task) -> nn.Module:
    """Return the model of a subject in evaluation mode, with its trained weights if it has any."""
    if subject["exported"] is not None:
        from trainables.export.served_model import load_exported

        return load_exported(Path(subject["exported"]))
    model = create_model(TrialConfig.from_dict(subject["config"]), task)
    if subject["pruned_fraction"]:
        from trainables.pruning import prune

        model = prune(model, example_inputs(task, 2), subject["pruned_fraction"])
    if subject["checkpoint"] is not None:
        from trainables.checkpoint_store import read_served_weights

        model.load_state_dict(read_served_weights(subject["checkpoint"]))
    return model.eval()


def _example(job: Job, task: Task) -> Tensor:
    """Return random inputs of the model: of an exported one for images, pixels."""
    if job.subject["exported"] is not None and task.kind == "image":
        shape = (job.serving.batch_size, *task.input_shape)
        return torch.randint(0, 256, shape, dtype=torch.uint8)
    return example_inputs(task, job.serving.batch_size)


def _recipe(job: Job, example: Tensor, calibration: Tensor) -> Recipe:
    return Recipe(job.serving.precision, example, calibration, job.serving.device)


@torch.inference_mode()
def _eager_logits(model: nn.Module, inputs: Tensor) -> Logits:
    logits = torch.cat([model(batch) for batch in torch.split(inputs, _EAGER_BATCH)])
    return cast("Logits", logits.float().numpy())


def _run_all(runner: Runner, inputs: Tensor, batch_size: int) -> Logits:
    """Return the logits of every sample; the last batch is filled up with its first sample."""
    found = []
    for batch in torch.split(inputs, batch_size):
        missing = batch_size - len(batch)
        filled = torch.cat([batch, batch[:1].expand(missing, *batch.shape[1:])])
        found.append(_flat(runner(filled))[: len(batch)])
    return np.concatenate(found)


def _flat(logits: Tensor | NDArray[np.float32]) -> Logits:
    """Return outputs as [batch, num_numbers]: those of a foreign file may have other shapes."""
    return np.asarray(logits).reshape(len(logits), -1)


def _accuracy(logits: Logits, samples: Arrays) -> float | None:
    if "labels" not in samples:
        return None
    return float((logits.argmax(1) == samples["labels"]).mean())


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _set_threads(serving: Serving) -> None:
    torch.set_num_threads(serving.num_threads)
    assert torch.get_num_threads() == serving.num_threads
