"""An ONNX file of whatever origin, as something to be measured."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import onnx

from trainables.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

_FLOAT, _INT64 = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64
_UINT8 = onnx.TensorProto.UINT8


def read_graph(path: Path, batch_size: int) -> bytes:
    """Return a file's graph with its batch fixed, and its weights inside.

    Args:
        path: of a model with one input of float32, int64 or uint8, whose first axis is the batch.
        batch_size: that the graph takes from here on.

    Raises:
        InputError: if it is no such file, or has another static batch.
    """
    try:
        model = onnx.load(path)
        onnx.checker.check_model(model)
    except Exception as error:  # of onnx, protobuf or the system, without a common kind
        reason = str(error).strip().partition("\n")[0]
        raise InputError(
            f"MODEL must be an ONNX file, got {path} ({reason}); name another"
        ) from None
    inputs = _inputs_of(model)
    if len(inputs) != 1 or inputs[0].type.tensor_type.elem_type not in (_FLOAT, _INT64, _UINT8):
        raise InputError(
            f"MODEL must have one input, of float32, int64 or uint8, got {path} with "
            f"{', '.join(value.name for value in inputs)}; export it so"
        )
    batch, *rest = inputs[0].type.tensor_type.shape.dim
    if not all(axis.dim_value > 0 for axis in rest):
        raise InputError(
            f"MODEL must have a static shape but for the batch, got {path}; export it so"
        )
    if batch.dim_value not in (0, batch_size):
        raise InputError(
            f"--batch-sizes must be {batch.dim_value}, the static batch of {path}, got "
            f"{batch_size}; change it, or export the model with a dynamic batch"
        )
    batch.dim_value = batch_size
    for output in model.graph.output:
        if output.type.tensor_type.shape.dim:
            output.type.tensor_type.shape.dim[0].dim_value = batch_size
    del model.graph.value_info[:]  # of the old batch
    return bytes(model.SerializeToString())


def example_of(graph: bytes) -> Tensor:
    """Return random inputs of a graph: normal deviates, ids that are 0 or 1, or pixels."""
    import torch

    model = onnx.load_from_string(graph)
    (value,) = _inputs_of(model)
    shape = [axis.dim_value for axis in value.type.tensor_type.shape.dim]
    if value.type.tensor_type.elem_type == _INT64:
        return torch.randint(0, 2, shape)
    if value.type.tensor_type.elem_type == _UINT8:
        return torch.randint(0, 256, shape, dtype=torch.uint8)
    return torch.randn(shape)


def _inputs_of(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    """Return what a caller gives: older files list their weights as inputs too."""
    initial = {tensor.name for tensor in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in initial]
