"""PyTorch through torch.compile."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, cast

import torch
import torch._inductor.config
from torch import nn

from trainables.compiling import check_compiler
from trainables.errors import InputError
from trainables.latency import LatencyError
from trainables.latency.eager import load_module, module_runner, save_module
from trainables.latency.export import first_line
from trainables.latency.protocol import Recipe, Runner

_MODULE_FILE = "model.pt"
_PROGRAM_FILE = "model.pt2"

# Weights are constants: norms are folded into them, and int8 needs them so. As an option of the
# call, Inductor heeds it too late for int8.
FROZEN: dict[str, Any] = {"freezing": True}


class CompiledRuntime:
    """Runs what torch.compile makes of the module, in channels last, when it is loaded.

    int8 is the exported program that torchao made (`trainables.latency.torch_int8`).
    """

    def build(self, model: nn.Module, recipe: Recipe, folder: Path) -> None:
        """Save the module as a whole, or the quantised program."""
        if recipe.precision == "int8":
            from trainables.latency.torch_int8 import quantise

            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of scales that are views
                torch.export.save(quantise(model, recipe), folder / _PROGRAM_FILE)
        else:
            save_module(model, recipe, folder / _MODULE_FILE)

    def load(self, folder: Path, recipe: Recipe) -> Runner:
        """Return the compiled forward pass; compiles."""
        check_tools("compiled", recipe.device)
        if recipe.precision == "int8":
            from trainables.latency.torch_int8 import load_quantised

            model = load_quantised(folder / _PROGRAM_FILE)
        else:
            model = load_module(folder / _MODULE_FILE, recipe)
        torch.compiler.reset()
        runner = module_runner(cast("nn.Module", torch.compile(model, dynamic=False)), recipe)
        try:
            with torch._inductor.config.patch(FROZEN):
                runner(recipe.example)
        except Exception as error:  # Dynamo and Inductor raise many kinds
            raise LatencyError(f"torch.compile failed: {first_line(error)}") from error
        return runner


def check_tools(runtime: str, device: str) -> None:
    """Check that Inductor finds its tools.

    Raises:
        InputError: for the runtime, if it lacks one.
    """
    try:
        check_compiler(torch.device(device))
    except InputError as error:
        raise InputError(
            f"runtime must be another where torch.compile lacks a tool, got {runtime!r}; "
            f"choose another, or mend this: {error}"
        ) from error
