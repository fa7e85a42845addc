"""The validation pass: every sample once, over all workers, with exact sums."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

_BATCH_SIZE = 256


@dataclass(frozen=True)
class Evaluation:
    """Means over every sample of a part.

    Attributes:
        loss: cross-entropy without label smoothing, nats.
        accuracy: fraction, 0 to 1.
        num_samples: of all workers together.
    """

    loss: float
    accuracy: float
    num_samples: int


def shard_bounds(num_samples: int, rank: int, world_size: int) -> tuple[int, int]:
    """Return start and end of a worker's share: contiguous, disjoint, nothing padded.

    Example:
        >>> [shard_bounds(7, rank, 2) for rank in range(2)]
        [(0, 3), (3, 7)]
    """
    return rank * num_samples // world_size, (rank + 1) * num_samples // world_size


@torch.inference_mode()
def sum_metrics(predict: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor) -> Tensor:
    """Return the sum of losses, the number correct and the number of samples.

    Args:
        predict: from images to [batch, num_classes] logits.
        images: [num_samples, channels, height, width].
        labels: [num_samples] int64.

    Returns:
        [3] float64, on the device of the images.
    """
    sums = torch.zeros(3, dtype=torch.float64, device=images.device)
    for batch, targets in zip(
        torch.split(images, _BATCH_SIZE), torch.split(labels, _BATCH_SIZE), strict=True
    ):
        logits = predict(batch).double()
        sums[0] += F.cross_entropy(logits, targets, reduction="sum")
        sums[1] += (logits.argmax(1) == targets).sum()
        sums[2] += len(targets)
    return sums


def evaluate(
    model: nn.Module,
    predict: Callable[[Tensor], Tensor],
    images: Tensor,
    labels: Tensor,
    *,
    rank: int = 0,
    world_size: int = 1,
    group: dist.ProcessGroup | None = None,
) -> Evaluation:
    """Evaluate a part, split over the workers; all return the same.

    Args:
        model: set to evaluation for the pass, then back to what it was.
        predict: the model with what goes before it, from images to logits.
        images: [num_samples, channels, height, width] of the whole part; num_samples > 0.
        labels: [num_samples] int64.
        rank: of this worker.
        world_size: number of workers.
        group: of all workers; None for a single process.
    """
    start, end = shard_bounds(len(labels), rank, world_size)
    was_training = model.training
    model.eval()
    sums = sum_metrics(predict, images[start:end], labels[start:end])
    model.train(was_training)
    if group is not None:
        dist.all_reduce(sums, group=group)
    loss, num_correct, num_samples = sums.tolist()
    return Evaluation(loss / num_samples, num_correct / num_samples, int(num_samples))
