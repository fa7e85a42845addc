"""What a scheduler is: reports in, decisions out. No Ray, no Torch.

A scheduler never sees the sweep. It learns of trials by their ids, has a seeded generator of its
own, and gives its state away as plain values, so the very same object is judged in the simulator
(`sweeps.simulate`) and used on a cluster. `sweeps.schedulers.tune_adapter` stands between it and
Ray Tune.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol


@dataclass(frozen=True)
class Report:
    """What a trial says of an epoch.

    Attributes:
        trial_id: whose.
        epoch: trained by now, >= 1; it may jump over some.
        values: the epoch's metrics by column, with what was known before; NaN where there is none.
        is_contended: other trials wait for a gang; told to schedulers that make room for others.
    """

    trial_id: str
    epoch: int
    values: Mapping[str, float]
    is_contended: bool = False


class Decision(Enum):
    """What becomes of a trial that has reported."""

    CONTINUE = "continue"
    SAVE = "save"  # goes on, once it is saved: another may take over its weights
    PAUSE = "pause"
    STOP = "stop"


@dataclass(frozen=True)
class Exploit:
    """The decision that a trial goes on from another's newest checkpoint.

    Attributes:
        donor_id: whose checkpoint is copied.
        config: with which the trial goes on.
    """

    donor_id: str
    config: Mapping[str, Any]


@dataclass(frozen=True)
class Resume:
    """A paused trial that goes on.

    Attributes:
        trial_id: which.
        exploit: from whose weights; None: from its own.
    """

    trial_id: str
    exploit: Exploit | None = None


@dataclass(frozen=True)
class Drop:
    """A paused trial that will not go on."""

    trial_id: str


class Scheduler(Protocol):
    """Decides which trials go on.

    A trial whose gang was lost is not added again: it reports epochs that it has reported before,
    and those must change nothing. One that has ended is added again if it is to have more epochs;
    its next report is of an epoch after its last.

    Attributes:
        makes_room: it pauses trials for others, and so must be told whether any wait.
    """

    makes_room: bool

    def on_add(self, trial_id: str, config: Mapping[str, Any], known: Mapping[str, float]) -> None:
        """Learn of a trial, its config, and what is known of it before it trains, by column."""
        ...

    def on_report(self, report: Report) -> Decision | Exploit:
        """Decide on a trial that has trained another epoch."""
        ...

    def on_complete(self, trial_id: str) -> None:
        """Learn that a trial ended: trained in full, stopped, or taken away."""
        ...

    def on_error(self, trial_id: str) -> None:
        """Learn that a trial failed."""
        ...

    def choose_next(self, paused: Collection[str], num_pending: int) -> Resume | Drop | None:
        """Return which paused trial a free gang takes; None: a new one, if there is any.

        A trial that is dropped takes no gang, and the scheduler is asked again.

        Args:
            paused: trials that wait at a checkpoint, in the order in which they were saved.
            num_pending: trials that have not begun.
        """
        ...

    def state_dict(self) -> dict[str, Any]:
        """Return the state as plain values that JSON holds."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over a state; from here on the decisions are the same."""
        ...
