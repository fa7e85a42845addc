"""Precision of the forward pass; weights and optimizer are always fp32."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

from trainables.errors import InputError

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """Return the context of a forward pass in `fp32` (none), `bf16` or `fp16`."""
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, dtype=_DTYPES[precision])


def make_scaler(precision: str, device: torch.device) -> torch.amp.GradScaler | None:
    """Build what keeps the small gradients of fp16 from vanishing; None where none is needed.

    Scales the loss (Micikevicius et al. 2018, arXiv:1710.03740, section 3.2) by as much as the
    gradients bear. Each part of a batch is `scaler.scale(loss).backward()`; once a batch, and
    never between its parts, `scaler.step(optimizer)` and `scaler.update()` take the place of
    `optimizer.step()`. Fused optimizers take the scale off in their own kernel, so the gradients
    are still scaled afterwards; what reads or clips them before the step calls
    `scaler.unscale_(optimizer)` first. A step whose gradients overflowed is left out: that is so on
    all workers or none, because they share the sum. Its scale changes in training, so its
    `state_dict()` belongs in checkpoints.
    """
    return torch.amp.GradScaler(device.type) if precision == "fp16" else None


def check_precision(precision: str, device: torch.device) -> None:
    """Refuse a precision that the device does not have.

    The machine that this runs on is asked. A driver without a GPU can't tell what those of the
    workers have, and refuses nothing for them; the workers ask again.

    Raises:
        InputError: for bf16 on a GPU that only emulates it, or fp16 on a CPU that only does so.
    """
    if (
        precision == "bf16"
        and device.type == "cuda"
        and torch.cuda.is_available()
        and not torch.cuda.is_bf16_supported(including_emulation=False)
    ):
        name = torch.cuda.get_device_name(device)
        raise InputError(f"precision must be one that {name} has, got bf16; use fp16 or fp32")
    if precision == "fp16" and device.type == "cpu" and not _has_cpu_fp16():
        raise InputError(
            "precision must be one that this CPU has, got fp16; use bf16 or fp32, or a GPU"
        )


def _has_cpu_fp16() -> bool:
    # Torch has no public question; without oneDNN it has no fast fp16 either.
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    return bool(torch.ops.mkldnn._is_mkldnn_fp16_supported())
