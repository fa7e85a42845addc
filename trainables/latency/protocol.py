"""What a latency runtime is."""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from trainables.latency import RUNTIMES

Runner = Callable[[Tensor], Tensor | NDArray[np.float32]]
"""From inputs of the static shape, on the CPU, to [batch, num_classes] float32 logits there.

Runs to its end, and so can be timed; what it returns stays as it is in later calls.
"""


@dataclass(frozen=True, eq=False)
class Recipe:
    """How a model becomes what would be shipped.

    Attributes:
        precision: of the arithmetic: fp32, bf16, fp16 or int8.
        example: [batch, ...] inputs; the artefact takes their shape and no other.
        calibration: [num_samples, ...] inputs that int8 is fitted to; at least one.
        device: `cpu` or `cuda`.
    """

    precision: str
    example: Tensor
    calibration: Tensor
    device: str = "cpu"

    def calibration_batches(self) -> list[Tensor]:
        """Return the calibration samples in batches of the static shape, what is over left out.

        Samples that don't fill one batch are repeated.
        """
        size = len(self.example)
        samples = self.calibration
        if len(samples) < size:
            samples = samples.repeat(-(-size // len(samples)), *[1] * (samples.ndim - 1))
        return [samples[first : first + size] for first in range(0, len(samples) - size + 1, size)]


class Runtime(Protocol):
    """Turns a model into what would be shipped, and runs that.

    Both use as many threads as `torch.get_num_threads()`.
    """

    def build(self, model: nn.Module, recipe: Recipe, folder: Path) -> None:
        """Write the artefact that would be shipped into an empty folder.

        Args:
            model: in evaluation mode, on the CPU; may be modified.
            recipe: what becomes of it.
            folder: for the artefact and nothing else.

        Raises:
            LatencyError: if the runtime can't take the model; names the operator if there is one.
            InputError: if a tool is missing.
        """

    def load(self, folder: Path, recipe: Recipe) -> Runner:
        """Return what runs the artefact, ready for its first call.

        Args:
            folder: that `build` wrote; may be deleted once the first call has returned.
            recipe: as for `build`.

        Raises:
            LatencyError: if the artefact can't run here.
            InputError: if a tool is missing.
        """


class OnnxConverter(Protocol):
    """A runtime that takes models as ONNX."""

    def convert(self, graph: bytes, recipe: Recipe, folder: Path) -> None:
        """Write the artefact of a serialised fp32 ONNX model, as `Runtime.build` does.

        Raises:
            LatencyError: if the runtime can't take the model.
        """


def open_runtime(name: str) -> Runtime:
    """Return the runtime of a name in `RUNTIMES`; imports what it needs."""
    module_name, _, class_name = RUNTIMES[name].target.partition(":")
    return cast("Runtime", getattr(importlib.import_module(module_name), class_name)())


def prepare(runtime: Runtime, model: nn.Module, recipe: Recipe) -> Runner:
    """Return what runs a model in a runtime, built and loaded in this process.

    Args:
        runtime: one of `open_runtime`.
        model: in evaluation mode, on the CPU; may be modified.
        recipe: what becomes of it.

    Raises:
        LatencyError: if the runtime can't run the model.
        InputError: if a tool is missing.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        runtime.build(model, recipe, folder)
        runner = runtime.load(folder, recipe)
        runner(recipe.example)
    return runner
