"""Structured pruning: channels that matter least are removed, and the model becomes smaller.

Importing this imports no Torch.
"""

from __future__ import annotations

import copy
import importlib.util
import warnings
from typing import TYPE_CHECKING

from trainables.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor, nn


def check_pruning(fraction: float) -> None:
    """Check that models can be pruned so here.

    Raises:
        InputError: for a fraction that is not > 0 and < 1, or without the library.
    """
    if not 0 < fraction < 1:
        raise InputError(f"pruned_fraction must be > 0 and < 1, got {fraction:g}; change it")
    if importlib.util.find_spec("torch_pruning") is None:
        raise InputError(
            f"pruned_fraction must be 0 without torch_pruning, got {fraction:g}; "
            "run: pip install 'paretune[pruning]'"
        )


def prune(model: nn.Module, fraction: float, example: Tensor) -> nn.Module:
    """Return a copy of a model with a fraction of the channels of every layer removed.

    Layers that must keep the same channels (those a residual connection joins) lose them together,
    as DepGraph finds them; the channels with the smallest weights go (Fang et al. 2023,
    arXiv:2301.12900). The classes stay. Nothing is trained afterwards: the accuracy falls, and must
    be measured.

    Args:
        model: on the CPU; is left as it was.
        fraction: of the channels, > 0 and < 1.
        example: [batch, ...], its one input.

    Raises:
        InputError: if the model can't be pruned, as Transformers can't; the library is missing; the
            fraction is not one.
    """
    check_pruning(fraction)
    import torch
    import torch_pruning

    pruned = copy.deepcopy(model).eval()
    for parameter in pruned.parameters():
        parameter.requires_grad_(True)  # the library follows the graph of the backward pass
    with torch.no_grad():
        shape = pruned(example).shape
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the library's, of parameters that it leaves alone
            torch_pruning.pruner.BasePruner(
                pruned,
                example,
                importance=torch_pruning.importance.GroupMagnitudeImportance(p=2),
                pruning_ratio=fraction,
                ignored_layers=_output_layers(pruned, shape[-1]),
            ).step()
        with torch.no_grad():
            if pruned(example).shape != shape:
                raise RuntimeError("it has other classes then")
    except Exception as error:  # the library raises many kinds, and so does a model it broke
        reason = str(error).strip().partition("\n")[0]
        raise InputError(
            f"pruned_fraction must be 0 for {type(model).__name__}, whose channels can't be "
            f"removed ({reason}), got {fraction:g}; choose a convolutional network"
        ) from error
    return pruned.requires_grad_(False)


def _output_layers(model: nn.Module, num_classes: int) -> list[nn.Module]:
    """Return the last layer that gives as many numbers as there are classes."""
    from torch import nn

    linear: list[nn.Module] = [
        module
        for module in model.modules()
        if isinstance(module, nn.Linear) and module.out_features == num_classes
    ]
    return linear[-1:]
