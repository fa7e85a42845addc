"""A recorded trial on a gang that can be lost: what `GangTrial` does, in virtual time."""

from __future__ import annotations

from typing import Any

from ray import tune
from ray.train._internal.session import _TrainingResult

from sweeps.simulate.fleet import Fleet
from sweeps.simulate.recorded_table import CONFIG_ID, RecordedTable, trial_name
from sweeps.simulate.virtual_actors import Deferred
from trainables.gang_trial import MAX_LOSSES_PER_EPOCH, TrialFailedError


class FleetTrial:
    """A trial's actor; it leases a gang of the fleet and holds it until it is over.

    Args:
        table: what the trial reports, and how long its epochs take.
        fleet: of gangs.
        index: of the trial's config in the table.

    Attributes:
        trial_id: of the trial that it is at the moment.
    """

    def __init__(self, table: RecordedTable, fleet: Fleet, index: int) -> None:
        self._table = table
        self._fleet = fleet
        self._begin(index)

    def _begin(self, index: int) -> None:
        self.trial_id = trial_name(index)
        self._index = index
        self._gang: int | None = None
        self._place = 0  # reports of the curve that were made, or restored
        self._trained = 0  # the same, on the gang
        self._saved = 0  # the same, in the checkpoint
        self._num_losses = 0  # in the step at hand
        self._step: Deferred | None = None
        self._is_saving = False

    def perform(self, method: str, args: tuple[Any, ...]) -> tuple[Any, float] | Deferred:
        """See `VirtualActor`."""
        if method == "train":
            self._place += 1
            return self._begin_step(is_saving=False)
        if method == "save":
            if self._saved == self._place:
                return self._checkpoint(), 0.0
            return self._begin_step(is_saving=True)
        if method == "restore":
            self._place = self._saved = int(args[0].checkpoint.path.rsplit("_", 1)[1])
            return None, 0.0
        assert method == "reset", method
        self.end()
        self._begin(int(args[0][CONFIG_ID]))
        return True, 0.0

    def end(self) -> None:
        """See `VirtualActor`."""
        self._fleet.release(self)

    def _begin_step(self, *, is_saving: bool) -> Deferred:
        self._step, self._is_saving, self._num_losses = Deferred(), is_saving, 0
        self._go_on()
        return self._step

    def _go_on(self) -> None:
        """Do what is next of the step at hand."""
        model = self._fleet.model
        if self._gang is None:
            self._fleet.lease(self)
        elif self._trained < self._place:
            _, seconds = self._table.report(self._index, self._trained)
            seconds += model.checkpoint_seconds if self._is_due(self._trained + 1) else 0.0
            self._fleet.order(self._gang, seconds, self._epoch_done)
        elif self._is_saving and self._saved != self._place:
            self._fleet.order(self._gang, model.checkpoint_seconds, self._save_done)
        elif self._step is not None:
            step, self._step = self._step, None
            result = self._table.report(self._index, self._place - 1)[0]
            step.resolve(self._checkpoint() if self._is_saving else result)

    def _is_due(self, place: int) -> bool:
        is_last = place == len(self._table.curves[self._index].epochs)
        return is_last or place % self._fleet.model.checkpoint_epochs == 0

    def grant(self, gang: int) -> None:
        """See `Holder`."""
        self._gang = gang
        model = self._fleet.model
        seconds = model.restore_seconds if self._saved else model.start_seconds
        self._fleet.order(gang, seconds, self._started)

    def _started(self) -> None:
        self._trained = self._saved
        self._go_on()

    def _epoch_done(self) -> None:
        self._trained += 1
        if self._is_due(self._trained):
            self._keep()
        self._go_on()

    def _save_done(self) -> None:
        self._keep()
        self._go_on()

    def _keep(self) -> None:
        assert self._gang is not None
        self._saved = self._trained
        self._fleet.mark_saved(self._gang)

    def lose(self) -> None:
        """See `Holder`."""
        self._gang = None
        if self._step is None:
            return  # nothing was under way: the next step finds another gang
        self._num_losses += 1
        if self._num_losses < MAX_LOSSES_PER_EPOCH:
            self._go_on()
            return
        step, self._step = self._step, None
        step.resolve(TrialFailedError(f"its gang was lost {self._num_losses} times in an epoch"))

    def _checkpoint(self) -> _TrainingResult:
        path = f"/simulated/{self.trial_id}/epoch_{self._saved}"
        return _TrainingResult(tune.Checkpoint(path), {})
