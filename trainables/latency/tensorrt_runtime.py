"""TensorRT on an NVIDIA GPU, from ONNX, through TensorRT's own Python API.

Written against the API of TensorRT 10 and 11. **Has not been run**: no GPU was at hand.
"""

from __future__ import annotations

from pathlib import Path

import tensorrt
import torch
from torch import Tensor, nn

from trainables.latency import LatencyError
from trainables.latency.eager import DTYPES
from trainables.latency.onnx_export import export_onnx
from trainables.latency.protocol import Recipe, Runner

_FILE = "model.engine"
_WORKSPACE_BYTES = 2 << 30


class TensorRtRuntime:
    """Runs an engine that TensorRT built of the exported model.

    Networks are strongly typed: the precision is that of the ONNX file, for int8 that of its
    symmetric QDQ nodes. ONNX Runtime's own TensorRT provider links an older TensorRT.
    """

    def build(self, model: nn.Module, recipe: Recipe, folder: Path) -> None:
        """Export the model in its precision, and build an engine."""
        example = recipe.example
        if recipe.precision in DTYPES:
            dtype = DTYPES[recipe.precision]
            model = model.to(dtype)
            example = example.to(dtype) if example.is_floating_point() else example
        self._write(_quantised(export_onnx(model, example), recipe), folder)

    def convert(self, graph: bytes, recipe: Recipe, folder: Path) -> None:
        """Build an engine; a graph of fp32 becomes one of fp32 or int8.

        Raises:
            LatencyError: for another precision, which the graph itself must have.
        """
        if recipe.precision not in ("fp32", "int8"):
            raise LatencyError(
                f"TensorRT takes {recipe.precision} from the ONNX file alone: export it in that"
            )
        self._write(_quantised(graph, recipe), folder)

    def load(self, folder: Path, recipe: Recipe) -> Runner:
        """Return a call of the engine's context, with the copies to the GPU and back."""
        logger = tensorrt.Logger(tensorrt.Logger.ERROR)
        engine = tensorrt.Runtime(logger).deserialize_cuda_engine((folder / _FILE).read_bytes())
        if engine is None:
            raise LatencyError("TensorRT can't load the engine that it built")
        context = engine.create_execution_context()
        names = [engine.get_tensor_name(number) for number in range(engine.num_io_tensors)]
        buffers = {
            name: torch.empty(
                tuple(engine.get_tensor_shape(name)),
                dtype=_torch_dtype(engine.get_tensor_dtype(name)),
                device="cuda",
            )
            for name in names
        }
        for name, buffer in buffers.items():
            context.set_tensor_address(name, buffer.data_ptr())
        modes = {name: engine.get_tensor_mode(name) for name in names}
        (source,) = [buffers[n] for n in names if modes[n] == tensorrt.TensorIOMode.INPUT]
        (target,) = [buffers[n] for n in names if modes[n] == tensorrt.TensorIOMode.OUTPUT]
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]

        def run(inputs: Tensor) -> Tensor:
            with torch.cuda.stream(stream):
                source.copy_(inputs)
                if not context.execute_async_v3(stream.cuda_stream):
                    raise LatencyError("TensorRT failed to run the engine")
                return target.float().cpu()  # waits for the stream

        return run

    def _write(self, graph: bytes, folder: Path) -> None:
        logger = tensorrt.Logger(tensorrt.Logger.ERROR)
        builder = tensorrt.Builder(logger)
        strongly_typed = 1 << int(tensorrt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
        network = builder.create_network(strongly_typed)
        parser = tensorrt.OnnxParser(network, logger)
        if not parser.parse(graph):
            errors = [parser.get_error(number) for number in range(parser.num_errors)]
            raise LatencyError(f"TensorRT can't read the model: {errors[0].desc()}")
        config = builder.create_builder_config()
        config.set_memory_pool_limit(tensorrt.MemoryPoolType.WORKSPACE, _WORKSPACE_BYTES)
        config.clear_flag(tensorrt.BuilderFlag.TF32)  # fp32 means fp32
        engine = builder.build_serialized_network(network, config)
        if engine is None:
            raise LatencyError("TensorRT can't build an engine of the model; its log says why")
        (folder / _FILE).write_bytes(engine)


def _quantised(graph: bytes, recipe: Recipe) -> bytes:
    if recipe.precision != "int8":
        return graph
    from trainables.latency.onnx_int8 import quantise

    return quantise(graph, recipe, is_symmetric=True)


def _torch_dtype(dtype: tensorrt.DataType) -> torch.dtype:
    return {
        tensorrt.DataType.FLOAT: torch.float32,
        tensorrt.DataType.HALF: torch.float16,
        tensorrt.DataType.BF16: torch.bfloat16,
        tensorrt.DataType.INT32: torch.int32,
        tensorrt.DataType.INT64: torch.int64,
    }[dtype]
