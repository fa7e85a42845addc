"""Any classifier of `torchvision.models`, untrained, as a trial: `torchvision:NAME`."""

from __future__ import annotations

from typing import Any, cast

import torch
import torchvision
from torch import nn

from trainables.errors import InputError
from trainables.models import TORCHVISION_PREFIX
from trainables.task import Task
from trainables.trial_config import TrialConfig

_NUM_CHANNELS = 3  # of the images that torchvision's networks are for
_HAS_AUXILIARY_HEADS = ("googlenet", "inception_v3")


def from_torchvision(config: TrialConfig, task: Task) -> nn.Module:
    """Build a torchvision classifier for the task's classes, channels and image size.

    For other than three channels the first convolution is a new one, with Torch's default initial
    weights. Auxiliary heads are left out. What networks look like for small images was not
    torchvision's concern: most halve the image five times.

    Raises:
        InputError: if torchvision has no classifier of that name, or it can't work on images of
            this size.
    """
    name = config.model.removeprefix(TORCHVISION_PREFIX)
    names = torchvision.models.list_models(module=torchvision.models)
    if name not in names:
        raise InputError(
            f"model must be {TORCHVISION_PREFIX}NAME with a classifier of torchvision "
            f"{torchvision.__version__}, got {name!r}; choose from {', '.join(names)}"
        )
    # Only the network itself knows which sizes it can take. On "meta" asking it is nearly free.
    _, height, width = task.input_shape
    try:
        empty = _build_empty(name, task)
        empty(torch.empty(2, *task.input_shape, device="meta"))
    except (AssertionError, RuntimeError, ValueError) as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        raise InputError(
            f"images must be of a size that {config.model} can work on, got {height} x {width} px "
            f"({reason}); choose another model, or larger images"
        ) from error
    return empty if torch.get_default_device().type == "meta" else _build(name, task)


def _build_empty(name: str, task: Task) -> nn.Module:
    try:
        with torch.device("meta"):
            return _build(name, task)
    except NotImplementedError:  # RegNets compute their widths with tensors, so these must be real
        with torch.device("cpu"):
            return _build(name, task).to("meta")


def _build(name: str, task: Task) -> nn.Module:
    num_channels, height, width = task.input_shape
    options: dict[str, Any] = {}
    if name in _HAS_AUXILIARY_HEADS:
        options = {"aux_logits": False, "init_weights": True}
    elif name.startswith("vit_"):
        options = {"image_size": height}
    elif name.startswith("maxvit_"):
        options = {"input_size": (height, width)}
    model = torchvision.models.get_model(
        name, weights=None, num_classes=task.num_classes, **options
    )
    if num_channels != _NUM_CHANNELS:
        _replace_first_convolution(model, num_channels)
    return cast("nn.Module", model)


def _replace_first_convolution(model: nn.Module, num_channels: int) -> None:
    path, old = next(
        (path, module) for path, module in model.named_modules() if isinstance(module, nn.Conv2d)
    )
    assert (old.in_channels, old.groups) == (_NUM_CHANNELS, 1)
    new = nn.Conv2d(
        num_channels,
        old.out_channels,
        cast("tuple[int, int]", old.kernel_size),
        cast("tuple[int, int]", old.stride),
        cast("tuple[int, int]", old.padding),
        bias=old.bias is not None,
    )
    model.set_submodule(path, new)
