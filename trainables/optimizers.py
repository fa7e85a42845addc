"""Optimizers of a trial, and what its hyperparameters set on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Muon, Optimizer, RMSprop

from trainables.trial_config import TrialConfig

_RMSPROP_ALPHA = 0.99


def build_optimizer(model: nn.Module, config: TrialConfig) -> Optimizer:
    """Build the config's optimizer, with weight decay on weights alone.

    Biases and the scales of norms (whatever has one dimension) are not decayed (He et al. 2019,
    arXiv:1812.01187, section 3.1). Decay is added to the gradient (L2) in SGD, Adam and RMSProp,
    and taken off the weights in AdamW and Muon (Loshchilov and Hutter 2019, arXiv:1711.05101).

    Args:
        model: on its device; for Muon its logits must come from a submodule named `head`.
        config: of the trial.

    Returns:
        An optimizer whose state, with the groups of any other of the same kind and model, is all
        that a resume needs.
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    lr = config.learning_rate
    optimizer: Optimizer
    # Fused is one kernel a group: the quickest on CPU and GPU for models of many small tensors.
    if config.optimizer == "sgd":
        optimizer = SGD(_split_by_decay(parameters), lr=lr, fused=True)
    elif config.optimizer == "adam":
        optimizer = Adam(_split_by_decay(parameters), lr=lr, fused=True)
    elif config.optimizer == "adamw":
        optimizer = AdamW(_split_by_decay(parameters), lr=lr, fused=True)
    elif config.optimizer == "rmsprop":
        # Torch has no fused one.
        optimizer = RMSprop(_split_by_decay(parameters), lr=lr, alpha=_RMSPROP_ALPHA, foreach=True)
    else:
        matrices = hidden_matrices(model)
        is_matrix = set(matrices)
        rest = [parameter for parameter in parameters if parameter not in is_matrix]
        optimizer = MuonWithAdamW(matrices, rest, lr)
    apply_hyperparameters(optimizer, config, lr)
    return optimizer


def apply_hyperparameters(optimizer: Optimizer, config: TrialConfig, learning_rate: float) -> None:
    """Set everything that the config decides on the optimizer's groups.

    Called before every step, so that nothing restored or changed in mid-training can linger.

    Args:
        optimizer: from `build_optimizer`; its groups are modified.
        config: of the trial.
        learning_rate: of this step.
    """
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
        group["weight_decay"] = config.weight_decay if group["is_decayed"] else 0.0
        if "betas" in group:
            group["betas"] = (config.momentum, config.beta2)
        else:
            group["momentum"] = config.momentum
        if "nesterov" in group:
            group["nesterov"] = config.momentum > 0  # Torch refuses Nesterov without momentum
    if config.momentum > 0 and isinstance(optimizer, SGD | RMSprop):
        _start_momentum(optimizer)


def hidden_matrices(model: nn.Module) -> list[Tensor]:
    """Return the weights that Muon is for: those of linear layers, without the head.

    Embeddings, positions, the convolution that cuts patches, the head, norms and biases are left
    to AdamW (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/).
    """
    spared = set(model.get_submodule("head").parameters())
    return [
        module.weight
        for module in model.modules()
        if isinstance(module, nn.Linear)
        and module.weight.requires_grad
        and module.weight not in spared
    ]


@final
class MuonWithAdamW(Optimizer):
    """Muon for the hidden matrices and AdamW for the rest, as one optimizer.

    Both have the same learning rate and weight decay: Muon's update is scaled by 0.2
    sqrt(max(rows, columns)), so that it is as large as AdamW's (Liu et al. 2025,
    arXiv:2502.16982, section 2.2). State and groups are one, shared with the two inside.

    A `GradScaler` works with it: it takes its scale off the gradients of all groups itself, and
    leaves out the whole step if one of them overflowed. That waits for the GPU once a step.

    Args:
        matrices: [rows, columns] each; for Muon.
        others: for AdamW.
        lr: until `apply_hyperparameters` sets another.
    """

    def __init__(self, matrices: Sequence[Tensor], others: Sequence[Tensor], lr: float) -> None:
        group = {"params": list(matrices), "is_decayed": True}
        self._muon = Muon([group], lr=lr, adjust_lr_fn="match_rms_adamw")
        self._adamw = AdamW(_split_by_decay(others), lr=lr, fused=True)
        super().__init__([*self._muon.param_groups, *self._adamw.param_groups], {})
        self._share()

    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Do the step of both."""
        assert closure is None
        self._muon.step()  # type: ignore[no-untyped-call]
        self._adamw.step()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict` gave, for both."""
        super().load_state_dict(state_dict)
        self._share()  # Torch has put new ones in their place

    def _share(self) -> None:
        self._muon.state = self._adamw.state = self.state
        self._muon.param_groups = self.param_groups[:1]
        self._adamw.param_groups = self.param_groups[1:]


def _split_by_decay(parameters: Sequence[Tensor]) -> list[dict[str, Any]]:
    return [
        {"params": [p for p in parameters if p.ndim > 1], "is_decayed": True},
        {"params": [p for p in parameters if p.ndim <= 1], "is_decayed": False},
    ]


def _start_momentum(optimizer: SGD | RMSprop) -> None:
    """Give every parameter that lacks a momentum one of zeros, as a first step finds it.

    Torch makes the buffers in the first step only. So RMSProp fails when momentum begins later (an
    explore, or a donor without), and fused SGD keeps uninitialised memory when a `GradScaler`
    leaves out the first step.
    """
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            state: dict[str, Tensor | None] = optimizer.state[parameter]
            # RMSProp makes all of its state itself, if it has none.
            is_ready = isinstance(optimizer, SGD) or bool(state)
            if is_ready and state.get("momentum_buffer") is None:
                state["momentum_buffer"] = torch.zeros_like(parameter)
