"""The initial weights of convolutions that are followed by a batch norm and a ReLU."""

from __future__ import annotations

from torch import nn


def init_convolutions(model: nn.Module) -> None:
    """Draw every convolution's weights, scaled for ReLU (He et al. 2015, arXiv:1502.01852)."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
