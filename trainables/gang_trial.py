"""A trial as Ray Tune sees it: a class Trainable that leases a gang.

The actor reserves no CPU (it takes one `trial_slot`) and imports no Torch. It is reused from
trial to trial; the weights live in the gang's workers and, after each saved epoch, in a
checkpoint whose location is all that Tune ever handles.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import ray
from ray import tune

# Tune's own type for what `save` returns and `restore` takes; it has no public name.
from ray.train._internal.session import _TrainingResult

# What ends a trial without another result.
from ray.tune.result import DONE, RESULT_DUPLICATE

from trainables.checkpoint_store import (
    checkpoint_epoch,
    checkpoint_key,
    checkpoint_location,
    checkpoint_trial,
    open_location,
    previous_checkpoint,
)
from trainables.epoch_result import IS_LAST, pack, without_packed
from trainables.orders import (
    Denied,
    Finished,
    Lost,
    Order,
    Save,
    Start,
    Ticket,
    TrainEpoch,
    TrialFailure,
)

MAX_LOSSES_PER_EPOCH: Final = 3
"""Losses of the gang in one epoch after which they are laid to the config."""

TRIAL_SLOT: Final = "trial_slot"
"""The resource that a trial actor takes: never a worker's CPU, so nothing waits in a circle."""


Result = TypeVar("Result")


class TrialFailedError(RuntimeError):
    """The trial itself failed; the message holds one line, then the worker's traceback."""


class _GangLostError(Exception):
    """The leased gang was lost; the trial goes on from its last checkpoint."""


class _DeniedError(Exception):
    """The budget pays for no more of this trial."""


class _BadCheckpointError(Exception):
    """The checkpoint that the trial shall go on from is no whole one."""


@dataclass(frozen=True)
class TrialSettings:
    """What every trial of a sweep shares.

    Attributes:
        desk: the actor handle of the lease desk.
        checkpoint_root: folder or URI under which each trial has a folder.
        checkpoint_epochs: epochs between two checkpoints; the last epoch is always saved.
        steering_columns: what the scheduler decides by.
    """

    desk: Any
    checkpoint_root: str
    checkpoint_epochs: int = 1
    steering_columns: tuple[str, ...] = ("val_accuracy",)


class GangTrial(tune.Trainable):  # type: ignore[misc]  # Ray's classes are untyped
    """Trains one epoch per step on a leased gang; see the module's text.

    The config is a `TrialConfig` as a dict.
    """

    def setup(self, config: dict[str, Any], settings: TrialSettings | None = None) -> None:
        """Take the sweep's settings; the gang is leased at the first step."""
        assert settings is not None, "make the trainable with tune.with_parameters"
        self._settings = settings
        self._ticket: Ticket | None = None
        self._begin(config)

    def _begin(self, config: Mapping[str, Any]) -> None:
        self._trial_config = dict(config)
        self._epoch = 0  # reported last, or restored
        self._saved_epoch = 0
        self._checkpoint: str | None = None
        self._previous: str | None = None  # what the weights of the last checkpoint came from
        self._went_back: dict[str, Any] = {}  # what the next result says of bad checkpoints

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Become another trial, or this one with other hyperparameters."""
        self._release()
        self._begin(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Train one epoch.

        Returns:
            The gang's `EpochResult` as a dict, with `gang`, `generation`, the cumulative
            `gang_seconds`, `checkpoint` (or None) and `done`; packed for Tune. If the budget
            doesn't pay for the epoch: what ends the trial as it was saved last.

        Raises:
            TrialFailedError: if the trial failed, or its gang was lost too often.
        """
        try:
            row = self._despite_losses(lambda: self._train_to(self._epoch + 1))
        except _DeniedError:
            self._release()
            return {RESULT_DUPLICATE: True, DONE: True}
        return pack(row, self._settings.steering_columns)

    def _despite_losses(self, action: Callable[[], Result]) -> Result:
        """Return what `action` returns; a lost gang sends it back to the last checkpoint."""
        losses: list[str] = []
        while len(losses) < MAX_LOSSES_PER_EPOCH:
            try:
                return action()
            except _GangLostError as loss:
                self._ticket = None
                losses.append(str(loss))
        raise TrialFailedError(
            f"its gang was lost {len(losses)} times after epoch {self._epoch}: {'; '.join(losses)}"
        )

    def _train_to(self, epoch: int) -> dict[str, Any]:
        """Train up to `epoch`; more than one epoch only where a loss took some away."""
        num_epochs = int(self._trial_config["num_epochs"])
        trained = self._start_on_gang()
        while trained < epoch:
            trained += 1
            is_due = trained % self._settings.checkpoint_epochs == 0 or trained >= num_epochs
            is_saved = trained - 1 == self._saved_epoch
            num_to_save = self._num_to_save(trained) if is_saved else 0
            finished = self._order(
                TrainEpoch(self._location(trained) if is_due else None, num_to_save)
            )
            assert finished.result["epoch"] == trained
            if is_due:
                self._keep(finished.result["checkpoint"], trained)
            if finished.result["is_stopped_early"]:
                self._save_at(trained)
                break
        if finished.is_to_move:
            self._save_at(trained)
        self._epoch = trained
        assert self._ticket is not None
        is_last = trained >= num_epochs or finished.result["is_stopped_early"]
        row = {
            **finished.result,
            "gang": self._ticket.gang,
            "generation": finished.generation,
            "gang_seconds": finished.gang_seconds,
            "checkpoint": self._checkpoint if self._saved_epoch == trained else None,
            "previous_checkpoint": self._previous,
            **self._take_went_back(),
            "done": is_last,
            IS_LAST: is_last,
        }
        if finished.is_to_move:
            self._release()
        return row

    def _take_went_back(self) -> dict[str, Any]:
        taken, self._went_back = self._went_back, {}
        return taken

    def _start_on_gang(self) -> int:
        """Make sure that the trial runs on a gang; return the epochs it has trained there."""
        if self._ticket is not None:
            return self._epoch
        ticket = ray.get(self._settings.desk.lease.remote(self.trial_id))
        if isinstance(ticket, Denied):
            raise _DeniedError
        self._ticket = ticket
        while True:
            num_to_save = self._num_to_save(self._saved_epoch + 1)
            start = Start(self._trial_config, self._checkpoint, num_to_save=num_to_save)
            try:
                return int(self._order(start).result["epoch"])
            except _BadCheckpointError as error:
                self._go_back(str(error))

    def _go_back(self, reason: str) -> None:
        """Take the checkpoint before the one that is bad; its epochs are trained again.

        Raises:
            TrialFailedError: if there is none that leads to the same weights.
        """
        bad = self._checkpoint
        assert bad is not None
        with contextlib.suppress(OSError):
            earlier = previous_checkpoint(bad)
            # From scratch only by its own config: a donor's first weights were another's.
            if earlier is not None or checkpoint_trial(bad) == self.trial_id:
                epoch = 0 if earlier is None else checkpoint_epoch(earlier)
                self._keep(earlier, epoch)
                place = "the start" if earlier is None else checkpoint_key(earlier)
                line = f"{reason.partition('; ')[0]}; {self.trial_id} goes on from {place}"
                said = self._went_back.get("went_back", [])
                self._went_back = {"went_back": [*said, line], "went_back_to_epoch": epoch}
                return
        raise TrialFailedError(f"{reason}, but it is not known which")

    def _num_to_save(self, epoch: int) -> int:
        """Return the epochs from `epoch` up to the next that is saved, both included."""
        step, num_epochs = self._settings.checkpoint_epochs, int(self._trial_config["num_epochs"])
        return max(1, min(-(-epoch // step) * step, num_epochs) - epoch + 1)

    def _order(self, order: Order) -> Finished:
        reply = ray.get(self._settings.desk.order.remote(self._ticket, order))
        if isinstance(reply, Lost):
            raise _GangLostError(reply.reason)
        if isinstance(reply, TrialFailure) and reply.is_bad_checkpoint:
            raise _BadCheckpointError(reply.reason)
        if isinstance(reply, TrialFailure):
            raise TrialFailedError(f"{reply.reason}\n{reply.traceback}")
        if isinstance(reply, Denied):
            raise _DeniedError
        assert isinstance(reply, Finished)
        return reply

    def _location(self, epoch: int) -> str:
        assert self._ticket is not None
        root, lease_id = self._settings.checkpoint_root, self._ticket.lease_id
        return checkpoint_location(root, self.trial_id, epoch, lease_id)

    def _keep(self, checkpoint: str | None, epoch: int) -> None:
        self._previous = self._checkpoint
        self._checkpoint, self._saved_epoch = checkpoint, epoch

    def save(self, checkpoint_dir: str | None = None) -> _TrainingResult:
        """Return the checkpoint of the current epoch as Tune knows one.

        Overrides Tune's copy through a local folder: rank 0 has written, or writes now, to
        where the checkpoint stays.
        """
        if self._saved_epoch != self._epoch:
            try:
                self._despite_losses(self._save_now)
            except _DeniedError:
                if self._checkpoint is None:
                    raise TrialFailedError("the budget ended before its first checkpoint") from None
        assert self._checkpoint is not None, "Tune saves after a result only"
        filesystem, path = open_location(self._checkpoint)
        checkpoint = tune.Checkpoint(path, filesystem=filesystem)
        return _TrainingResult(checkpoint, without_packed(self._last_result or {}))

    def _save_now(self) -> None:
        trained = self._start_on_gang()
        while trained < self._epoch:  # a loss took some epochs away
            trained = int(self._order(TrainEpoch()).result["epoch"])
        self._save_at(trained)

    def _save_at(self, epoch: int) -> None:
        """Save the trial as it stands after `epoch`, unless it was."""
        if self._saved_epoch != epoch:
            finished = self._order(Save(self._location(epoch)))
            self._keep(finished.result["checkpoint"], epoch)

    def restore(self, checkpoint_path: _TrainingResult) -> None:
        """Take over a checkpoint: this trial's own, or a PBT donor's."""
        metrics = checkpoint_path.metrics
        self._iteration = metrics.get("training_iteration", 0)
        self._time_total = metrics.get("time_total_s", 0.0)
        # Tune may pair a checkpoint with metrics of another epoch, so only its path counts.
        trial_id, name = checkpoint_path.checkpoint.path.rsplit("/", 2)[1:]
        location = f"{self._settings.checkpoint_root}/{trial_id}/{name}"
        self._keep(location, checkpoint_epoch(location))
        self._epoch = self._saved_epoch

    def cleanup(self) -> None:
        """Give the gang back."""
        self._release()

    def _release(self) -> None:
        if self._ticket is not None:
            ray.get(self._settings.desk.release.remote(self._ticket))
            self._ticket = None
