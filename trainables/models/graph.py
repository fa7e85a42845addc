"""What a model computes, as text: the calls of its forward pass with their shapes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode, resolve_name

from trainables.models.example import example_inputs
from trainables.task import Task


def trace_graph(build: Callable[[], nn.Module], task: Task) -> str:
    """Return a line for every Torch function that a forward pass of one sample calls.

    In evaluation, on the meta device where the model allows it: values are neither computed nor
    told, shapes and options are. Torch's global generator is left as it was.

    Args:
        build: returns the model, on the default device.
        task: what it fits.
    """
    with torch.random.fork_rng(devices=[]), torch.inference_mode():
        try:
            return _trace(build, task, torch.device("meta"))
        except (NotImplementedError, RuntimeError):
            # As for `trainables.complexity`: some models hold tensors of their own on the CPU.
            return _trace(build, task, torch.device("cpu"))


def _trace(build: Callable[[], nn.Module], task: Task, device: torch.device) -> str:
    with device:
        model = build().eval()
        inputs = example_inputs(task, 1)
    with _Recorder() as recorder:
        model(inputs)
    return "\n".join(recorder.lines)


class _Recorder(TorchFunctionMode):
    """Writes down each function that is called, the outermost only."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        name = resolve_name(func) or getattr(func, "__name__", type(func).__name__)
        self.lines.append(f"{name}{_text(args)}{_text(kwargs or {})}")
        return func(*args, **(kwargs or {}))


def _text(value: Any) -> str:
    """Return a value without what changes from process to process."""
    if isinstance(value, Tensor):
        return f"{value.dtype}{list(value.shape)}"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_text(value[key])}" for key in sorted(value)) + "}"
    if isinstance(value, (tuple, list)):
        return "(" + ", ".join(map(_text, value)) + ")"
    if value is None or isinstance(value, (bool, int, float, str, slice, torch.dtype)):
        return repr(value)
    return type(value).__name__
