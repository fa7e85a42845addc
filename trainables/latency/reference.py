"""The reference network, in turn with which every other is timed.

It never changes, or figures would lose their scale: see `REFERENCE_VERSION`.
"""

from __future__ import annotations

import torch
from torch import nn

from trainables.latency.eager import EagerRuntime
from trainables.latency.protocol import Call


def reference_call() -> Call:
    """Return a call of the reference in eager PyTorch, about a millisecond long on one core.

    Convolutions, norms and activations of a small image model, so that it feels what the networks
    that are searched feel: arithmetic, caches and the calls of Python.
    """
    layers: list[nn.Module] = [nn.Conv2d(3, 32, 3, padding=1), nn.MaxPool2d(2)]
    for _ in range(6):
        layers += [nn.Conv2d(32, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU()]
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10)]
    return EagerRuntime().prepare(nn.Sequential(*layers).eval(), torch.ones(1, 3, 32, 32))
