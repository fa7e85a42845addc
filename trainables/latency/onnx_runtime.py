"""ONNX Runtime in fp32 on the CPU."""

from __future__ import annotations

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from trainables.latency import LatencyError
from trainables.latency.onnx_export import export_onnx
from trainables.latency.protocol import Call

_PROVIDER = "CPUExecutionProvider"


class OnnxRuntime:
    """Runs the exported model in a session of ONNX Runtime."""

    def prepare(self, model: nn.Module, example: Tensor) -> Call:
        """Return a call of the session with a NumPy array, as a Python service makes it."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.inter_op_num_threads = 1
        # Threads that spin between calls would take the cores from whatever else runs there.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        graph = export_onnx(model, example)
        try:
            session = onnxruntime.InferenceSession(graph, options, providers=[_PROVIDER])
        except Exception as error:  # it has a kind for every status, without a common one
            raise LatencyError(f"ONNX Runtime can't run the model: {error}") from error
        _check(session)
        feed = {session.get_inputs()[0].name: example.numpy()}

        def run() -> NDArray[np.float32]:
            logits: NDArray[np.float32] = session.run(None, feed)[0]
            return logits

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
