"""Inference latency of a model, measured alone in fresh processes. Imports no Torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class LatencyError(RuntimeError):
    """A latency could not be measured, or what would be timed isn't the model."""


class Extra(NamedTuple):
    """What a runtime needs beside Torch.

    Attributes:
        name: of the extra of this distribution that installs it.
        modules: that it installs.
    """

    name: str
    modules: tuple[str, ...]


class RuntimeEntry(NamedTuple):
    """Where a runtime stands, and what it offers.

    Attributes:
        target: module:class of a `trainables.latency.protocol.Runtime`.
        precisions: of its arithmetic, by device.
        extra: that it needs; None: nothing.
        int8_extra: that it needs beside for int8.
        takes_onnx: it is a `trainables.latency.protocol.OnnxConverter` too.
        preloads: modules that building imports and that start no thread: imported once, before
            the processes that measure are forked.
    """

    target: str
    precisions: Mapping[str, tuple[str, ...]]
    extra: Extra | None = None
    int8_extra: Extra | None = None
    takes_onnx: bool = False
    preloads: tuple[str, ...] = ()


_HERE = "trainables.latency"
_ONNX = ("onnx", "onnxscript")
_TORCHAO = Extra("torchao", ("torchao",))
_EXPORT = (f"{_HERE}.export", "torch._dynamo", "torch.export", "torch._export.non_strict_utils")
_ONNX_EXPORT = (*_EXPORT, f"{_HERE}.onnx_export", "torch.onnx._internal.exporter._core")

RUNTIMES: Mapping[str, RuntimeEntry] = {
    "eager": RuntimeEntry(
        f"{_HERE}.eager:EagerRuntime",
        {"cpu": ("fp32", "bf16"), "cuda": ("fp32", "bf16", "fp16")},
    ),
    "compiled": RuntimeEntry(
        f"{_HERE}.compiled:CompiledRuntime",
        {"cpu": ("fp32", "bf16", "int8"), "cuda": ("fp32", "bf16", "fp16")},
        int8_extra=_TORCHAO,
        preloads=_EXPORT,
    ),
    "aot_inductor": RuntimeEntry(
        f"{_HERE}.aot_inductor:AotInductorRuntime",
        {"cpu": ("fp32", "bf16", "int8"), "cuda": ("fp32", "bf16", "fp16")},
        int8_extra=_TORCHAO,
        preloads=_EXPORT,
    ),
    "onnxruntime": RuntimeEntry(
        f"{_HERE}.onnx_runtime:OnnxRuntime",
        {"cpu": ("fp32", "int8")},
        Extra("onnx", (*_ONNX, "onnxruntime")),
        takes_onnx=True,
        preloads=_ONNX_EXPORT,
    ),
    "openvino": RuntimeEntry(
        f"{_HERE}.openvino_runtime:OpenVinoRuntime",
        {"cpu": ("fp32", "bf16", "int8")},
        Extra("openvino", (*_ONNX, "openvino")),
        Extra("openvino", ("nncf",)),
        takes_onnx=True,
        preloads=_ONNX_EXPORT,
    ),
    "tensorrt": RuntimeEntry(
        f"{_HERE}.tensorrt_runtime:TensorRtRuntime",
        {"cuda": ("fp32", "bf16", "fp16", "int8")},
        Extra("tensorrt", (*_ONNX, "tensorrt")),
        Extra("tensorrt", ("onnxruntime",)),
        takes_onnx=True,
        preloads=_ONNX_EXPORT,
    ),
}
"""By name."""
