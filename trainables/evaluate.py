"""A pass over a whole part: every sample once, over all workers, nothing padded."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from trainables.ranks import Ranks

_BATCH_SIZE = 256


@torch.inference_mode()
def predict_all(
    model: nn.Module, predict: Callable[[Tensor], Tensor], inputs: Tensor, ranks: Ranks
) -> Tensor:
    """Return the logits of every sample, split over the workers; all return the same.

    Args:
        model: set to evaluation for the pass, then back to what it was.
        predict: the model with what goes before it, from inputs to logits.
        inputs: [num_samples, ...] of the whole part; at least one sample a worker.
        ranks: of this worker.

    Returns:
        [num_samples, num_classes] float32, in the order of the inputs.
    """
    was_training = model.training
    model.eval()
    batches = torch.split(inputs[ranks.share(len(inputs))], _BATCH_SIZE)
    logits = torch.cat([predict(batch).float() for batch in batches])
    model.train(was_training)
    return ranks.gather(logits, len(inputs))
