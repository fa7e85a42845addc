"""The batches of an epoch, made on the device from tensors that are there already.

Order and augmentation are drawn for the samples of all workers together and each takes its
slices: the global batch is the same whatever the number of workers. Only who is mixed with whom is
not, for partners are neighbours within a worker's part.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from trainables.augment.mix import draw_mix, mix
from trainables.data.device import DeviceData
from trainables.errors import InputError
from trainables.ranks import Ranks
from trainables.trial_config import TrialConfig


@dataclass(frozen=True, eq=False)
class Batch:
    """What one forward pass needs.

    Attributes:
        inputs: as the model takes them.
        labels: [batch] int64.
        mixed_labels: [batch] int64, of the samples mixed in; None without mixing.
        weights: [batch] float32, share of a sample's own label; None without mixing.
    """

    inputs: Tensor
    labels: Tensor
    mixed_labels: Tensor | None = None
    weights: Tensor | None = None

    def loss(self, logits: Tensor, label_smoothing: float) -> Tensor:
        """Return the mean cross-entropy against the labels, mixed as the inputs were [nats]."""
        if self.mixed_labels is None or self.weights is None:
            return F.cross_entropy(logits, self.labels, label_smoothing=label_smoothing)
        own, other = (
            F.cross_entropy(logits, labels, label_smoothing=label_smoothing, reduction="none")
            for labels in (self.labels, self.mixed_labels)
        )
        return torch.lerp(other, own, self.weights).mean()


def num_steps(data: DeviceData, config: TrialConfig) -> int:
    """Return the steps of an epoch; the last batch is dropped if it is not full."""
    return len(data.train) // config.batch_size


def epoch_batches(
    data: DeviceData, config: TrialConfig, ranks: Ranks, seed: int
) -> Iterator[Batch]:
    """Yield this worker's part of every batch of an epoch, cut into `accumulation_steps`.

    Args:
        data: on the worker's device.
        config: of the trial.
        ranks: of the worker.
        seed: of the epoch; the same on all workers.
    """
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(data.train), generator=generator)
    num_used = num_steps(data, config) * config.batch_size
    draws = data.draw(config, num_used, generator)
    mix_draws = draw_mix(config, num_used, generator)
    # Slice, then send to the device once an epoch: a step only indexes what is there.
    mine = torch.arange(num_used).view(-1, ranks.world_size, config.batch_size // ranks.world_size)
    mine = mine[:, ranks.rank].flatten()
    order, draws = order[mine].to(ranks.device), draws.take(mine).to(ranks.device)
    if mix_draws is not None:
        mix_draws = mix_draws.take(mine).to(ranks.device)
    size = config.batch_size // ranks.world_size // config.accumulation_steps
    for start in range(0, len(order), size):
        batch = slice(start, start + size)
        inputs = data.augmented(data.train.inputs_at(order[batch]), draws.take(batch))
        labels = data.train.labels[order[batch]]
        if mix_draws is None:
            yield Batch(inputs, labels)
        else:
            mixed = mix(inputs, mix_draws.take(batch))
            yield Batch(mixed.inputs, labels, labels[mixed.partners], mixed.weights)


def check_batch_size(config: TrialConfig, num_train: int, world_size: int) -> None:
    """Check that a batch can be cut into equal parts of two samples or more.

    Of one sample, a batch norm has no variance and mixing no partner.

    Raises:
        InputError: if it can't, or the train part is smaller than a batch.
    """
    if config.batch_size > num_train:
        raise InputError(
            f"batch_size must be <= {num_train} samples (the train part), got "
            f"{config.batch_size}; lower it or use more data"
        )
    parts = world_size * config.accumulation_steps
    factors = ((world_size, "workers"), (config.accumulation_steps, "accumulation steps"))
    product = " times ".join(f"{number} {what}" for number, what in factors if number > 1)
    if config.batch_size < 2 * parts:
        for_each = f" for each of {parts} parts ({product})" if parts > 1 else ""
        raise InputError(
            f"batch_size must be at least 2 samples{for_each}, got {config.batch_size}; use "
            f"{2 * parts}"
        )
    if config.batch_size % parts:
        raise InputError(
            f"batch_size must be a multiple of {product}, got {config.batch_size}; use "
            f"{config.batch_size // parts * parts}"
        )
