"""Structured pruning: a trained model with fewer channels, smaller and faster in any runtime.

Layers that share channels (through a shortcut, a norm, a depthwise convolution) lose the same
ones, as the graph of their dependencies demands (Fang et al. 2023, arXiv:2301.12900).
"""

from __future__ import annotations

import copy
import dataclasses
import importlib.util
import warnings

import torch
from torch import Tensor, nn

from trainables.data.device import DeviceData
from trainables.errors import InputError
from trainables.metrics import Scores
from trainables.models import count_parameters
from trainables.models.encoder import Encoder
from trainables.ranks import Ranks
from trainables.train_loop import Training
from trainables.trial_config import TrialConfig

_WEIGHTED = (nn.Conv1d, nn.Conv2d, nn.Linear, nn.Embedding)


def check_pruning_installed() -> None:
    """Check that what prunes is there.

    Raises:
        InputError: if it is not.
    """
    if importlib.util.find_spec("torch_pruning") is None:
        raise InputError(
            "torch-pruning must be installed to prune models, got none; run: "
            "pip install 'paretune[prune]'"
        )


def prune(model: nn.Module, example: Tensor, fraction: float) -> nn.Module:
    """Return a copy of a classifier without those channels of each layer that matter least.

    The importance of a channel is the mean of the squared norms of all weights that make or use
    it. How many go depends on the fraction alone, not on the weights: a pruned state fits every
    model of the same architecture that was pruned alike. The parameters that are left are 0.25 of
    a convolutional network's at a fraction of 0.5. In a Transformer's encoder only the hidden
    layers lose features, for its width runs through the attention. A layer that would lose all of
    its channels keeps them.

    Args:
        model: stays as it is.
        example: [batch, ...] inputs that it takes.
        fraction: of each layer's channels to remove; > 0 and < 1.

    Returns:
        In evaluation mode, with as many outputs.

    Raises:
        InputError: if the fraction is out of bounds, nothing that prunes is installed, or the model
            is not one whose channels can be removed.
    """
    if not 0 < fraction < 1:
        raise InputError(
            f"fraction must be > 0 and < 1, got {fraction}; give the part of the channels to remove"
        )
    check_pruning_installed()
    pruned = copy.deepcopy(model).eval().requires_grad_(True)  # what is frozen is not traced
    with torch.no_grad():
        expected = pruned(example).shape
    kept = _kept_layers(pruned)
    try:
        with torch.enable_grad(), warnings.catch_warnings():
            # The library would guess which of their dimensions are channels.
            warnings.filterwarnings("error", message="Unwrapped parameters")
            _remove_channels(pruned, example, fraction, kept)
        with torch.no_grad():
            found = pruned(example).shape
    except UserWarning as warning:
        raise _refusal(model, "it has parameters of its own beside its layers'") from warning
    except Exception as error:  # whatever the library, or a model cut wrongly, may raise
        raise _refusal(model, str(error).strip().partition("\n")[0]) from error
    if found != expected:
        raise _refusal(model, "its outputs would change")
    if count_parameters(pruned) >= sum(p.numel() for p in model.parameters()):
        raise _refusal(model, f"it has nothing to remove a fraction of {fraction:g} from")
    return pruned


def fine_tune(
    model: nn.Module, config: TrialConfig, data: DeviceData, device: torch.device
) -> Scores:
    """Train a pruned model on the train part, for as many epochs as the config has.

    With the config's own learning rate falling to zero: that restores more than the small one
    with which a training ends (Renda et al. 2020, arXiv:2003.02389).

    Args:
        model: is modified; in evaluation mode afterwards.
        config: of the training that it came from; precision, warm-up and moving average are not
            used.
        data: on the device.
        device: to train on; the model stays there.

    Returns:
        Of the validation part, after the last epoch.

    Raises:
        InputError: if the config does not fit the data.
        TrainingError: if a loss is not finite.
    """
    plain = dataclasses.replace(
        config,
        schedule="cosine",
        warmup_epochs=0.0,
        ema_decay=0.0,
        patience_epochs=0,
        precision="fp32",
        is_compiled=False,
    )
    training = Training(plain, data, Ranks(0, 1, device, None), model=model)
    for _ in range(plain.num_epochs):
        result = training.train_epoch()
    model.eval()
    return result.val


def _remove_channels(
    model: nn.Module, example: Tensor, fraction: float, kept: list[nn.Module]
) -> None:
    import torch_pruning

    pruner = torch_pruning.pruner.BasePruner(
        model,
        example,
        importance=torch_pruning.importance.GroupMagnitudeImportance(p=2),
        pruning_ratio=fraction,
        ignored_layers=kept,
        # The library's defaults are dicts that all its pruners share.
        in_channel_groups={},
        out_channel_groups={},
    )
    pruner.step()


def _kept_layers(model: nn.Module) -> list[nn.Module]:
    """Return the layers whose outputs stay as many.

    Raises:
        InputError: if the model has an attention that isn't ours: the library may hang on it, or
            cut it wrongly.
    """
    layers: list[nn.Module] = [m for m in model.modules() if isinstance(m, _WEIGHTED)]
    encoders = [module for module in model.modules() if isinstance(module, Encoder)]
    if encoders:
        hidden = {layer for encoder in encoders for layer in encoder.hidden_layers()}
        return [layer for layer in layers if layer not in hidden]
    for module in model.modules():
        if "attention" in type(module).__name__.lower():
            raise _refusal(model, f"{type(module).__name__} has channels that belong together")
    return layers[-1:]


def _refusal(model: nn.Module, reason: str) -> InputError:
    return InputError(
        f"a model to prune must be one whose channels can be removed, got {type(model).__name__} "
        f"({reason}); leave it out, or prune less or nothing"
    )
