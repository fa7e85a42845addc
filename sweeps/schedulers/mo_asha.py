"""Multi-objective asynchronous successive halving (MO-ASHA), stopping or by promotion.

ASHA (Li et al. 2020, "A system for massively parallel hyperparameter tuning") with the order of a
rung taken from all objectives (Schmucker et al. 2021, arXiv:2106.12639). With one objective it is
ASHA.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from analysis.records import Objective
from sweeps.schedulers.foresight import Foresight
from sweeps.schedulers.losses import from_plain, is_known, report_losses, to_plain
from sweeps.schedulers.protocol import Decision, Report, Resume
from sweeps.schedulers.rungs import PEER, Rung, make_rung
from sweeps.schedulers.tie_orders import TIE_ORDERS

ORDERS: Final = (PEER, *TIE_ORDERS)

Variant = Literal["stopping", "promotion"]


@dataclass(frozen=True)
class HalvingOptions:
    """How a rung is halved.

    Attributes:
        max_epochs: of a full training.
        grace_epochs: epochs of the lowest rung.
        reduction_factor: 1/eta of a rung goes on to the next, which has eta times its epochs.
        order: of a rung's members: `peer`, `epsnet` or `crowding`; None: `peer` where one
            objective of two is known before training, else `epsnet`.
        variant: `stopping` decides once, when a trial reaches a rung; `promotion` pauses it there
            until it is among the best.
    """

    max_epochs: int
    grace_epochs: int = 1
    reduction_factor: float = 3
    order: str | None = None
    variant: Variant = "stopping"


class MoAsha:
    """See the module's text; a `Scheduler`.

    By peers, a rung that turns out to say nothing of the next one (`foresight`) stops nobody, if
    those below it say nothing either: more epochs say more, so that where a lower rung is good for
    something, a higher one that looks as if it were not does so by chance.

    Args:
        objectives: what the order is of; at least one.
        known: which of their columns are known before training.
        options: of the rungs.
    """

    makes_room = False

    def __init__(
        self, objectives: Sequence[Objective], known: Sequence[str], options: HalvingOptions
    ) -> None:
        self._objectives = tuple(objectives)
        self._options = options
        columns = [objective.column for objective in objectives]
        self._known_indices = [n for n, column in enumerate(columns) if column in known]
        can_peer = len(columns) == 2 and len(self._known_indices) == 1
        self.order = options.order or (PEER if can_peer else "epsnet")
        if self.order == PEER and len(columns) > 1 and not can_peer:
            raise ValueError(
                "order peer must have two objectives, of which one is known before training, got "
                f"{', '.join(columns)} with {', '.join(known) or 'none'} known; choose epsnet"
            )
        self._by_peers = self.order == PEER and len(columns) > 1
        self._milestones = _milestones(options)
        self._begin()

    def on_add(self, trial_id: str, config: Mapping[str, Any], known: Mapping[str, float]) -> None:
        """See `Scheduler`."""

    def on_report(self, report: Report) -> Decision:
        """Decide at the highest rung that the trial has reached, once."""
        if report.epoch >= self._options.max_epochs:
            return Decision.STOP
        level = bisect_right(self._milestones, report.epoch) - 1
        if level <= self._reached.get(report.trial_id, -1):
            return Decision.CONTINUE
        self._leave(report.trial_id)
        self._reached[report.trial_id] = level
        number = self._enter(report.trial_id, level, report_losses(report, self._objectives))
        if self._options.variant == "stopping":
            goes_on = self._says_nothing(level) or self._rungs[level].goes_on(number)
            return Decision.CONTINUE if goes_on else Decision.STOP
        self._wait(report.trial_id, level, number)
        return Decision.PAUSE

    def _says_nothing(self, level: int) -> bool:
        return all(foresight.says_nothing for foresight in self._foresights[: level + 1])

    def _enter(self, trial_id: str, level: int, losses: list[float]) -> int:
        """Enter a trial into a rung; return its number there."""
        self._members[level].append((trial_id, losses))
        if self._by_peers and is_known(losses):
            (known_index,) = self._known_indices
            known, learnt = losses[known_index], losses[1 - known_index]
            self._foresights[level].add(trial_id, known, learnt)
            if level:
                self._foresights[level - 1].add_later(trial_id, learnt)
        return self._rungs[level].add(losses)

    def on_complete(self, trial_id: str) -> None:
        """See `Scheduler`; the trial stays in its rungs."""
        self._leave(trial_id)

    def on_error(self, trial_id: str) -> None:
        """See `Scheduler`; the trial stays in its rungs."""
        self._leave(trial_id)

    def _wait(self, trial_id: str, level: int, number: int) -> None:
        self._waiting[level][number] = trial_id
        self._number_of[trial_id] = number
        self._going_on[level] = None

    def _leave(self, trial_id: str) -> None:
        """Let a trial wait in its rung no more."""
        if trial_id in self._number_of:
            level, number = self._reached[trial_id], self._number_of.pop(trial_id)
            del self._waiting[level][number]

    def choose_next(self, paused: Collection[str], num_pending: int) -> Resume | None:
        """Return a paused trial that is among the best of its rung, highest rung first."""
        for level in reversed(range(len(self._rungs))):
            waiting, going_on = self._waiting[level], self._going_on[level]
            if self._says_nothing(level):
                going_on = sorted(waiting)
            elif going_on is None:
                going_on = self._rungs[level].going_on(waiting.keys())
                self._going_on[level] = going_on
            for number in going_on:
                trial_id = waiting.get(number)
                if trial_id is not None and trial_id in paused:
                    return Resume(trial_id)
        return None

    def state_dict(self) -> dict[str, Any]:
        """See `Scheduler`."""
        return {
            "reached": dict(self._reached),
            "rungs": [
                [[trial_id, *to_plain(losses)] for trial_id, losses in members]
                for members in self._members
            ],
            "says_nothing": [foresight.says_nothing for foresight in self._foresights],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See `Scheduler`."""
        self._begin()
        self._reached |= state["reached"]
        for level, members in enumerate(state["rungs"]):
            for trial_id, *losses in members:
                number = self._enter(trial_id, level, from_plain(losses))
                if self._options.variant == "promotion" and self._reached[trial_id] == level:
                    self._wait(trial_id, level, number)
        for foresight, says_nothing in zip(self._foresights, state["says_nothing"], strict=True):
            foresight.says_nothing = says_nothing

    def _begin(self) -> None:
        """Begin with empty rungs."""
        self._rungs = [self._empty_rung() for _ in self._milestones]
        self._foresights = [Foresight(self._options.reduction_factor) for _ in self._milestones]
        # Of each rung, the trials and losses of its members:
        self._members: list[list[tuple[str, list[float]]]] = [[] for _ in self._milestones]
        self._reached: dict[str, int] = {}  # the rung that a trial reached last
        # For promotion. Of each rung, by their number, those that have reached no higher one and
        # may wait there; which of them go on, None where that isn't known; and their numbers.
        self._waiting: list[dict[int, str]] = [{} for _ in self._milestones]
        self._going_on: list[list[int] | None] = [None for _ in self._milestones]
        self._number_of: dict[str, int] = {}

    def _empty_rung(self) -> Rung:
        return make_rung(
            self.order,
            self._options.reduction_factor,
            num_objectives=len(self._objectives),
            known_index=self._known_indices[0] if self._known_indices else None,
        )


def _milestones(options: HalvingOptions) -> list[int]:
    """Return the epochs of the rungs, ascending; a full training is no rung."""
    milestones = []
    epochs = float(options.grace_epochs)
    while epochs < options.max_epochs:
        milestones.append(int(epochs))
        epochs *= options.reduction_factor
    return milestones
