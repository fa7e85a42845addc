"""Training of one trial, epoch by epoch, in plain PyTorch.

An epoch is a function of the weights, the state of optimizer, scaler and average, the config, the
stream seed and the epoch's number: data order, augmentation and Torch's global generator are
derived from seed and number, and from nothing that came before. So a training that was saved, moved
or given to another trial goes on bit for bit.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import time
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from trainables.batches import Batch, check_batch_size, epoch_batches, num_steps
from trainables.compiling import check_compiler, compile_model
from trainables.data.device import DeviceData, spread_positions
from trainables.early_stopping import EarlyStopping
from trainables.energy import EnergyMeter
from trainables.epoch_result import GAP_SAMPLES, EpochResult
from trainables.errors import InputError, TrainingError
from trainables.evaluate import predict_all
from trainables.metrics import Scores, score
from trainables.models import create_model
from trainables.optimizers import apply_hyperparameters, build_optimizer
from trainables.precision import autocast, check_precision, make_scaler
from trainables.ranks import Ranks
from trainables.schedules import learning_rate
from trainables.trial_config import TrialConfig
from trainables.weight_average import WeightAverage


@dataclass(frozen=True)
class _Trained:
    """What the steps of an epoch gave."""

    loss: float
    data_seconds: float


class Training:
    """A model in training on one worker; all workers call the same methods in the same order.

    Attributes:
        config: in force.
        epoch: epochs done.
        model: without its wrappers; what is saved.

    Args:
        config: of the trial; its seed gives the initial weights and the data stream.
        data: on the worker's device.
        ranks: of the worker.
        state: to go on from, as `load_state_dict` takes it; no weights are drawn then.
        model: to train in place of the config's own; is modified.
        on_step: called after each forward pass, of training and of validation.

    Raises:
        InputError: if the config does not fit the data, the device or the number of workers.
    """

    def __init__(
        self,
        config: TrialConfig,
        data: DeviceData,
        ranks: Ranks,
        state: dict[str, Any] | None = None,
        model: nn.Module | None = None,
        on_step: Callable[[], None] = lambda: None,
    ) -> None:
        check_precision(config.precision, ranks.device)
        config.check_task(data.task)
        check_batch_size(config, len(data.train), ranks.world_size)
        if config.is_compiled:
            check_compiler(ranks.device)
        self.config = config
        self.epoch = 0
        self._data = data
        self._ranks = ranks
        self._on_step = on_step
        self._stream_seed = config.seed
        if ranks.device.type == "cuda":
            torch.backends.cudnn.deterministic = True
        self._memory_format = (
            torch.channels_last if config.is_channels_last else torch.contiguous_format
        )
        if model is None:
            model = self._draw_model() if state is None else self._empty_model()
        self.model: nn.Module = model.to(ranks.device, memory_format=self._memory_format)  # type: ignore[call-overload]
        self._trained_model = compile_model(self.model) if config.is_compiled else self.model
        self._optimizer = build_optimizer(self.model, config)
        self._scaler = make_scaler(config.precision, ranks.device)
        self._average = WeightAverage(self.model, config.ema_decay) if config.ema_decay else None
        self._early_stopping = EarlyStopping(config.patience_epochs)
        self._energy = EnergyMeter(ranks.device)
        if state is not None:
            self.load_state_dict(state)

    def _draw_model(self) -> nn.Module:
        """Build the model with weights drawn from the config's seed."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.config.seed)
            return create_model(self.config, self._data.task)

    def _empty_model(self) -> nn.Module:
        """Build the model without weights: drawing them takes longer than loading others."""
        with torch.device("meta"):
            model = create_model(self.config, self._data.task)
        return model.to_empty(device=self._ranks.device)

    @property
    def served_model(self) -> nn.Module:
        """The model that is validated and would be shipped: the average, where there is one."""
        return self.model if self._average is None else self._average.model

    def train_epoch(self) -> EpochResult:
        """Train one epoch, then validate.

        Raises:
            TrainingError: on all workers, if a loss is not finite.
        """
        started_unix_s, start_s = time.time(), time.perf_counter()
        joules = self._energy.read_joules()
        if self._ranks.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._ranks.device)
        trained = self._train()
        trained_s = time.perf_counter()
        self._check_finite("train_loss", trained.loss)
        val, train_accuracy = self._validate()
        self._check_finite("val_loss", val.loss)
        self.epoch += 1
        steps = num_steps(self._data, self.config)
        return EpochResult(
            epoch=self.epoch,
            train_loss=trained.loss,
            train_accuracy=train_accuracy,
            val=val,
            learning_rate=learning_rate(self.config, self.epoch * steps - 1, steps),
            train_seconds=trained_s - start_s,
            val_seconds=time.perf_counter() - trained_s,
            data_wait_fraction=trained.data_seconds / (trained_s - start_s),
            started_unix_s=started_unix_s,
            ended_unix_s=time.time(),
            num_train_samples=steps * self.config.batch_size,
            peak_memory_bytes=self._peak_memory_bytes(),
            energy_joules=self._sum_joules(joules),
            is_stopped_early=self._early_stopping.update(val.loss),
        )

    def state_dict(self) -> dict[str, Any]:
        """Return all that a resume needs; its tensors are live, so save or copy them at once."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self._optimizer.state_dict()["state"],
            "scaler": None if self._scaler is None else self._scaler.state_dict(),
            "average": None if self._average is None else self._average.state_dict(),
            "early_stopping": self._early_stopping.state_dict(),
            "epoch": self.epoch,
            "stream_seed": self._stream_seed,
            "config": self.config.to_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over weights, optimizer state, epoch and data stream; the config stays.

        Args:
            state: from `state_dict`, of this training or of another; is copied.

        Raises:
            InputError: if the state is of another architecture, optimizer or kind of precision.
        """
        for name in (*self.config.architecture(), "optimizer", "ema_decay", "precision"):
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
        if self._scaler is not None:
            self._scaler.load_state_dict(state["scaler"])
        if self._average is not None:
            self._average.load_state_dict(state["average"])
        self._early_stopping.load_state_dict(state["early_stopping"])
        self.epoch = state["epoch"]
        self._stream_seed = state["stream_seed"]

    def predict(self, inputs: Tensor) -> Tensor:
        """Return the logits of the served model for a batch of a part's inputs."""
        return self.logits_of(self._data.model_inputs(inputs))

    def logits_of(self, model_inputs: Tensor) -> Tensor:
        """Return the logits of the served model for inputs as a model takes them."""
        return self._forward(self.served_model, model_inputs)

    def _forward(self, model: nn.Module, inputs: Tensor) -> Tensor:
        if inputs.ndim == 4:
            inputs = inputs.contiguous(memory_format=self._memory_format)
        with autocast(self.config.precision, self._ranks.device):
            logits: Tensor = model(inputs)
        self._on_step()
        return logits

    def _train(self) -> _Trained:
        """Train one epoch; the loss is the mean over the samples of all workers."""
        model = self._wrap()
        model.train()
        torch.manual_seed(self._derive_seed("model", self._ranks.rank))
        losses: list[Tensor] = []  # on the device: reading one would wait for the step
        data_seconds = 0.0
        steps, parts = num_steps(self._data, self.config), self.config.accumulation_steps
        seed = self._derive_seed("data")
        batches = epoch_batches(self._data, self.config, self._ranks, seed)
        for step in range(self.epoch * steps, (self.epoch + 1) * steps):
            rate = learning_rate(self.config, step, steps)
            apply_hyperparameters(self._optimizer, self.config, rate)
            for part in range(1, parts + 1):
                asked_s = time.perf_counter()
                batch = next(batches)
                data_seconds += time.perf_counter() - asked_s
                # Gradients are sent to the other workers once a step.
                with contextlib.nullcontext() if part == parts else _unsynced(model):
                    losses.append(self._backward(model, batch))
            self._step()
        self._average_statistics()
        # Every worker had as many samples a step, so means of means are exact.
        total = self._ranks.sum(torch.stack(losses).double().sum())
        return _Trained(float(total) / (len(losses) * self._ranks.world_size), data_seconds)

    def _backward(self, model: nn.Module, batch: Batch) -> Tensor:
        """Add a part's share to the gradients; return its mean loss."""
        logits = self._forward(model, batch.inputs)
        loss = batch.loss(logits.float(), self.config.label_smoothing)
        share = loss / self.config.accumulation_steps
        (share if self._scaler is None else self._scaler.scale(share)).backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def _step(self) -> None:
        scaler, average = self._scaler, self._average
        # Reading the scale waits for the GPU: only an average must know of an overflow.
        scale = scaler.get_scale() if scaler is not None and average is not None else 0.0
        if scaler is None:
            self._optimizer.step()
        else:
            scaler.step(self._optimizer)
            scaler.update()
        self._optimizer.zero_grad(set_to_none=True)
        if average is not None and (scaler is None or scaler.get_scale() >= scale):
            average.update()

    def _wrap(self) -> nn.Module:
        """Wrap the model in DDP, anew in every epoch.

        DDP orders its buckets by the first backward pass, and the order of additions depends on
        it; with a new wrapper a resumed epoch adds as an undisturbed one does. The weights are
        equal on all workers already, so they aren't sent again.
        """
        ranks = self._ranks
        if ranks.group is None:
            return self._trained_model
        with warnings.catch_warnings():
            # Torch's own advice where buffers are not to be sent, at the start neither.
            warnings.filterwarnings("ignore", message="`broadcast_buffers` is deprecated")
            wrapped: nn.Module = DistributedDataParallel(
                self._trained_model,
                device_ids=[ranks.device] if ranks.device.type == "cuda" else None,
                process_group=ranks.group,
                broadcast_buffers=False,
                init_sync=False,
                gradient_as_bucket_view=True,
            )
        return wrapped

    def _validate(self) -> tuple[Scores, float]:
        """Return the scores of the validation part and the accuracy on the train part."""
        val, train = self._data.val, self._data.train
        logits = predict_all(self.served_model, self.predict, val.inputs, self._ranks)
        seen = spread_positions(GAP_SAMPLES, train)
        seen_logits = predict_all(
            self.served_model, self.predict, train.inputs_at(seen), self._ranks
        )
        is_correct = seen_logits.argmax(1) == train.labels[seen]
        return score(logits, val.labels), is_correct.double().mean().item()

    def _average_statistics(self) -> None:
        """Give all workers the mean of the running statistics of their norms, in one message."""
        if self._ranks.group is None:
            return
        models = [self.model] if self._average is None else [self.model, self._average.model]
        buffers = [b for m in models for b in m.buffers() if b.is_floating_point()]
        if not buffers:
            return
        flat = torch.cat([buffer.flatten() for buffer in buffers])
        flat = self._ranks.sum(flat) / self._ranks.world_size
        means = torch.split(flat, [buffer.numel() for buffer in buffers])
        for buffer, mean in zip(buffers, means, strict=True):
            buffer.copy_(mean.view_as(buffer))

    def _peak_memory_bytes(self) -> int | None:
        device = self._ranks.device
        return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None

    def _sum_joules(self, before: float | None) -> float | None:
        """Return what the GPUs of all workers used since `before`."""
        after = self._energy.read_joules()
        if self._ranks.device.type != "cuda":
            return None
        used = math.nan if before is None or after is None else after - before
        total = self._ranks.sum(torch.tensor(used, dtype=torch.float64, device=self._ranks.device))
        return None if total.isnan() else total.item()

    def _derive_seed(self, purpose: str, rank: int = 0) -> int:
        text = f"{self._stream_seed}/{self.epoch}/{purpose}/{rank}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1

    def _check_finite(self, name: str, value: float) -> None:
        # The value is that of all workers, so all raise or none does.
        if not math.isfinite(value):
            raise TrainingError(
                f"{name} must be finite, got {value} in epoch {self.epoch + 1}; lower the learning "
                f"rate ({self.config.learning_rate:g})"
            )


def _unsynced(model: nn.Module) -> AbstractContextManager[None]:
    """Return the context of a backward pass whose gradients stay on this worker."""
    if isinstance(model, DistributedDataParallel):
        return model.no_sync()
    return contextlib.nullcontext()


def _copy(value: Any) -> Any:
    return value.clone() if isinstance(value, Tensor) else value
