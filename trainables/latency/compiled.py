"""PyTorch in fp32 through torch.compile."""

from __future__ import annotations

from torch import Tensor, nn

from trainables.compiling import check_compiler, compile_model
from trainables.errors import InputError
from trainables.latency import LatencyError
from trainables.latency.eager import EagerRuntime
from trainables.latency.protocol import Call


class CompiledRuntime:
    """Runs what torch.compile makes of the module; the first call compiles."""

    def prepare(self, model: nn.Module, example: Tensor) -> Call:
        """Return a call of the compiled model, with channels last."""
        try:
            check_compiler(example.device)
        except InputError as error:
            raise InputError(
                "runtime must be another where torch.compile lacks a tool, got 'compiled'; "
                f"choose another, or mend this: {error}"
            ) from error
        call = EagerRuntime().prepare(compile_model(model), example)
        try:
            call()
        except Exception as error:  # Dynamo and Inductor raise many kinds
            first_paragraph = " ".join(str(error).strip().partition("\n\n")[0].split())
            raise LatencyError(f"torch.compile failed: {first_paragraph}") from error
        return call
