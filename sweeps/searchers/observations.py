"""What trials have said so far, thinned so that a surrogate can be fitted quickly."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Observation(NamedTuple):
    """The loss of a candidate after so many epochs.

    Attributes:
        candidate: its index.
        epoch: >= 1.
        loss: lower is better; finite.
        seconds: of training up to here; NaN where it is unknown.
        is_whole: the trial ended here by itself.
    """

    candidate: int
    epoch: int
    loss: float
    seconds: float
    is_whole: bool = False


@dataclass(frozen=True)
class Rows:
    """Observations as arrays, [num_rows] each; see `Observation`."""

    index: NDArray[np.int64]
    epoch: NDArray[np.int64]
    loss: Floats
    seconds: Floats
    is_whole: NDArray[np.bool_]

    @classmethod
    def of(cls, observations: list[Observation]) -> Rows:
        """Return observations as arrays."""
        table = np.array(observations, dtype=np.float64).reshape(-1, 5)
        index, epoch = table[:, 0].astype(np.int64), table[:, 1].astype(np.int64)
        return cls(index, epoch, table[:, 2], table[:, 3], table[:, 4] > 0)

    def take(self, rows: NDArray[np.int64]) -> Rows:
        """Return some of the rows."""
        return Rows(
            self.index[rows],
            self.epoch[rows],
            self.loss[rows],
            self.seconds[rows],
            self.is_whole[rows],
        )

    def is_full(self, max_epochs: int) -> NDArray[np.bool_]:
        """Tell of which rows no more epochs would come, in a full training of so many."""
        return (self.epoch >= max_epochs) | self.is_whole

    def __len__(self) -> int:
        return len(self.index)


class Observations:
    """Keeps of each candidate the newest report of each span of epochs, which double.

    A trial of 100 epochs so leaves seven observations (at epochs 1, 3, 7, 15, 31, 63, 100), each
    at its own epoch, and not 100 that say nearly the same.
    """

    def __init__(self) -> None:
        self._of: dict[int, dict[int, Observation]] = {}
        self.num_kept = 0

    def add(self, observation: Observation) -> bool:
        """Keep an observation; return whether it is new.

        One whose loss is not finite says nothing. One that is no later than what the candidate has
        said before is said again by a trial whose gang was lost, and changes nothing.
        """
        if not math.isfinite(observation.loss):
            return False
        kept = self._of.setdefault(observation.candidate, {})
        if any(observation.epoch <= earlier.epoch for earlier in kept.values()):
            return False
        span = observation.epoch.bit_length()
        self.num_kept += span not in kept
        kept[span] = observation
        return True

    def forget(self, index: int) -> None:
        """Drop what a candidate has said."""
        self.num_kept -= len(self._of.pop(index, {}))

    def end(self, index: int) -> Observation | None:
        """Learn that a candidate's trial ended by itself; return what it said last, if anything."""
        kept = self._of.get(index)
        if not kept:
            return None
        span = max(kept)
        kept[span] = kept[span]._replace(is_whole=True)
        return kept[span]

    def newest(self) -> dict[int, Observation]:
        """Return each candidate's observation of the most epochs."""
        return {
            index: max(kept.values(), key=lambda seen: seen.epoch)
            for index, kept in self._of.items()
            if kept
        }

    def all(self) -> list[Observation]:
        """Return what is kept, by candidate and epoch."""
        return sorted(seen for kept in self._of.values() for seen in kept.values())

    def state(self) -> list[list[Any]]:
        """Return what is kept as plain values that JSON holds."""
        return plain(self.all())

    def load(self, state: list[list[Any]]) -> None:
        """Take over what was kept."""
        self._of, self.num_kept = {}, 0
        for observation in parse(state):
            self.add(observation)


def plain(observations: list[Observation]) -> list[list[Any]]:
    """Return observations as plain values that JSON holds."""
    return [
        [*seen[:3], None if math.isnan(seen.seconds) else seen.seconds, seen.is_whole]
        for seen in observations
    ]


def parse(state: list[list[Any]]) -> list[Observation]:
    """Return observations from plain values."""
    return [
        Observation(
            int(index), int(epoch), float(loss), math.nan if seconds is None else seconds, is_whole
        )
        for index, epoch, loss, seconds, is_whole in state
    ]


def finite(values: Mapping[str, float], column: str) -> float:
    """Return a value of a report, NaN where it has none."""
    value = values.get(column)
    return float(value) if value is not None and math.isfinite(value) else math.nan
