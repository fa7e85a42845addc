"""Optimizers of a trial, and the schedule of their learning rate."""

from __future__ import annotations

import math

from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from trainables.trial_config import TrialConfig

_BETA2 = 0.999


def build_optimizer(model: nn.Module, config: TrialConfig) -> Optimizer:
    """Build the config's optimizer, with weight decay on weights alone.

    Biases and the scales of norms (whatever has one dimension) are not decayed (He et al. 2019,
    arXiv:1812.01187, section 3.1).
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "is_decayed": True},
        {"params": [p for p in parameters if p.ndim <= 1], "is_decayed": False},
    ]
    optimizer: Optimizer
    # Fused is one kernel a group: the quickest on CPU and GPU for models of many small tensors.
    if config.optimizer == "sgd":
        optimizer = SGD(groups, lr=config.learning_rate, fused=True)
    else:
        optimizer = AdamW(groups, lr=config.learning_rate, fused=True)
    apply_hyperparameters(optimizer, config, config.learning_rate)
    return optimizer


def apply_hyperparameters(optimizer: Optimizer, config: TrialConfig, learning_rate: float) -> None:
    """Set everything that the config decides on the optimizer's groups.

    Called at every step, so that nothing restored or changed in mid-training can linger.

    Args:
        optimizer: from `build_optimizer`; its groups are modified.
        config: of the trial.
        learning_rate: of this step.
    """
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
        group["weight_decay"] = config.weight_decay if group["is_decayed"] else 0.0
        if config.optimizer == "sgd":
            group["momentum"] = config.momentum
            group["nesterov"] = config.momentum > 0  # Torch refuses Nesterov without momentum
        else:
            group["betas"] = (config.momentum, _BETA2)


def cosine_with_warmup(step: int, total_steps: int, warmup_steps: float, base_rate: float) -> float:
    """Return the learning rate of a step: linear warm-up, then half a cosine down to zero.

    The rule of Loshchilov and Hutter 2017 (arXiv:1608.03983), without restarts. The rate is that
    in the middle of the step, so neither the first nor the last step is wasted on a rate of zero.

    Args:
        step: from 0; beyond the end the rate stays that of the last step.
        total_steps: > 0.
        warmup_steps: from 0 to total_steps.
        base_rate: at the top.

    Example:
        >>> round(cosine_with_warmup(0, 4, 2, 1.0), 3), round(cosine_with_warmup(3, 4, 2, 1.0), 3)
        (0.25, 0.146)
    """
    position = min(step, total_steps - 1) + 0.5
    if position < warmup_steps:
        return base_rate * position / warmup_steps
    progress = (position - warmup_steps) / max(total_steps - warmup_steps, 1)
    return base_rate * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
