"""Precision of the forward pass; weights and optimizer are always fp32."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

from trainables.errors import InputError


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """Return the context of a forward pass in `fp32` (none) or `bf16`."""
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


def check_precision(precision: str, device: torch.device) -> None:
    """Refuse a precision that the device does not have.

    Raises:
        InputError: for bf16 on a GPU without it.
    """
    if precision == "bf16" and device.type == "cuda" and not torch.cuda.is_bf16_supported():
        raise InputError(
            f"precision must be one that {torch.cuda.get_device_name(device)} has, got bf16; "
            "use fp32"
        )
