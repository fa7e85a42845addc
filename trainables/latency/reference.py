"""The two reference networks, in turn with which every other is timed.

They never change, or figures would lose their scale: see `nominal.REFERENCE_VERSION`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from trainables.latency.blocks import Call
from trainables.latency.eager import module_runner
from trainables.latency.protocol import Recipe


def reference_calls(device: str = "cpu") -> list[Call]:
    """Return calls of the compact and of the wide network in eager PyTorch, about 1 ms each.

    The compact one stays in the caches of its core, and feels the core's clock alone. The wide one
    needs what cores share, and what others who use it leave: of mobilenet_v3 that is a quarter of
    its time. Every other network feels less of it than the wide one and more than the compact one.
    """
    return [_call(network, device) for network in (_compact(), _wide())]


def _call(network: nn.Module, device: str) -> Call:
    inputs = torch.ones(1, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    network = network.eval().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    run = module_runner(network, Recipe("fp32", inputs, inputs, device))

    def call() -> Tensor:
        logits = run(inputs)
        assert isinstance(logits, Tensor)
        return logits

    return call


def _compact() -> nn.Module:
    layers: list[nn.Module] = [nn.Conv2d(3, 32, 3, padding=1), nn.MaxPool2d(2)]
    for _ in range(6):
        layers += [nn.Conv2d(32, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU()]
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10)]
    return nn.Sequential(*layers)


def _wide() -> nn.Module:
    """Return many layers of many shapes: 3 MB of weights, and the code of as many kernels."""
    channels = 16
    layers: list[nn.Module] = [
        nn.Conv2d(3, channels, 3, padding=1, stride=2, bias=False),
        nn.BatchNorm2d(channels),
        nn.Hardswish(),
    ]
    for width, stride in ((24, 1), (40, 2), (64, 1), (96, 2), (128, 1)):
        hidden = 4 * channels
        layers += [
            *(nn.Conv2d(channels, hidden, 1, bias=False), nn.BatchNorm2d(hidden), nn.ReLU()),
            nn.Conv2d(hidden, hidden, 3, stride, padding=1, groups=hidden, bias=False),
            *(nn.BatchNorm2d(hidden), nn.Hardswish()),
            *(nn.Conv2d(hidden, width, 1, bias=False), nn.BatchNorm2d(width)),
        ]
        channels = width
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 1024)]
    layers += [nn.GELU(), nn.LayerNorm(1024), nn.Linear(1024, 256), nn.Linear(256, 10)]
    return nn.Sequential(*layers)
