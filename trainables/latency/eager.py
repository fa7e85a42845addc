"""Plain eager PyTorch, as a Python service would run it."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from trainables.latency import LatencyError
from trainables.latency.protocol import Recipe, Runner

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

_FILE = "model.pt"


class EagerRuntime:
    """Runs the module itself in inference mode, in channels last, its weights in the precision."""

    def build(self, model: nn.Module, recipe: Recipe, folder: Path) -> None:
        """Save the module as a whole."""
        save_module(model, recipe, folder / _FILE)

    def load(self, folder: Path, recipe: Recipe) -> Runner:
        """Return the module's forward pass."""
        return module_runner(load_module(folder / _FILE, recipe), recipe)


def save_module(model: nn.Module, recipe: Recipe, path: Path) -> None:
    """Save a module with its weights in the recipe's precision.

    Raises:
        LatencyError: if it can't be saved.
    """
    try:
        torch.save(model.to(DTYPES[recipe.precision]), path)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise LatencyError(f"{type(model).__name__} can't be saved: {error}") from error


def load_module(path: Path, recipe: Recipe) -> nn.Module:
    """Return the module of a file that `save_module` wrote, on the recipe's device."""
    model: nn.Module = torch.load(path, map_location=recipe.device, weights_only=False)
    return model.to(memory_format=torch.channels_last)


def channels_last(inputs: Tensor) -> Tensor:
    """Return inputs with the channels of images last in memory, as every model here takes them."""
    if inputs.ndim != 4:
        return inputs
    return inputs.contiguous(memory_format=torch.channels_last)


def module_runner(model: Callable[[Tensor], Tensor], recipe: Recipe) -> Runner:
    """Return a forward pass that takes its inputs from the CPU and brings its logits there."""
    dtype = DTYPES.get(recipe.precision, torch.float32)

    @torch.no_grad()  # in inference mode Inductor can't fold the weights of int8
    def run(inputs: Tensor) -> Tensor:
        if inputs.is_floating_point():
            inputs = inputs.to(dtype)
        inputs = channels_last(inputs)
        # On a GPU the copy of the logits waits until they are there.
        return model(inputs.to(recipe.device)).float().cpu()

    return run
