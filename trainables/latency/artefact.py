"""What happens to one model, each step in a process of its own: built, checked, timed."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from trainables.latency.blocks import Limits, Series, alternate
from trainables.latency.memory import PeakMemory
from trainables.latency.outputs import Logits, compare
from trainables.latency.protocol import Recipe, Runner, open_runtime
from trainables.latency.reference import reference_calls
from trainables.latency.serving import Serving
from trainables.models import architecture_fingerprint, create_model, describe_architecture
from trainables.models.example import example_inputs
from trainables.task import Task
from trainables.trial_config import TrialConfig

_EXPECTED_FILE = "expected.npz"
_ARTEFACT_FOLDER = "artefact"
_EAGER_BATCH = 256
_NUM_RANDOM = 32  # samples for int8 where none were given


@dataclass(frozen=True)
class Job:
    """One model in one way of serving.

    Attributes:
        subject: as `trainables.latency.measure` writes it.
        task: what the model must fit.
        serving: how it is served.
        folder: for what passes between the steps.
        samples_file: of `trainables.latency.measure.Samples`; None: there are none.
    """

    subject: Mapping[str, Any]
    task: Task
    serving: Serving
    folder: Path
    samples_file: Path | None

    def load_samples(self) -> dict[str, NDArray[Any]]:
        """Return the samples by their names, as views of the file."""
        if self.samples_file is None:
            return {}
        with np.load(self.samples_file) as file:
            return dict(file)

    @property
    def artefact_folder(self) -> Path:
        """Where the artefact lies, and nothing else."""
        return self.folder / _ARTEFACT_FOLDER


def identify(job: Job) -> tuple[str, str]:
    """Return the fingerprint and the description of a job's architecture."""
    config = TrialConfig.from_dict(job.subject["config"])
    fingerprint = architecture_fingerprint(config, job.task)
    description = describe_architecture(config, job.task)
    pruned_fraction = job.subject["pruned_fraction"]
    if not pruned_fraction:
        return fingerprint, description
    text = f"{fingerprint} pruned by {pruned_fraction}"
    described = {**json.loads(description), "pruned_fraction": pruned_fraction}
    return hashlib.sha256(text.encode()).hexdigest()[:16], json.dumps(described, sort_keys=True)


def build(job: Job) -> dict[str, Any]:
    """Build the artefact, and keep what eager PyTorch in fp32 computes.

    Returns:
        The size of the artefact and eager's accuracy, by the names of a figure's fields.

    Raises:
        LatencyError: if the runtime can't take the model.
        InputError: if there is no such model, or a tool is missing.
    """
    _set_threads(job)
    torch.manual_seed(0)
    samples = job.load_samples()
    model = _create(job)
    example = example_inputs(job.task, job.serving.batch_size)
    expected = {"example": example.numpy(), "logits": _eager_logits(model, example)}
    found: dict[str, Any] = {}
    if "evaluation" in samples:
        logits = _eager_logits(model, torch.from_numpy(samples["evaluation"]))
        expected["evaluation_logits"] = logits
        found["fp32_accuracy"] = _accuracy(logits, samples)
    if job.subject["pruned_fraction"]:
        from trainables.pruning import prune

        model = prune(model, job.subject["pruned_fraction"], example)
        expected["logits"] = _eager_logits(model, example)
    job.artefact_folder.mkdir()
    runtime = open_runtime(job.serving.runtime)
    if "calibration" in samples:
        calibration = torch.from_numpy(samples["calibration"])
    else:
        calibration = example_inputs(job.task, _NUM_RANDOM)
    runtime.build(model, _recipe(job, example, calibration), job.artefact_folder)
    np.savez(job.folder / _EXPECTED_FILE, **expected)  # type: ignore[arg-type]
    return {**found, "artefact_bytes": _size(job.artefact_folder)}


def check(job: Job) -> dict[str, Any]:
    """Load the artefact in this fresh process, and compare what it computes with eager.

    Returns:
        Cold start, peak memory, difference, agreement and accuracy, by the names of a figure's
        fields.

    Raises:
        LatencyError: if the artefact can't run, or its logits have another shape.
    """
    _set_threads(job)
    samples, (expected, example) = job.load_samples(), _expected(job)
    recipe = _recipe(job, example)
    runtime = open_runtime(job.serving.runtime)
    memory = PeakMemory(job.serving.device)
    started_s = time.perf_counter()
    runner = runtime.load(job.artefact_folder, recipe)
    logits = np.asarray(runner(example))
    found: dict[str, Any] = {
        "cold_start_ms": (time.perf_counter() - started_s) * 1000,
        "peak_memory_bytes": memory.added_bytes(),
        **compare(logits, expected["logits"])._asdict(),
    }
    if "evaluation_logits" in expected:
        logits = _run_all(runner, torch.from_numpy(samples["evaluation"]), len(example))
        by_sample = compare(logits, expected["evaluation_logits"])
        found["agreement_fraction"] = by_sample.agreement_fraction
        if not job.subject["pruned_fraction"]:
            found["max_difference"] = max(found["max_difference"], by_sample.max_difference)
        found["accuracy"] = _accuracy(logits, samples)
    return found


def time_with_references(job: Job, limits: Limits) -> list[Series]:
    """Load the artefact in this fresh process, and time it in turn with the references."""
    _set_threads(job)
    _, example = _expected(job)
    runner = open_runtime(job.serving.runtime).load(job.artefact_folder, _recipe(job, example))
    calls = [lambda: runner(example), *reference_calls(job.serving.device)]
    return alternate(calls, **limits.of_process())


def time_references(serving: Serving, limits: Limits) -> list[Series]:
    """Time the references alone, in this fresh process."""
    torch.set_num_threads(serving.num_threads)
    return alternate(reference_calls(serving.device), **limits.of_process())


def _create(job: Job) -> nn.Module:
    model = create_model(TrialConfig.from_dict(job.subject["config"]), job.task)
    if job.subject["checkpoint"] is not None:
        from trainables.checkpoint_store import read_checkpoint

        state = read_checkpoint(job.subject["checkpoint"], torch.device("cpu"))
        average = state["average"]
        model.load_state_dict(state["model"] if average is None else average["model"])
    return model.eval().requires_grad_(False)


def _recipe(job: Job, example: Tensor, calibration: Tensor | None = None) -> Recipe:
    calibration = example if calibration is None else calibration
    return Recipe(job.serving.precision, example, calibration, job.serving.device)


def _expected(job: Job) -> tuple[dict[str, NDArray[Any]], Tensor]:
    with np.load(job.folder / _EXPECTED_FILE) as file:
        expected = dict(file)
    return expected, torch.from_numpy(expected["example"])


@torch.inference_mode()
def _eager_logits(model: nn.Module, inputs: Tensor) -> Logits:
    logits = torch.cat([model(batch) for batch in inputs.split(_EAGER_BATCH)])
    return cast("Logits", logits.float().numpy())


def _run_all(runner: Runner, inputs: Tensor, batch_size: int) -> Logits:
    """Return the logits of every sample; the last batch is filled up with its first sample."""
    found = []
    for batch in inputs.split(batch_size):
        missing = batch_size - len(batch)
        filled = torch.cat([batch, batch[:1].expand(missing, *batch.shape[1:])])
        found.append(np.asarray(runner(filled.contiguous()))[: len(batch)])
    return np.concatenate(found)


def _accuracy(logits: Logits, samples: Mapping[str, NDArray[Any]]) -> float | None:
    if "labels" not in samples:
        return None
    return float((logits.argmax(1) == samples["labels"]).mean())


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _set_threads(job: Job) -> None:
    torch.set_num_threads(job.serving.num_threads)
    assert torch.get_num_threads() == job.serving.num_threads
