"""OpenVINO on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import openvino
import torch
from numpy.typing import NDArray
from openvino import properties
from torch import Tensor, nn

from trainables.latency import LatencyError
from trainables.latency.onnx_export import export_onnx
from trainables.latency.protocol import Recipe, Runner

_DEVICE = "CPU"
_FILE = "model.xml"
# What int8 leaves in floating point is fp32. Without it a CPU that has bf16 computes in bf16.
_FLOATS = {"fp32": openvino.Type.f32, "bf16": openvino.Type.bf16, "int8": openvino.Type.f32}


class OpenVinoRuntime:
    """Runs the model, exported to ONNX, as OpenVINO compiles it for one call at a time."""

    def build(self, model: nn.Module, recipe: Recipe, folder: Path) -> None:
        """Export the model and write it in OpenVINO's own form, for int8 quantised by NNCF."""
        self.convert(export_onnx(model, recipe.example), recipe, folder)

    def convert(self, graph: bytes, recipe: Recipe, folder: Path) -> None:
        """Write the graph in OpenVINO's own form, for int8 quantised by NNCF."""
        try:
            model = openvino.Core().read_model(graph)
        except RuntimeError as error:
            raise LatencyError(f"OpenVINO can't run the model: {error}") from error
        if recipe.precision == "int8":
            model = _quantise(model, recipe)
        openvino.save_model(model, folder / _FILE, compress_to_fp16=False)

    def load(self, folder: Path, recipe: Recipe) -> Runner:
        """Return a call of an inference request, given a NumPy array."""
        settings: dict[Any, Any] = {
            properties.inference_num_threads: torch.get_num_threads(),
            properties.num_streams: 1,
            properties.hint.performance_mode: "LATENCY",
            properties.hint.inference_precision: _FLOATS[recipe.precision],
        }
        try:
            compiled = openvino.Core().compile_model(folder / _FILE, _DEVICE, settings)
        except RuntimeError as error:
            raise LatencyError(f"OpenVINO can't run the model: {error}") from error
        for setting, value in settings.items():
            taken = compiled.get_property(setting)
            if taken != value:
                raise LatencyError(f"OpenVINO took {setting()} {taken}, not {value}")
        request = compiled.create_infer_request()
        output = request.get_output_tensor(0).data

        def run(inputs: Tensor) -> NDArray[np.float32]:
            request.set_input_tensor(openvino.Tensor(inputs.numpy(), shared_memory=True))
            request.infer()
            logits: NDArray[np.float32] = output.copy()
            return logits

        return run


def _quantise(model: openvino.Model, recipe: Recipe) -> openvino.Model:
    import nncf

    # NNCF leaves alone what Transformers need exact only if it is told that this is one. Its
    # SmoothQuant, meant for outliers of large ones, made the logits of small ones six times worse.
    operators = {node.get_type_name() for node in model.get_ops()}
    has_attention = "ScaledDotProductAttention" in operators or {"Softmax", "MatMul"} <= operators
    unsmoothed = nncf.AdvancedSmoothQuantParameters(convolution=-1, matmul=-1)
    batches = [batch.numpy() for batch in recipe.calibration_batches()]
    try:
        return nncf.quantize(
            model,
            nncf.Dataset(batches),
            target_device=nncf.TargetDevice.CPU,
            subset_size=len(batches),
            model_type=nncf.ModelType.TRANSFORMER if has_attention else None,
            advanced_parameters=nncf.AdvancedQuantizationParameters(smooth_quant_alphas=unsmoothed),
        )
    except Exception as error:  # it raises many kinds
        raise LatencyError(f"NNCF can't quantise the model: {error}") from error
