"""The models a trial can train, by name. Importing this folder imports no Torch."""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from torch import nn

    from trainables.trial_config import TrialConfig

MODELS: Mapping[str, str] = {
    "resnet8": "trainables.models.resnet:resnet8",
    "resnet14": "trainables.models.resnet:resnet14",
    "resnet20": "trainables.models.resnet:resnet20",
    "resnet18": "trainables.models.resnet:resnet18",
}
"""Name -> module:function of its builder, `(width, in_channels, num_classes) -> Module`."""


def create_model(
    config: TrialConfig, input_shape: tuple[int, int, int], num_classes: int
) -> nn.Module:
    """Build the config's model, initialised from the global Torch generator alone.

    Args:
        config: its architecture fields are used, and no other.
        input_shape: channels, height and width of an image.
        num_classes: > 0.

    Returns:
        A module from [batch, channels, height, width] floats to [batch, num_classes] logits.
    """
    module_name, _, builder_name = MODELS[config.model].partition(":")
    builder = getattr(importlib.import_module(module_name), builder_name)
    return cast("nn.Module", builder(config.width, input_shape[0], num_classes))


def describe_architecture(
    config: TrialConfig, input_shape: tuple[int, int, int], num_classes: int
) -> str:
    """Return everything that defines the graph as JSON with sorted keys."""
    graph = {**config.architecture(), "input_shape": list(input_shape), "num_classes": num_classes}
    return json.dumps(graph, sort_keys=True)


def architecture_fingerprint(
    config: TrialConfig, input_shape: tuple[int, int, int], num_classes: int
) -> str:
    """Return 16 hex digits that are equal exactly where the graphs are equal."""
    description = describe_architecture(config, input_shape, num_classes)
    return hashlib.sha256(description.encode()).hexdigest()[:16]


def count_parameters(model: nn.Module) -> int:
    """Return how many numbers the model learns."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
