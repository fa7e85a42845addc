"""How large a model is, and how much one sample costs it; known before any training."""

from __future__ import annotations

import io
from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from trainables.models import count_parameters, create_model
from trainables.models.example import example_inputs
from trainables.task import Task
from trainables.trial_config import TrialConfig


@dataclass(frozen=True, kw_only=True)
class Complexity:
    """Size and cost of an architecture; none depends on the weights, the device or the batch.

    Attributes:
        num_parameters: that the model learns.
        flops: of the forward pass of one sample in evaluation: convolutions, matrix products and
            attention, as `torch.utils.flop_counter` has them; a multiply-add counts 2.
        activation_bytes: that autograd saves of one sample in training for the backward pass, in
            fp32 and without parameters and buffers. Attention counts as plain matrix products:
            fused kernels save less.
        weights_bytes: of the weights in the file that `torch.save` writes.
    """

    num_parameters: int
    flops: int
    activation_bytes: int
    weights_bytes: int


def measure_complexity(config: TrialConfig, task: Task) -> Complexity:
    """Measure the config's model on the meta device, where it computes nothing.

    Torch's global generator is left as it was.

    Raises:
        InputError: if the model can't fit the task.
    """
    with torch.random.fork_rng(devices=[]), torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
        try:
            return _measure(config, task, torch.device("meta"))
        except (NotImplementedError, RuntimeError):
            # Some models hold tensors of their own on the CPU, or look at values, and Keras builds
            # no graph there. What is wrong for another reason is raised by this second try.
            return _measure(config, task, torch.device("cpu"))


def _measure(config: TrialConfig, task: Task, device: torch.device) -> Complexity:
    with device:
        model = create_model(config, task)
    with FlopCounterMode(display=False) as counter:
        model.eval()(example_inputs(task, 1, device))
    # Two samples: batch norms refuse to train on one value per channel.
    activation_bytes = _saved_bytes(model.train(), example_inputs(task, 2, device)) // 2
    file = io.BytesIO()
    torch.save(model.to_empty(device="cpu").state_dict(), file)
    return Complexity(
        num_parameters=count_parameters(model),
        flops=counter.get_total_flops(),
        activation_bytes=activation_bytes,
        weights_bytes=len(file.getbuffer()),
    )


def _saved_bytes(model: nn.Module, inputs: Tensor) -> int:
    """Return the size of what autograd saves of a forward pass, each storage counted once."""
    own = {t.untyped_storage()._cdata for t in chain(model.parameters(), model.buffers())}
    # The storages are kept alive: a freed one's address may be given to the next.
    saved: dict[int, torch.UntypedStorage] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            saved[storage._cdata] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        outputs = model(inputs)
    if not outputs.requires_grad:
        raise RuntimeError(f"{type(model).__name__} has no graph to go back through")
    return sum(storage.nbytes() for storage in saved.values())
