"""OpenVINO in fp32 on the CPU."""

from __future__ import annotations

import numpy as np
import openvino
import torch
from numpy.typing import NDArray
from openvino import properties
from torch import Tensor, nn

from trainables.latency import LatencyError
from trainables.latency.onnx_export import export_onnx
from trainables.latency.protocol import Call

_DEVICE = "CPU"


class OpenVinoRuntime:
    """Runs the model, exported to ONNX, as OpenVINO compiles it for one call at a time."""

    def prepare(self, model: nn.Module, example: Tensor) -> Call:
        """Return a call of an inference request with a NumPy array."""
        settings = {
            properties.inference_num_threads: torch.get_num_threads(),
            properties.num_streams: 1,
            properties.hint.performance_mode: "LATENCY",
            # Without it a CPU that has bf16 computes in bf16.
            properties.hint.inference_precision: openvino.Type.f32,
        }
        core = openvino.Core()
        try:
            graph = core.read_model(export_onnx(model, example))
            compiled = core.compile_model(graph, _DEVICE, settings)
        except RuntimeError as error:
            raise LatencyError(f"OpenVINO can't run the model: {error}") from error
        for setting, value in settings.items():
            taken = compiled.get_property(setting)
            if taken != value:
                raise LatencyError(f"OpenVINO took {setting()} {taken}, not {value}")
        request = compiled.create_infer_request()
        request.set_input_tensor(openvino.Tensor(example.numpy(), shared_memory=True))
        output = request.get_output_tensor().data

        def run() -> NDArray[np.float32]:
            request.infer()
            logits: NDArray[np.float32] = output
            return logits

        return run
