"""The lease protocol: how trials share long-lived gangs. Pure asyncio; no Ray, no Torch.

Three parties meet at one `LeaseDesk`:

- each *worker* of a gang joins once per generation and then only takes turns: it hands in the
  outcome of its last order and waits for the next (`join`, `turn`);
- a *trial* leases a gang, has orders carried out by all of its workers at once, and releases it
  (`lease`, `order`, `release`);
- the *driver* tells of gangs that ended and of trials that are over (`lose_gang`, `close_gang`,
  `release_trial`), and closes everything at the end (`close`).

A gang that was restarted joins with a new group id: its generation grows by one, whatever the
old generation still sends is fenced off, and an order in flight is answered with `Lost`.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final

from trainables.orders import (
    Close,
    Done,
    Failed,
    Finished,
    Lost,
    Order,
    Outcome,
    Reply,
    Restart,
    Start,
    Ticket,
    TrialFailure,
)

FAILURE_GRACE_S: Final = 5.0
"""How long the other workers of a gang have to report after the first of them failed."""


@dataclass(frozen=True)
class Seat:
    """Where a worker runs, and what the liveness probe asks."""

    host: str
    pid: int
    handle: Any = None


class NoGangLeftError(RuntimeError):
    """Every gang of the sweep was closed, so no lease can ever be given."""


class LeaseVoidError(RuntimeError):
    """The trial was over, or asked again, before a gang was free for this request."""


# --- The desk ------------------------------------------------------------------------------------


@dataclass
class _Lease:
    ticket: Ticket
    started_s: float


@dataclass
class _Gang:
    num_workers: int
    generation: int = 0
    group_id: str | None = None
    workers: dict[int, Seat] = field(default_factory=dict)  # by rank
    lease: _Lease | None = None
    order: Order | None = None
    order_number: int = 0
    taken: dict[int, int] = field(default_factory=dict)  # rank -> number of the last order taken
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    reply: asyncio.Future[Reply] | None = None
    was_failed: bool = False  # the last trial failed here, so process groups may be out of step
    close_reason: str | None = None
    ready_s: float | None = None  # when its first generation was complete

    @property
    def is_ready(self) -> bool:
        return self.close_reason is None and len(self.workers) == self.num_workers


class LeaseDesk:
    """Brings trials and gangs together; see the module's text.

    Args:
        workers_per_gang: one entry per gang.
        payload: handed to every worker that asks.
        probe: tells whether the worker behind a handle is alive; asked only after a failure.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        workers_per_gang: list[int],
        payload: Any = None,
        probe: Callable[[Any], Awaitable[bool]] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._gangs = [_Gang(num_workers) for num_workers in workers_per_gang]
        self._payload = payload
        self._probe = probe
        self._clock = clock
        self._leases: dict[str, int] = {}  # trial_id -> gang
        self._seconds_before: dict[str, float] = defaultdict(float)  # of ended leases, by trial
        self._num_leases = 0
        self._num_requests: dict[str, int] = defaultdict(int)  # by trial; only the last counts
        self._is_closing = False
        self._changed = asyncio.Condition()

    # --- workers

    async def payload(self) -> Any:
        """Return what the driver gave for the workers."""
        return self._payload

    async def join(self, gang: int, group_id: str, rank: int, seat: Seat) -> int:
        """Enter a worker, and return its generation: the first of a new group starts the next."""
        async with self._changed:
            state = self._gangs[gang]
            if state.group_id != group_id:
                self._drop_lease(state, f"gang {gang} was restarted")
                state.group_id = group_id
                state.generation += 1
                state.workers, state.taken, state.outcomes = {}, {}, {}
                state.order, state.was_failed = None, False
            state.workers[rank] = seat
            state.taken[rank] = state.order_number
            if state.is_ready and state.ready_s is None:
                state.ready_s = self._clock()
            self._changed.notify_all()
            return state.generation

    async def turn(self, gang: int, generation: int, rank: int, outcome: Outcome | None) -> Order:
        """Hand in the outcome of the last order (None at first); wait for the next."""
        state = self._gangs[gang]
        if outcome is not None and state.generation == generation:
            await self._take_outcome(state, rank, outcome)
        async with self._changed:
            while True:
                if state.generation != generation:
                    return Restart("this generation was replaced")
                if isinstance(state.order, Restart):
                    return state.order
                if state.order is not None and state.taken[rank] < state.order_number:
                    state.taken[rank] = state.order_number
                    return state.order
                if self._is_closing and state.order is None:
                    return Close()
                await self._changed.wait()

    async def _take_outcome(self, state: _Gang, rank: int, outcome: Outcome) -> None:
        async with self._changed:
            state.outcomes[rank] = outcome
            if len(state.outcomes) == state.num_workers:
                self._settle(state)
                return
        if isinstance(outcome, Failed):
            await self._await_others(state, state.generation, state.order_number)

    async def _await_others(self, state: _Gang, generation: int, order_number: int) -> None:
        """Give the other workers time to fail too; else find out whether one is dead."""
        deadline_s = self._clock() + FAILURE_GRACE_S
        while self._clock() < deadline_s:
            missing = [rank for rank in state.workers if rank not in state.outcomes]
            is_past = (state.generation, state.order_number) != (generation, order_number)
            if is_past or state.order is None or not missing:
                return
            alive = [await self._is_alive(state.workers[rank]) for rank in missing]
            if not all(alive):
                break
            await asyncio.sleep(0.05)
        async with self._changed:
            if (state.generation, state.order_number) != (generation, order_number):
                return
            missing = [rank for rank in state.workers if rank not in state.outcomes]
            if state.order is None or not missing:
                return
            alive = [await self._is_alive(state.workers[rank]) for rank in missing]
            if all(alive):
                self._settle(state)  # the others hang in a collective: the trial is to blame
            else:
                dead = [rank for rank, lives in zip(missing, alive, strict=True) if not lives]
                self._drop_lease(state, f"worker {dead[0]} died")
            state.order = Restart("its workers are out of step after a failure")
            state.workers = {}
            self._changed.notify_all()

    async def _is_alive(self, seat: Seat) -> bool:
        return True if self._probe is None else await self._probe(seat.handle)

    def _settle(self, state: _Gang) -> None:
        """Answer the trial once every outcome, or every one that will come, is there."""
        failures = [o for _, o in sorted(state.outcomes.items()) if isinstance(o, Failed)]
        first = state.outcomes.get(0)
        reply: Reply
        if failures:
            reply = TrialFailure(failures[0].reason, failures[0].traceback)
            state.was_failed = True
        else:
            assert isinstance(first, Done)
            seconds = 0.0 if state.lease is None else self._gang_seconds(state.lease)
            reply = Finished(first.result, seconds, state.generation)
        state.order, state.outcomes = None, {}
        if state.reply is not None and not state.reply.done():
            state.reply.set_result(reply)
        self._changed.notify_all()

    # --- trials

    async def lease(self, trial_id: str) -> Ticket:
        """Wait for a free gang and lease it; an older lease of the same trial is void.

        Raises:
            NoGangLeftError: if every gang was closed.
            LeaseVoidError: if the trial was released, or asked again, in the meantime.
        """
        async with self._changed:
            self._end_lease(trial_id)
            request = self._num_requests[trial_id]
            while True:
                if self._is_closing or self._num_requests[trial_id] != request:
                    raise LeaseVoidError(f"{trial_id} needs no gang any more")
                if all(state.close_reason is not None for state in self._gangs):
                    raise NoGangLeftError(self._gangs[0].close_reason)
                for index, state in enumerate(self._gangs):
                    if state.is_ready and state.lease is None and state.order is None:
                        self._num_leases += 1
                        ticket = Ticket(self._num_leases, trial_id, index, state.generation)
                        state.lease = _Lease(ticket, self._clock())
                        self._leases[trial_id] = index
                        return ticket
                await self._changed.wait()

    async def order(self, ticket: Ticket, order: Order) -> Reply:
        """Have an order carried out by all workers of the leased gang."""
        async with self._changed:
            state = self._gangs[ticket.gang]
            if state.lease is None or state.lease.ticket != ticket:
                return Lost("the lease is no longer valid")
            if isinstance(state.order, Restart):
                return Lost("the gang starts again")
            if isinstance(order, Start) and state.was_failed:
                order = replace(order, is_after_failure=True)
                state.was_failed = False
            reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
            state.reply, state.outcomes = reply, {}
            state.order, state.order_number = order, state.order_number + 1
            self._changed.notify_all()
        return await reply

    async def release(self, ticket: Ticket) -> None:
        """Give the gang back."""
        async with self._changed:
            state = self._gangs[ticket.gang]
            if state.lease is not None and state.lease.ticket == ticket:
                self._end_lease(ticket.trial_id)

    # --- driver

    async def release_trial(self, trial_id: str) -> None:
        """End whatever lease a trial holds: it is over, or its actor died."""
        async with self._changed:
            self._end_lease(trial_id)

    async def lose_gang(self, gang: int, reason: str) -> None:
        """Say that a gang's run ended by itself; its next run will join again."""
        async with self._changed:
            self._drop_lease(self._gangs[gang], reason)
            self._gangs[gang].workers = {}
            self._changed.notify_all()

    async def close_gang(self, gang: int, reason: str) -> None:
        """Say that a gang will not come back."""
        async with self._changed:
            self._drop_lease(self._gangs[gang], reason)
            self._gangs[gang].close_reason = reason
            self._changed.notify_all()

    async def close(self) -> None:
        """Send every worker home once its order is done."""
        async with self._changed:
            self._is_closing = True
            for state in self._gangs:
                self._drop_lease(state, "the sweep is over")
            self._changed.notify_all()

    async def ledger(self) -> dict[str, float]:
        """Return the seconds for which each trial has held a gang, running leases included."""
        seconds = dict(self._seconds_before)
        for state in self._gangs:
            if state.lease is not None:
                seconds[state.lease.ticket.trial_id] = self._gang_seconds(state.lease)
        return seconds

    async def snapshot(self) -> list[dict[str, Any]]:
        """Tell of each gang: index, generation, whether it is ready, and whose it is."""
        return [
            {
                "gang": index,
                "generation": state.generation,
                "is_ready": state.is_ready,
                "ready_s": state.ready_s,
                "workers": [(seat.host, seat.pid) for _, seat in sorted(state.workers.items())],
                "trial_id": state.lease.ticket.trial_id if state.lease else None,
                "close_reason": state.close_reason,
            }
            for index, state in enumerate(self._gangs)
        ]

    # --- the ledger of leases

    def _gang_seconds(self, lease: _Lease) -> float:
        before = self._seconds_before[lease.ticket.trial_id]
        return before + self._clock() - lease.started_s

    def _end_lease(self, trial_id: str) -> None:
        self._num_requests[trial_id] += 1
        self._changed.notify_all()
        gang = self._leases.pop(trial_id, None)
        if gang is None:
            return
        state = self._gangs[gang]
        if state.lease is not None and state.lease.ticket.trial_id == trial_id:
            self._seconds_before[trial_id] = self._gang_seconds(state.lease)
            state.lease = None
            if state.reply is not None and not state.reply.done():
                state.reply.set_result(Lost("the lease was ended"))

    def _drop_lease(self, state: _Gang, reason: str) -> None:
        if state.reply is not None and not state.reply.done():
            state.reply.set_result(Lost(reason))
        if state.lease is not None:
            self._end_lease(state.lease.ticket.trial_id)
