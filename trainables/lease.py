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

The desk keeps the ledger (`trainables.ledger`), and a budget may stand at its gate.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from trainables.gang_state import GangState, Lease, LeasePurpose, Seat
from trainables.gate import Gate
from trainables.ledger import Account, Ledger, Span, Standing
from trainables.orders import (
    Close,
    Denied,
    Done,
    Failed,
    Finished,
    LeaseVoidError,
    Lost,
    NoGangLeftError,
    Order,
    Outcome,
    Reply,
    Restart,
    Start,
    Ticket,
    TrainEpoch,
    TrialFailure,
)

FAILURE_GRACE_S: Final = 5.0
"""How long the other workers of a gang have to report after the first of them failed."""


class LeaseDesk:
    """Brings trials and gangs together; see the module's text.

    Args:
        workers_per_gang: one entry per gang.
        payload: handed to every worker that asks.
        probe: tells whether the worker behind a handle is alive; asked only after a failure.
        clock: seconds, monotonic.
        held_from_s: when the gangs were asked for, on that clock; None: now.
        gate: asked before epochs are trained; None: all are.
        first_lease: the number of the first one; checkpoints are named by it.
        num_there: gangs whose nodes are there from the start; None: all.
    """

    def __init__(
        self,
        workers_per_gang: list[int],
        payload: Any = None,
        probe: Callable[[Any], Awaitable[bool]] | None = None,
        clock: Callable[[], float] = time.monotonic,
        held_from_s: float | None = None,
        gate: Gate | None = None,
        first_lease: int = 1,
        num_there: int | None = None,
    ) -> None:
        self._first_lease = first_lease
        self._gangs = [GangState(*numbers) for numbers in enumerate(workers_per_gang)]
        self._payload = payload
        self._probe = probe
        self._clock = clock
        self._gate = gate
        self._ledger = Ledger(len(self._gangs), clock, held_from_s, num_there)
        self._denials: dict[str, str] = {}  # trial_id -> why it was denied an epoch
        self._given_up: str | None = None  # why nothing is trained any more
        self._leases: dict[str, int] = {}  # trial_id -> gang
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
            self._note()
            return state.generation

    async def turn(self, gang: int, generation: int, rank: int, outcome: Outcome | None) -> Order:
        """Hand in the outcome of the last order (None at first); wait for the next."""
        state = self._gangs[gang]
        # Once a restart is ordered, what workers still say is of no use.
        is_awaited = state.generation == generation and not isinstance(state.order, Restart)
        if outcome is not None and is_awaited:
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

    async def _take_outcome(self, state: GangState, rank: int, outcome: Outcome) -> None:
        async with self._changed:
            state.outcomes[rank] = outcome
            if len(state.outcomes) == state.num_workers:
                self._settle(state)
                return
        if isinstance(outcome, Failed):
            await self._await_others(state, state.generation, state.order_number)

    async def _await_others(self, state: GangState, generation: int, order_number: int) -> None:
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
            self._note()

    async def _is_alive(self, seat: Seat) -> bool:
        return True if self._probe is None else await self._probe(seat.handle)

    def _settle(self, state: GangState) -> None:
        """Answer the trial once every outcome, or every one that will come, is there."""
        failures = [o for _, o in sorted(state.outcomes.items()) if isinstance(o, Failed)]
        first = state.outcomes.get(0)
        reply: Reply
        if failures:
            is_bad_checkpoint = all(failure.is_bad_checkpoint for failure in failures)
            reply = TrialFailure(failures[0].reason, failures[0].traceback, is_bad_checkpoint)
            state.was_failed = True
        else:
            assert isinstance(first, Done)
            seconds = 0.0 if state.lease is None else self._enter_outcome(state, first.result)
            reply = Finished(first.result, seconds, state.generation)
        state.order, state.outcomes = None, {}
        if state.reply is not None and not state.reply.done():
            state.reply.set_result(reply)
        self._note()

    def _enter_outcome(self, state: GangState, result: Mapping[str, Any]) -> float:
        """Enter what an order took; return the trial's gang-seconds so far."""
        assert state.lease is not None
        trial_id, now_s = state.lease.owner, self._clock()
        if result.get("checkpoint") is not None:
            self._ledger.mark_saved(state.index)
        if self._gate is not None and isinstance(state.order, TrainEpoch):
            seconds = now_s - state.ordered_s
            self._gate.observe(trial_id, state.lease.config, seconds, result)
        return self._ledger.seconds_of(trial_id)

    # --- trials

    async def lease(
        self, trial_id: str, purpose: LeasePurpose = "training", owner: str | None = None
    ) -> Ticket | Denied:
        """Wait for a free gang and lease it; an older lease of the same trial is void.

        Args:
            trial_id: who asks; its name stands on the ticket.
            purpose: what the ledger calls what is done.
            owner: the trial whose seconds these are; None: its own.

        Raises:
            NoGangLeftError: if every gang was closed.
            LeaseVoidError: if the trial was released, or asked again, in the meantime.
        """
        async with self._changed:
            self._end_lease(trial_id)
            request = self._num_requests[trial_id]
            while True:
                if self._given_up is not None:
                    return self._deny(trial_id, self._given_up)
                if self._is_closing or self._num_requests[trial_id] != request:
                    raise LeaseVoidError(f"{trial_id} needs no gang any more")
                if all(state.close_reason is not None for state in self._gangs):
                    raise NoGangLeftError(self._gangs[0].close_reason)
                for index, state in enumerate(self._gangs):
                    if self._is_free(state):
                        self._num_leases += 1
                        lease_id = self._first_lease + self._num_leases - 1
                        ticket = Ticket(lease_id, trial_id, index, state.generation)
                        state.lease = Lease(ticket, purpose, owner or trial_id)
                        self._leases[trial_id] = index
                        self._note()
                        return ticket
                await self._changed.wait()

    def _is_free(self, state: GangState) -> bool:
        return state.is_ready and state.lease is None and state.order is None

    async def order(self, ticket: Ticket, order: Order) -> Reply:
        """Have an order carried out by all workers of the leased gang."""
        async with self._changed:
            state = self._gangs[ticket.gang]
            if state.lease is None or state.lease.ticket != ticket:
                if self._given_up is not None:
                    return self._deny(ticket.trial_id, self._given_up)
                return Lost("the lease is no longer valid")
            if isinstance(state.order, Restart):
                return Lost("the gang starts again")
            if isinstance(order, Start):
                state.lease.config = order.config
            denial = self._refusal(state.lease, order)
            if denial is not None:
                return self._deny(ticket.trial_id, denial)
            if isinstance(order, Start) and state.was_failed:
                order = replace(order, is_after_failure=True)
                state.was_failed = False
            reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
            state.reply, state.outcomes = reply, {}
            state.order, state.order_number = order, state.order_number + 1
            state.ordered_s = self._clock()
            self._note()
        return await reply

    async def release(self, ticket: Ticket) -> None:
        """Give the gang back."""
        async with self._changed:
            state = self._gangs[ticket.gang]
            if state.lease is not None and state.lease.ticket == ticket:
                self._end_lease(ticket.trial_id)

    def _refusal(self, lease: Lease, order: Order) -> str | None:
        if self._gate is None or not isinstance(order, Start | TrainEpoch):
            return None
        if not order.num_to_save:
            return None
        return self._gate.refusal(
            lease.owner,
            lease.config,
            order.num_to_save,
            self._ledger.holding(),
            is_retraining=lease.purpose == "retraining",
        )

    def _deny(self, trial_id: str, reason: str) -> Denied:
        self._denials[trial_id] = reason
        return Denied(reason)

    # --- driver

    async def release_trial(self, trial_id: str) -> None:
        """End whatever lease a trial holds: it is over, or its actor died."""
        async with self._changed:
            self._end_lease(trial_id)

    async def lose_gang(self, gang: int, reason: str) -> bool:
        """Say that a gang's run ended by itself; return whether its next run shall join again."""
        async with self._changed:
            self._drop_lease(self._gangs[gang], reason)
            self._gangs[gang].workers = {}
            self._note()
            return not self._is_closing

    async def close_gang(self, gang: int, reason: str) -> None:
        """Say that a gang will not come back."""
        async with self._changed:
            self._drop_lease(self._gangs[gang], reason)
            self._gangs[gang].close_reason = reason
            self._note()

    async def close(self) -> None:
        """Send every worker home once its order is done."""
        async with self._changed:
            self._is_closing = True
            for state in self._gangs:
                self._drop_lease(state, "the sweep is over", is_failure=state.order is not None)
            self._note()
            self._close_ledger()

    async def give_up(self, reason: str) -> None:
        """Deny all that is asked for or in flight: what was saved last stays. Then close."""
        async with self._changed:
            self._given_up = reason
            for state in self._gangs:
                if state.lease is not None and state.reply is not None and not state.reply.done():
                    state.reply.set_result(self._deny(state.lease.ticket.trial_id, reason))
                # One whose controller has not begun is not placed, and won't be.
                state.has_ended = state.has_ended or state.controller is None
        await self.close()

    async def end_gang(self, gang: int) -> None:
        """Say that the workers of a gang have ended.

        Before the end of the sweep its part of the machines stands unused, and is held on.
        """
        self._gangs[gang].has_ended = True
        self._close_ledger()

    def _close_ledger(self) -> None:
        for state in self._gangs:
            if self._is_closing and state.has_ended:
                self._ledger.close(state.index)

    async def arrive(self, num_gangs: int) -> None:
        """Say that the nodes of so many gangs are there, in all."""
        if not self._is_closing:
            self._ledger.arrive(num_gangs)

    async def enter_controller(self, gang: int, controller: Any) -> bool:
        """Keep the handle of the actor that starts a gang's workers; return whether it shall."""
        self._gangs[gang].controller = controller
        return not self._is_closing

    async def actors(self) -> list[Any]:
        """Return the handles of all actors of the gangs, those that restart others first."""
        controllers = [gang.controller for gang in self._gangs if gang.controller is not None]
        seats = [seat for gang in self._gangs for seat in gang.workers.values()]
        return controllers + [seat.handle for seat in seats]

    # --- the ledger and the gate

    async def standing(self) -> Standing:
        """Return how far the gangs have come."""
        holding = self._ledger.holding()
        is_idle = all(state.order is None for state in self._gangs)
        is_spent = self._gate is not None and is_idle and self._gate.is_spent(holding)
        idle = self._ledger.account().by_kind.get("idle", 0.0)
        held = [self._gangs[span.gang].stand(span) for span in self._ledger.open_spans()]
        gangs = (*held, *self._ledger.awaited())
        return Standing(holding, is_spent, idle, self._num_leases, len(self._ledger.spans), gangs)

    async def account(self) -> Account:
        """Return the ledger's sums."""
        return self._ledger.account()

    async def ledger(self, first: int = 0) -> tuple[list[Span], list[Span]]:
        """Return the ledger's spans.

        Returns:
            Those that have ended, but for the `first` ones; those that are open, as if all gangs
            were lost at this moment.
        """
        return self._ledger.spans[first:], self._ledger.if_lost_now()

    async def refusal(
        self, trial_id: str, config: Mapping[str, Any], num_epochs: int
    ) -> str | None:
        """Return why a trial that has not begun can't be paid; None if it can."""
        if self._gate is None or self._given_up is not None:
            return self._given_up
        return self._gate.refusal(trial_id, config, num_epochs, self._ledger.holding())

    async def denials(self) -> dict[str, str]:
        """Return why trials were denied an epoch, by trial."""
        return dict(self._denials)

    async def snapshot(self) -> list[dict[str, Any]]:
        """Tell of each gang; see `GangState.describe`."""
        return [state.describe() for state in self._gangs]

    # --- how leases end

    def _end_lease(self, trial_id: str, *, is_failure: bool = False) -> None:
        """End a trial's lease, if it has one; with `is_failure` its unsaved work is lost."""
        self._num_requests[trial_id] += 1
        gang = self._leases.pop(trial_id, None)
        state = None if gang is None else self._gangs[gang]
        if state is not None and state.lease is not None:
            assert state.lease.ticket.trial_id == trial_id
            if is_failure or state.order is not None:
                self._ledger.lose(state.index)
            state.lease = None
            if state.reply is not None and not state.reply.done():
                state.reply.set_result(Lost("the lease was ended"))
        self._note()

    def _drop_lease(self, state: GangState, reason: str, *, is_failure: bool = True) -> None:
        if state.reply is not None and not state.reply.done():
            state.reply.set_result(Lost(reason))
        if state.lease is not None:
            self._end_lease(state.lease.ticket.trial_id, is_failure=is_failure)

    def _note(self) -> None:
        """Enter what every gang does now, and wake all who wait for a change."""
        for state in self._gangs:
            kind, trial_id = ("end", None) if self._is_closing else state.activity()
            self._ledger.turn_to(state.index, kind, trial_id, state.generation)
        self._changed.notify_all()
