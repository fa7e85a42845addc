"""What trials, the desk and workers say to one another: orders, outcomes, replies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# --- Orders: what a trial asks of a gang ---------------------------------------------------------


@dataclass(frozen=True)
class Start:
    """Begin a trial: from scratch, or with the weights of a checkpoint."""

    config: Mapping[str, Any]
    checkpoint: str | None = None
    is_after_failure: bool = False  # set by the desk: make a new process group first
    num_to_save: int = 0  # as in TrainEpoch


@dataclass(frozen=True)
class TrainEpoch:
    """Train one epoch and validate; write a checkpoint if `save_to` is given.

    Attributes:
        num_to_save: epochs up to the next checkpoint, this one included, if a budget shall be
            asked for them first; 0: they were granted.
    """

    save_to: str | None = None
    num_to_save: int = 0


@dataclass(frozen=True)
class Save:
    """Write a checkpoint of the trial as it stands."""

    save_to: str


@dataclass(frozen=True)
class Examine:
    """Find out what the trial does on the test part: for finalists, after the search.

    Attributes:
        test: [1], the reference of a `Part`; in a list, or Ray would fetch it on the way.
        options: `ExamineOptions`.
    """

    test: Sequence[Any]
    options: Any


@dataclass(frozen=True)
class Close:
    """Leave the loop: the sweep is over."""


@dataclass(frozen=True)
class Restart:
    """Raise out of the loop: this generation can't go on, Ray Train shall start the next."""

    reason: str


Order = Start | TrainEpoch | Save | Examine | Close | Restart


# --- Outcomes: what a worker says of an order ----------------------------------------------------


@dataclass(frozen=True)
class Done:
    """The order was carried out; only rank 0's result reaches the trial."""

    result: Mapping[str, Any]


@dataclass(frozen=True)
class Failed:
    """The trial itself failed on this worker.

    Attributes:
        is_bad_checkpoint: its checkpoint was no whole one, and nothing else was wrong.
    """

    reason: str  # one line
    traceback: str
    is_bad_checkpoint: bool = False


Outcome = Done | Failed


# --- Replies: what a trial hears of its order ----------------------------------------------------


@dataclass(frozen=True)
class Ticket:
    """A lease on a gang; worthless once the trial's next lease was given."""

    lease_id: int
    trial_id: str
    gang: int
    generation: int


@dataclass(frozen=True)
class Finished:
    """All workers carried out the order.

    Attributes:
        is_to_move: the gang's node goes away or is avoided: save, and give the gang back.
    """

    result: Mapping[str, Any]
    gang_seconds: float  # held by this trial so far, all its leases together
    generation: int
    is_to_move: bool = False


@dataclass(frozen=True)
class TrialFailure:
    """The trial's own exception ended it; the gang goes on with the next.

    Attributes:
        is_bad_checkpoint: as in `Failed`, on every worker that failed: an earlier one may do.
    """

    reason: str
    traceback: str
    is_bad_checkpoint: bool = False


@dataclass(frozen=True)
class Lost:
    """The gang or the lease was lost, through no fault of the trial's."""

    reason: str


@dataclass(frozen=True)
class Denied:
    """The budget doesn't pay for the order: the trial stays as it was saved last."""

    reason: str


Reply = Finished | TrialFailure | Lost | Denied


class NoGangLeftError(RuntimeError):
    """Every gang of the sweep was closed, so no lease can ever be given."""


class LeaseVoidError(RuntimeError):
    """The trial was over, or asked again, before a gang was free for this request."""
