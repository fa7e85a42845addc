"""Training along a trial's lineage: each config up to the epoch from which the next was used."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sweeps.recorded_run import read_json
from trainables.errors import InputError
from trainables.orders import Order, Start, TrainEpoch

Segment = tuple[Mapping[str, Any], int]
"""A config, and the epoch up to which it is used."""


def segments(row: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], int]]:
    """Yield each config of a trial's lineage with the epoch up to which it was used.

    Raises:
        InputError: if it is no lineage.
    """
    steps = row["lineage"]
    begins = [step["from_epoch"] if step else None for step in steps]
    ends = [*begins[1:], row["epoch"]]
    if None in begins or begins[:1] != [0] or [0, *ends] != sorted({0, *ends}):
        raise InputError(
            f"the lineage of TRIAL must go from epoch 0 to {row['epoch']}, got {begins}; copy RUN "
            "again"
        )
    for step, end in zip(steps, ends, strict=True):
        yield read_json(step["config"], "config in the lineage"), end


@dataclass
class LineageTraining:
    """A training along a lineage, which can go on from where it was saved last.

    Attributes:
        segments: at least one.
        on_epoch: hears each epoch's result.
        checkpoint_epochs: epochs between two checkpoints; None: one only where a config ends.
        has_patience: it ends where its config's patience does, and not only at its last epoch.
        checkpoint: that was written last.
        saved_epoch: that it holds.
        result: of the last epoch.
    """

    segments: Sequence[Segment]
    on_epoch: Callable[[Mapping[str, Any]], None]
    checkpoint_epochs: int | None = None
    has_patience: bool = False
    checkpoint: str | None = field(default=None, init=False)
    saved_epoch: int = field(default=0, init=False)
    result: dict[str, Any] = field(default_factory=dict, init=False)

    def go_on(
        self, carry_out: Callable[[Order], dict[str, Any]], save_to: Callable[[int], str]
    ) -> None:
        """Train to the end, on a gang that has not begun with it.

        Args:
            carry_out: has a gang carry out an order.
            save_to: returns where the checkpoint of an epoch goes.
        """
        left = [segment for segment in self.segments if segment[1] > self.saved_epoch]
        num_to_save = self.segments[-1][1] - self.saved_epoch  # a budget pays all of it, or nothing
        for config, end in left or self.segments[-1:]:
            start = Start(config, self.checkpoint, num_to_save=num_to_save)
            epoch, num_to_save = carry_out(start)["epoch"], 0
            while epoch < end:
                epoch += 1
                location = save_to(epoch) if self._is_saved(epoch, end) else None
                self._keep(carry_out(TrainEpoch(location)))
                if self.has_patience and self.result["is_stopped_early"]:
                    self._end_here(config)
                    return

    def _is_saved(self, epoch: int, end: int) -> bool:
        step = self.checkpoint_epochs
        return epoch == end or (step is not None and epoch % step == 0)

    def _keep(self, result: dict[str, Any]) -> None:
        self.result = result
        if result["checkpoint"] is not None:
            self.checkpoint, self.saved_epoch = result["checkpoint"], result["epoch"]
        self.on_epoch(result)

    def _end_here(self, config: Mapping[str, Any]) -> None:
        """Let the lineage end with the last epoch's result, also if it is gone on with."""
        passed = [segment for segment in self.segments if segment[1] < self.result["epoch"]]
        self.segments = [*passed, (config, self.result["epoch"])]
