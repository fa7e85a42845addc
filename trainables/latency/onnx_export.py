"""A model as ONNX, with static shapes."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn

from trainables.latency import LatencyError
from trainables.latency.export import export_failure


def export_onnx(model: nn.Module, example: Tensor) -> bytes:
    """Return a model as serialised ONNX, with the weights inside and the example's shape.

    Args:
        model: in evaluation mode.
        example: its one input.

    Raises:
        LatencyError: if ONNX can't express the model; names the operator if there is one.
    """
    with warnings.catch_warnings():
        # The exporter warns of its own insides.
        warnings.simplefilter("ignore")
        try:
            program = torch.onnx.export(model, (example,), dynamo=True, verbose=False)
        except Exception as error:
            raise LatencyError(
                f"{type(model).__name__} has no ONNX form: {export_failure(error)}"
            ) from error
    assert program is not None
    return bytes(program.model_proto.SerializeToString())
