"""Gangs in virtual time: they start, are preempted, fail, and are leased, as those of a cluster.

What happens to a gang is drawn. A gang's node is gone after a time that is exponentially
distributed from the moment at which the node was asked for, while it starts too; so is the time to
the next failure of its workers once they are there. Either way the workers start again, on another
node or on the same, and the trial that held the gang waits for whichever is free next. How long a
start takes is log-normally distributed around its median. The ledger is that of a sweep, and so is
what it counts as held: all gangs, from the first moment to the last, while they start too.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal, Protocol

import numpy as np

from sweeps.simulate.timeline import Timeline
from trainables.cost import SECONDS_PER_HOUR
from trainables.ledger import Ledger

START_SPREAD: Final = 0.3
"""Standard deviation of the logarithm of how long a start takes."""


@dataclass(frozen=True)
class FleetModel:
    """What a fleet is like.

    Attributes:
        num_gangs: held from the first moment to the last.
        start_up_seconds: median, from asking for a node until its gang is ready.
        restart_seconds: median, of workers on a node that is there.
        preemption_hours: mean, until a gang's node is taken away; infinity: never.
        failure_hours: mean, until a gang's workers fail; infinity: never.
        checkpoint_epochs: epochs between two checkpoints; the last one is always saved.
        checkpoint_seconds: to write one.
        start_seconds: until a new trial trains on a gang that is ready.
        restore_seconds: until one goes on from a checkpoint.
    """

    num_gangs: int
    start_up_seconds: float = 0.0
    restart_seconds: float = 0.0
    preemption_hours: float = math.inf
    failure_hours: float = math.inf
    checkpoint_epochs: int = 1
    checkpoint_seconds: float = 0.0
    start_seconds: float = 0.0
    restore_seconds: float = 0.0


class Holder(Protocol):
    """Who leases a gang: a trial's actor."""

    @property
    def trial_id(self) -> str:
        """Of the trial that it is at the moment."""
        ...

    def grant(self, gang: int) -> None:
        """Hear which gang it has."""
        ...

    def lose(self) -> None:
        """Hear that the gang is lost, with whatever it was doing."""
        ...


@dataclass
class _Gang:
    generation: int = 0
    node_ends_s: float = math.inf  # when its node will be taken away
    is_ready: bool = False
    holder: Holder | None = None
    order: int | None = None  # the event that ends it


class Fleet:
    """Leases gangs to trials, and takes them away.

    Args:
        model: see `FleetModel`.
        timeline: when things happen.
        seed: of what is drawn.

    Attributes:
        model: as given.
        ledger: what each gang's seconds went to.
        num_preemptions: nodes that were taken away.
        num_failures: of gangs' workers.
    """

    def __init__(self, model: FleetModel, timeline: Timeline, seed: int) -> None:
        self.model = model
        self.ledger = Ledger(model.num_gangs, lambda: timeline.now_s)
        self.num_preemptions = 0
        self.num_failures = 0
        self._timeline = timeline
        self._draw = np.random.default_rng((seed, model.num_gangs))
        self._gangs = [_Gang() for _ in range(model.num_gangs)]
        self._free: deque[int] = deque()
        self._waiting: dict[Holder, str] = {}  # to the trial that it is
        self._leases: dict[Holder, int] = {}
        self._holders: dict[str, Holder] = {}  # by trial
        for index in range(model.num_gangs):
            self._ask_for_node(index)

    def lease(self, holder: Holder) -> None:
        """Wait for a gang; those who waited longer come first. An older lease of its trial ends."""
        self.release_trial(holder.trial_id)
        self._holders[holder.trial_id] = holder
        self._waiting[holder] = holder.trial_id
        self._match()

    def order(self, gang: int, seconds: float, on_done: Callable[[], None]) -> None:
        """Let a leased gang work; `on_done` is never called if the gang is lost before."""
        state = self._gangs[gang]
        assert state.order is None

        def done() -> None:
            state.order = None
            on_done()

        state.order = self._timeline.after(seconds, done)

    def mark_saved(self, gang: int) -> None:
        """Say that what a gang has done so far can't be lost any more."""
        self.ledger.mark_saved(gang)

    def release_trial(self, trial_id: str) -> None:
        """End whatever a trial holds or waits for."""
        if trial_id in self._holders:
            self.release(self._holders[trial_id])

    def release(self, holder: Holder) -> None:
        """End what this holder has or waits for."""
        if self._waiting.pop(holder, None) is not None:
            del self._holders[holder.trial_id]
        if holder not in self._leases:
            return
        index = self._leases[holder]
        if self._gangs[index].order is not None:
            self.ledger.lose(index)
        self._vacate(index)
        self._free.append(index)
        self._turn_to(index, "idle")
        self._match()

    def close(self) -> None:
        """Let all gangs go."""
        for index in range(len(self._gangs)):
            self.ledger.close(index)

    # --- what befalls a gang

    def _ask_for_node(self, index: int) -> None:
        lifetime_s = self._exponential(self.model.preemption_hours * SECONDS_PER_HOUR)
        self._gangs[index].node_ends_s = self._timeline.now_s + lifetime_s
        self._start(index, self.model.start_up_seconds)

    def _start(self, index: int, median_s: float) -> None:
        """Start the workers of a gang; its node may be taken away meanwhile."""
        state = self._gangs[index]
        left_s = state.node_ends_s - self._timeline.now_s
        start_s = median_s * math.exp(START_SPREAD * self._draw.standard_normal())
        if left_s <= start_s:
            self._timeline.after(left_s, partial(self._preempt, index))
        else:
            self._timeline.after(start_s, partial(self._enter, index))

    def _enter(self, index: int) -> None:
        state = self._gangs[index]
        state.is_ready = True
        state.generation += 1
        left_s = state.node_ends_s - self._timeline.now_s
        fails_s = self._exponential(self.model.failure_hours * SECONDS_PER_HOUR)
        happen = self._preempt if left_s <= fails_s else self._fail
        if min(left_s, fails_s) < math.inf:
            self._timeline.after(min(left_s, fails_s), partial(happen, index), is_background=True)
        self._free.append(index)
        self._turn_to(index, "idle")
        self._match()

    def _preempt(self, index: int) -> None:
        self.num_preemptions += 1
        self._lose(index)
        self._ask_for_node(index)

    def _fail(self, index: int) -> None:
        self.num_failures += 1
        self._lose(index)
        self._start(index, self.model.restart_seconds)

    def _lose(self, index: int) -> None:
        state = self._gangs[index]
        if not state.is_ready:
            return
        state.is_ready = False
        self.ledger.lose(index)
        self._turn_to(index, "lost")
        holder = state.holder
        if holder is None:
            self._free.remove(index)
        else:
            self._vacate(index)
            holder.lose()

    def _exponential(self, mean_s: float) -> float:
        return math.inf if math.isinf(mean_s) else float(self._draw.exponential(mean_s))

    # --- who holds what

    def _match(self) -> None:
        while self._free and self._waiting:
            index, holder = self._free.popleft(), next(iter(self._waiting))
            trial_id = self._waiting.pop(holder)
            state = self._gangs[index]
            state.holder = holder
            self._leases[holder] = index
            self.ledger.turn_to(index, "training", trial_id, state.generation)
            holder.grant(index)

    def _vacate(self, index: int) -> None:
        """End the lease of a gang."""
        state = self._gangs[index]
        assert state.holder is not None
        if state.order is not None:
            self._timeline.discard(state.order)
        del self._leases[state.holder], self._holders[state.holder.trial_id]
        state.holder, state.order = None, None

    def _turn_to(self, index: int, kind: Literal["idle", "lost"]) -> None:
        self.ledger.turn_to(index, kind, None, self._gangs[index].generation)
