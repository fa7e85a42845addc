"""PyTorch compiled ahead of time by AOTInductor: a package that needs no Python to run."""

from __future__ import annotations

from pathlib import Path

import torch
import torch._inductor.config
from torch import nn

from trainables.latency import LatencyError
from trainables.latency.compiled import FROZEN, check_tools
from trainables.latency.eager import DTYPES, channels_last, module_runner
from trainables.latency.export import export_program, first_line
from trainables.latency.protocol import Recipe, Runner

_FILE = "model.pt2"


class AotInductorRuntime:
    """Runs a package of `torch._inductor.aoti_compile_and_package`, called from Python."""

    def build(self, model: nn.Module, recipe: Recipe, folder: Path) -> None:
        """Export the model, quantise it for int8, compile and package it."""
        check_tools("aot_inductor", recipe.device)
        if recipe.precision == "int8":
            from trainables.latency.torch_int8 import quantise

            program = quantise(model, recipe)
        else:
            dtype, example = DTYPES[recipe.precision], recipe.example.to(recipe.device)
            if example.is_floating_point():
                example = example.to(dtype)
            model = model.to(recipe.device, dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
            program = export_program(model, channels_last(example))
        try:
            with torch.no_grad(), torch._inductor.config.patch(FROZEN):
                torch._inductor.aoti_compile_and_package(program, package_path=str(folder / _FILE))
        except Exception as error:  # Inductor raises many kinds
            raise LatencyError(
                f"AOTInductor can't compile the model: {first_line(error)}"
            ) from error

    def load(self, folder: Path, recipe: Recipe) -> Runner:
        """Return a call of the package."""
        package = torch._inductor.aoti_load_package(str(folder / _FILE))
        return module_runner(package, recipe)
