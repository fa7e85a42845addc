"""Training of one trial, epoch by epoch, in plain PyTorch.

An epoch is a function of the weights, the config, the stream seed and the epoch's number: data
order, augmentation and Torch's global generator are derived from these and from nothing that came
before. So a training that was saved, moved or given to another trial goes on bit for bit.
"""

from __future__ import annotations

import hashlib
import math
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from trainables.augment.image import apply, draw_parameters
from trainables.data.device import DeviceData as DeviceData
from trainables.errors import InputError, TrainingError
from trainables.evaluate import Evaluation, evaluate
from trainables.models import create_model
from trainables.optimizers import apply_hyperparameters, build_optimizer, cosine_with_warmup
from trainables.precision import autocast, check_precision
from trainables.trial_config import TrialConfig


@dataclass(frozen=True)
class Ranks:
    """A worker's place among those that train together.

    Attributes:
        rank: from 0 to world_size - 1.
        world_size: number of workers.
        device: that this worker trains on.
        group: of all workers; None for a single process, which trains without DDP.
    """

    rank: int
    world_size: int
    device: torch.device
    group: dist.ProcessGroup | None


@dataclass(frozen=True)
class EpochResult:
    """What an epoch gave; equal on all workers, but for the times.

    Attributes:
        epoch: from 1.
        train_loss: mean over samples of what was minimised (so with label smoothing), nats.
        val_loss: mean over samples, without label smoothing, nats.
        val_accuracy: fraction, 0 to 1.
        learning_rate: of the last step.
        train_seconds: of the training steps.
        val_seconds: of the validation.
        started_unix_s: when the first step began.
        ended_unix_s: when the validation was done.
        num_train_samples: trained on, by all workers together.
    """

    epoch: int
    train_loss: float
    val_loss: float
    val_accuracy: float
    learning_rate: float
    train_seconds: float
    val_seconds: float
    started_unix_s: float
    ended_unix_s: float
    num_train_samples: int


class Training:
    """A model in training on one worker; all workers call the same methods in the same order.

    Attributes:
        config: in force.
        epoch: epochs done.
        model: without its DDP wrapper.

    Args:
        config: of the trial; its seed gives the initial weights and the data stream.
        data: on the worker's device.
        ranks: of the worker.
        state: to go on from, as `load_state_dict` takes it; no weights are drawn then.

    Raises:
        InputError: if the batch size does not fit the data or the number of workers, or the
            device has not the precision.
    """

    def __init__(
        self,
        config: TrialConfig,
        data: DeviceData,
        ranks: Ranks,
        state: dict[str, Any] | None = None,
    ) -> None:
        check_precision(config.precision, ranks.device)
        _check_batch_size(config.batch_size, len(data.train_labels), ranks.world_size)
        self.config = config
        self.epoch = 0
        self._data = data
        self._ranks = ranks
        self._stream_seed = config.seed
        if ranks.device.type == "cuda":
            torch.backends.cudnn.deterministic = True
        model = self._draw_model() if state is None else self._empty_model()
        # Channels last is the quicker layout for convolutions on CPUs, as on GPUs.
        self.model: nn.Module = model.to(ranks.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._optimizer = build_optimizer(self.model, config)
        if state is not None:
            self.load_state_dict(state)

    def _draw_model(self) -> nn.Module:
        """Build the model with weights drawn from the config's seed."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.config.seed)
            return create_model(self.config, self._data.input_shape, self._data.num_classes)

    def _empty_model(self) -> nn.Module:
        """Build the model without weights: drawing them takes longer than loading others."""
        with torch.device("meta"):
            model = create_model(self.config, self._data.input_shape, self._data.num_classes)
        return model.to_empty(device=self._ranks.device)

    def train_epoch(self) -> EpochResult:
        """Train one epoch, then validate.

        Raises:
            TrainingError: on all workers, if a loss is not finite.
        """
        started_unix_s, start_s = time.time(), time.perf_counter()
        train_loss = self._train()
        trained_s = time.perf_counter()
        self._check_finite("train_loss", train_loss)
        val = self._validate()
        self._check_finite("val_loss", val.loss)
        self.epoch += 1
        return EpochResult(
            epoch=self.epoch,
            train_loss=train_loss,
            val_loss=val.loss,
            val_accuracy=val.accuracy,
            learning_rate=self._learning_rate(self.epoch * self._num_steps - 1),
            train_seconds=trained_s - start_s,
            val_seconds=time.perf_counter() - trained_s,
            started_unix_s=started_unix_s,
            ended_unix_s=time.time(),
            num_train_samples=self._num_steps * self.config.batch_size,
        )

    def state_dict(self) -> dict[str, Any]:
        """Return all that a resume needs; its tensors are live, so save or copy them at once."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self._optimizer.state_dict()["state"],
            "epoch": self.epoch,
            "stream_seed": self._stream_seed,
            "config": self.config.to_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over weights, optimizer state, epoch and data stream; the config stays.

        Args:
            state: from `state_dict`, of this training or of another; is copied.

        Raises:
            InputError: if the state is of another architecture or optimizer.
        """
        for name in (*self.config.architecture(), "optimizer"):
            own, saved = getattr(self.config, name), state["config"][name]
            if own != saved:
                raise InputError(
                    f"{name} must be that of the checkpoint ({saved}), got {own}; "
                    "load it into a trial like the one that saved it"
                )
        self.model.load_state_dict(state["model"])
        # Only the state is kept in checkpoints, never the groups: they hold hyperparameters.
        groups = self._optimizer.state_dict()["param_groups"]
        copied = {
            key: {name: _copy(value) for name, value in values.items()}
            for key, values in state["optimizer"].items()
        }
        self._optimizer.load_state_dict({"state": copied, "param_groups": groups})
        self.epoch = state["epoch"]
        self._stream_seed = state["stream_seed"]

    @property
    def _num_steps(self) -> int:
        """Steps of an epoch; the last batch is dropped if it is not full."""
        return len(self._data.train_labels) // self.config.batch_size

    def _train(self) -> float:
        """Train one epoch and return the mean loss over the samples of all workers."""
        model = self._wrap()
        model.train()
        torch.manual_seed(self._derive_seed("model", self._ranks.rank))
        losses: list[Tensor] = []  # on the device: reading one would wait for the step
        for images, labels in self._batches():
            step = self.epoch * self._num_steps + len(losses)
            apply_hyperparameters(self._optimizer, self.config, self._learning_rate(step))
            with autocast(self.config.precision, self._ranks.device):
                logits = model(self._data.normalise(images))
                loss = F.cross_entropy(logits, labels, label_smoothing=self.config.label_smoothing)
            loss.backward()  # type: ignore[no-untyped-call]
            self._optimizer.step()
            self._optimizer.zero_grad(set_to_none=True)
            losses.append(loss.detach())
        self._average_norm_statistics()
        # Every worker had as many samples a step, so means of means are exact.
        total = torch.stack(losses).double().sum()
        if self._ranks.group is not None:
            dist.all_reduce(total, group=self._ranks.group)
        return float(total.item()) / (len(losses) * self._ranks.world_size)

    def _wrap(self) -> nn.Module:
        """Wrap the model in DDP, anew in every epoch.

        DDP orders its buckets by the first backward pass, and the order of additions depends on
        it; with a new wrapper a resumed epoch adds as an undisturbed one does. The weights are
        equal on all workers already, so they aren't sent again.
        """
        ranks = self._ranks
        if ranks.group is None:
            return self.model
        with warnings.catch_warnings():
            # Torch's own advice where buffers are not to be sent, at the start neither.
            warnings.filterwarnings("ignore", message="`broadcast_buffers` is deprecated")
            wrapped: nn.Module = DistributedDataParallel(
                self.model,
                device_ids=[ranks.device] if ranks.device.type == "cuda" else None,
                process_group=ranks.group,
                broadcast_buffers=False,
                init_sync=False,
                gradient_as_bucket_view=True,
            )
        return wrapped

    def _batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield this worker's slice of every global batch: augmented images and labels."""
        config, ranks, data = self.config, self._ranks, self._data
        generator = torch.Generator().manual_seed(self._derive_seed("data"))
        order = torch.randperm(len(data.train_labels), generator=generator)
        num_used = self._num_steps * config.batch_size
        parameters = draw_parameters(
            num_used,
            padding_px=config.crop_padding_px,
            flip_probability=config.flip_probability,
            generator=generator,
        )
        # Slice, then send to the device once an epoch: a step only indexes what is there.
        positions = torch.arange(num_used).view(self._num_steps, ranks.world_size, -1)
        mine = positions[:, ranks.rank].flatten()
        order = order[mine].to(ranks.device)
        parameters = parameters.take(mine).to(ranks.device)
        num_local = config.batch_size // ranks.world_size
        for start in range(0, len(order), num_local):
            batch = slice(start, start + num_local)
            images = data.train_images[order[batch]]
            yield apply(images, parameters.take(batch)), data.train_labels[order[batch]]

    def _validate(self) -> Evaluation:
        return evaluate(
            self.model,
            self._predict,
            self._data.val_images,
            self._data.val_labels,
            rank=self._ranks.rank,
            world_size=self._ranks.world_size,
            group=self._ranks.group,
        )

    def _predict(self, images: Tensor) -> Tensor:
        with autocast(self.config.precision, self._ranks.device):
            logits: Tensor = self.model(self._data.normalise(images))
        return logits

    def _learning_rate(self, step: int) -> float:
        """Return the rate of a step counted over all epochs."""
        config = self.config
        return cosine_with_warmup(
            step,
            config.num_epochs * self._num_steps,
            config.warmup_epochs * self._num_steps,
            config.learning_rate,
        )

    def _average_norm_statistics(self) -> None:
        """Give all workers the mean of their running statistics, in one message."""
        if self._ranks.group is None:
            return
        statistics = [
            buffer
            for module in self.model.modules()
            if isinstance(module, _BatchNorm)
            for buffer in (module.running_mean, module.running_var)
            if buffer is not None
        ]
        if not statistics:
            return
        flat = torch.cat(statistics)
        dist.all_reduce(flat, group=self._ranks.group)
        flat /= self._ranks.world_size
        means = torch.split(flat, [len(buffer) for buffer in statistics])
        for buffer, mean in zip(statistics, means, strict=True):
            buffer.copy_(mean)

    def _derive_seed(self, purpose: str, rank: int = 0) -> int:
        text = f"{self._stream_seed}/{self.epoch}/{purpose}/{rank}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1

    def _check_finite(self, name: str, value: float) -> None:
        # The value is the sum over all workers, so all raise or none does.
        if not math.isfinite(value):
            raise TrainingError(
                f"{name} must be finite, got {value} in epoch {self.epoch + 1}; lower the learning "
                f"rate ({self.config.learning_rate:g})"
            )


def _check_batch_size(batch_size: int, num_train: int, world_size: int) -> None:
    if batch_size > num_train:
        raise InputError(
            f"batch_size must be <= {num_train} samples (the train part), got {batch_size}; "
            "lower it or use more data"
        )
    if batch_size % world_size:
        raise InputError(
            f"batch_size must be a multiple of the {world_size} workers, got {batch_size}; use "
            f"{max(batch_size // world_size, 1) * world_size}"
        )


def _copy(value: Any) -> Any:
    return value.clone() if isinstance(value, Tensor) else value
