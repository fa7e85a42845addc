"""ONNX Runtime on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from trainables.latency import LatencyError
from trainables.latency.onnx_export import export_onnx
from trainables.latency.protocol import Recipe, Runner

_PROVIDER = "CPUExecutionProvider"
_FILE = "model.onnx"


class OnnxRuntime:
    """Runs the exported model in a session of ONNX Runtime."""

    def build(self, model: nn.Module, recipe: Recipe, folder: Path) -> None:
        """Export the model and write it, for int8 quantised."""
        self.convert(export_onnx(model, recipe.example), recipe, folder)

    def convert(self, graph: bytes, recipe: Recipe, folder: Path) -> None:
        """Write the graph, for int8 quantised."""
        if recipe.precision == "int8":
            from trainables.latency.onnx_int8 import quantise

            graph = quantise(graph, recipe, is_symmetric=False)
        (folder / _FILE).write_bytes(graph)

    def load(self, folder: Path, recipe: Recipe) -> Runner:
        """Return a run of a session, given a NumPy array, as a Python service makes it."""
        return open_session((folder / _FILE).read_bytes(), is_optimised=True)


def open_session(graph: bytes, *, is_optimised: bool) -> Runner:
    """Return a run of a session.

    Args:
        graph: serialised ONNX.
        is_optimised: fuse and rewrite the graph.

    Raises:
        LatencyError: if the session can't be opened as asked.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads = 1
    # Threads that spin between calls would take the cores from whatever else runs there.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if not is_optimised:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = onnxruntime.InferenceSession(graph, options, providers=[_PROVIDER])
    except Exception as error:  # it has a kind for every status, without a common one
        raise LatencyError(f"ONNX Runtime can't run the model: {error}") from error
    _check(session)
    name = session.get_inputs()[0].name

    def run(inputs: Tensor) -> NDArray[np.float32]:
        return cast("NDArray[np.float32]", session.run(None, {name: inputs.numpy()})[0])

    return run


def _check(session: onnxruntime.InferenceSession) -> None:
    # A provider that is missing is replaced with no more than a warning.
    provider = session.get_providers()[0]
    num_threads = session.get_session_options().intra_op_num_threads
    if (provider, num_threads) != (_PROVIDER, torch.get_num_threads()):
        raise LatencyError(
            f"ONNX Runtime took {provider} with {num_threads} threads, not {_PROVIDER} with "
            f"{torch.get_num_threads()}"
        )
