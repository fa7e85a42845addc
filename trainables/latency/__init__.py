"""Inference latency of a model, measured alone in a fresh process. Imports no Torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class LatencyError(RuntimeError):
    """A latency could not be measured, or what would be timed isn't the model."""


class RuntimeEntry(NamedTuple):
    """Where a runtime stands.

    Attributes:
        target: module:class of a `trainables.latency.protocol.Runtime`.
        precisions: of its arithmetic.
        devices: that it runs on.
        extra: of this distribution, that installs what the runtime needs; empty: nothing.
        modules: that the extra installs and the runtime imports.
    """

    target: str
    precisions: tuple[str, ...] = ("fp32",)
    devices: tuple[str, ...] = ("cpu",)
    extra: str = ""
    modules: tuple[str, ...] = ()


_HERE = "trainables.latency"
_ONNX = ("onnx", "onnxscript")

RUNTIMES: Mapping[str, RuntimeEntry] = {
    "eager": RuntimeEntry(f"{_HERE}.eager:EagerRuntime"),
    "compiled": RuntimeEntry(f"{_HERE}.compiled:CompiledRuntime"),
    "onnxruntime": RuntimeEntry(
        f"{_HERE}.onnx_runtime:OnnxRuntime", extra="onnx", modules=(*_ONNX, "onnxruntime")
    ),
    "openvino": RuntimeEntry(
        f"{_HERE}.openvino_runtime:OpenVinoRuntime", extra="openvino", modules=(*_ONNX, "openvino")
    ),
}
"""By name."""
