"""The models a trial can train, by name. Importing this folder imports no Torch."""

from __future__ import annotations

import functools
import hashlib
import importlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from trainables.errors import InputError
from trainables.task import Kind, Task

if TYPE_CHECKING:
    from torch import nn

    from trainables.trial_config import TrialConfig

TORCHVISION_PREFIX = "torchvision:"

# Options of `TrialConfig` that some models have and others don't.
_CONV = frozenset({"width", "dropout"})
_RESIDUAL = _CONV | {"stochastic_depth"}
_TRANSFORMER = _RESIDUAL | {"depth", "heads"}


@dataclass(frozen=True)
class ModelInfo:
    """What is known of a model before it is imported.

    Attributes:
        target: module:function of its builder, `(config, task) -> Module`.
        options: fields of `TrialConfig` that it uses, of those not every model has.
        kind: of its input.
        is_matrix: its hidden weights are matrices, as Muon needs them.
    """

    target: str
    options: frozenset[str] = _RESIDUAL
    kind: Kind = "image"
    is_matrix: bool = False


def _model(module: str, function: str, *, options: frozenset[str] = _RESIDUAL) -> ModelInfo:
    return ModelInfo(f"trainables.models.{module}:{function}", options)


MODELS: Mapping[str, ModelInfo] = {
    **{
        f"resnet{depth}": _model("resnet", f"resnet{depth}")
        for depth in (8, 14, 20, 32, 44, 56, 18, 34, 50)
    },
    **{f"wideresnet{depth}": _model("wideresnet", f"wideresnet{depth}") for depth in (10, 16, 28)},
    "mobilenet_v2": _model("mobilenet", "mobilenet_v2"),
    "mobilenet_v3": _model("mobilenet", "mobilenet_v3"),
    "convmixer": _model("convmixer", "convmixer", options=_RESIDUAL | {"depth", "patch_px"}),
    "small_cnn": _model("small_cnn", "small_cnn", options=_CONV),
    "vit": ModelInfo("trainables.models.vit:vit", _TRANSFORMER | {"patch_px"}, is_matrix=True),
    "keras_cnn": _model("keras_cnn", "keras_cnn", options=_CONV),
    "text_transformer": ModelInfo(
        "trainables.models.text_transformer:text_transformer", _TRANSFORMER, "text", is_matrix=True
    ),
    "text_cnn": ModelInfo("trainables.models.text_cnn:text_cnn", _CONV, "text"),
}
"""By name; `torchvision:NAME` is a model too."""

MODEL_OPTIONS = frozenset[str]().union(*(info.options for info in MODELS.values()))
"""Fields of `TrialConfig` that only some models use."""


def find_model(name: str) -> ModelInfo:
    """Return what is known of a model.

    Raises:
        InputError: if there is none of that name. Of `torchvision:NAME` only the prefix is looked
            at; `create_model` refuses a NAME that torchvision hasn't.
    """
    if name in MODELS:
        return MODELS[name]
    if name.startswith(TORCHVISION_PREFIX):
        return ModelInfo("trainables.models.from_torchvision:from_torchvision", frozenset())
    raise InputError(
        f"model must be one of {', '.join(MODELS)} or torchvision:NAME, got {name!r}; choose one"
    )


def create_model(config: TrialConfig, task: Task) -> nn.Module:
    """Build the config's model, initialised from the global Torch generator alone.

    Args:
        config: its model options are used, and no other fields.
        task: what the model must fit.

    Returns:
        A module from inputs to [batch, num_classes] logits; inputs are [batch, channels, height,
        width] floats, or [batch, tokens] int64 ids.

    Raises:
        InputError: if the model can't fit the task (a patch that doesn't divide the image, a
            text model for images).
    """
    config.check_task(task)
    module_name, _, builder_name = find_model(config.model).target.partition(":")
    builder = getattr(importlib.import_module(module_name), builder_name)
    return cast("nn.Module", builder(config, task))


def describe_architecture(config: TrialConfig, task: Task) -> str:
    """Return everything that defines the graph as JSON with sorted keys."""
    return json.dumps({**config.architecture(), **task.to_dict()}, sort_keys=True)


def architecture_fingerprint(config: TrialConfig, task: Task) -> str:
    """Return 16 hex digits that are equal exactly where the graphs are equal.

    They are of the description and of the graph itself: figures that are kept by them for other
    sweeps must not outlive a change of a model's code.
    """
    graph = _graph(type(config)(**config.architecture()), task)
    text = f"{describe_architecture(config, task)}\n{graph}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@functools.cache
def _graph(architecture: TrialConfig, task: Task) -> str:
    from trainables.models.graph import trace_graph

    return trace_graph(lambda: create_model(architecture, task), task)


def count_parameters(model: nn.Module) -> int:
    """Return how many numbers the model learns."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
