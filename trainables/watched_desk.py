"""The lease desk that looks after its gangs: hangs, nodes that go away, nodes that fail. Pure.

Once a second `look` is told which nodes Ray drains. A gang that hangs is lost, as if its workers
had died. One on a draining node goes on until its order is done; then its trial is told to save
and to move (`Finished.is_to_move`), and the gang starts again on other nodes. A gang on a node
that fails again and again is not leased any more, and starts again elsewhere.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from trainables.gang_state import GangState, Seat
from trainables.hang import GangPulse
from trainables.lease import LeaseDesk
from trainables.node_losses import MAX_LOSSES, NodeLosses
from trainables.orders import Finished, Order, Reply, Restart, Start, Ticket, TrainEpoch

LOOK_INTERVAL_S: Final = 1.0
LATE_LOOK_S: Final = 5.0
"""A look that comes so late says that the desk was stopped itself, with the whole machine maybe."""


@dataclass(frozen=True)
class Findings:
    """What a look has found.

    Attributes:
        doomed: handles of actors to kill, so that Ray Train starts their gang again.
        lines: for the user.
    """

    doomed: tuple[Any, ...] = ()
    lines: tuple[str, ...] = ()


class WatchedDesk(LeaseDesk):
    """See the module's text; takes what `LeaseDesk` takes."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._pulses = [GangPulse() for _ in self._gangs]
        self._losses = NodeLosses()
        self._avoided: set[str] = set()
        self._draining: dict[str, float] = {}  # node -> deadline, seconds since the epoch; 0: none
        self._told: set[tuple[int, int]] = set()  # (gang, generation) that was said to move
        self._looked_s = self._clock()

    # --- workers

    async def join(self, gang: int, group_id: str, rank: int, seat: Seat) -> int:
        """As `LeaseDesk.join`."""
        if self._gangs[gang].group_id != group_id:
            self._pulses[gang].begin_group()
        return await super().join(gang, group_id, rank, seat)

    async def beat(self, gang: int, generation: int, rank: int, num_steps: int) -> None:
        """Hear how many steps a worker has done."""
        state = self._gangs[gang]
        if state.generation == generation:
            self._pulses[gang].enter(rank, num_steps, state.ordered_s, self._clock())

    # --- trials

    async def order(self, ticket: Ticket, order: Order) -> Reply:
        """As `LeaseDesk.order`; the answer says if the trial shall save and move."""
        state, pulse = self._gangs[ticket.gang], self._pulses[ticket.gang]
        if isinstance(order, Start) and state.lease is not None and state.lease.ticket == ticket:
            pulse.begin_trial(is_compiled=bool(order.config.get("is_compiled")))
        reply = await super().order(ticket, order)
        if isinstance(reply, Finished) and reply.generation == state.generation:
            if isinstance(order, TrainEpoch):
                pulse.end_epoch()
            return replace(reply, is_to_move=self._must_move(state))
        return reply

    def _is_free(self, state: GangState) -> bool:
        return super()._is_free(state) and not self._must_move(state)

    def _must_move(self, state: GangState) -> bool:
        return bool(_nodes_of(state) & (self._draining.keys() | self._avoided))

    # --- looks

    async def look(self, draining: Mapping[str, float]) -> Findings:
        """Find what is wrong with gangs, and take it away from trials.

        Args:
            draining: nodes that go away, with the deadline [s since the Unix epoch]; 0: none.
        """
        async with self._changed:
            self._draining = dict(draining)
            now_s = self._clock()
            if now_s - self._looked_s > LATE_LOOK_S:
                for pulse in self._pulses:
                    pulse.forgive(now_s)
            self._looked_s = now_s
            found = Findings()
            if not self._is_closing:
                for state in self._gangs:
                    found = _joined(found, self._look_at(state))
                found = _joined(found, self._avoid())
            self._note()
            return found

    def _look_at(self, state: GangState) -> Findings:
        if state.order is None or isinstance(state.order, Restart):
            return self._move(state) if state.lease is None else self._announce(state)
        pending = [rank for rank in state.workers if rank not in state.outcomes]
        hang = self._pulses[state.index].find(pending, state.ordered_s, self._clock())
        if hang is None:
            return self._announce(state)
        doomed = tuple(seat.handle for seat in state.workers.values())
        lease = state.lease
        blamed = {state.workers[rank].node_id for rank in hang.silent_ranks} or _nodes_of(state)
        self._losses.enter(blamed - {""}, self._clock())
        # A loss counts once, on the nodes that are to blame.
        state.workers = {}
        self._drop_lease(state, f"gang {state.index} hangs: {hang.reason}")
        state.order = Restart("it hangs")
        whose = (
            "" if lease is None else f"; {lease.ticket.trial_id} goes on from its last checkpoint"
        )
        line = f"gang {state.index} hangs ({hang.reason}) and starts again{whose}"
        return Findings(doomed, (f"{line} (generation {state.generation})",))

    def _announce(self, state: GangState) -> Findings:
        """Say, once, that what runs on nodes that go away will move."""
        leaving = _nodes_of(state) & self._draining.keys()
        key = (state.index, state.generation)
        if not leaving or key in self._told:
            return Findings()
        self._told.add(key)
        deadline_s = min((self._draining[n] for n in leaving if self._draining[n]), default=0.0)
        within = f" in {max(0.0, deadline_s - time.time()):.0f} s" if deadline_s else ""
        hosts = ", ".join(sorted({s.host for s in state.workers.values() if s.node_id in leaving}))
        whose = "it" if state.lease is None else state.lease.ticket.trial_id
        line = f"{hosts} goes away{within}: {whose} saves after this epoch, and gang {state.index} "
        return Findings(lines=(f"{line}moves (generation {state.generation})",))

    def _move(self, state: GangState) -> Findings:
        """Start a gang again elsewhere once nobody holds it."""
        if not state.is_ready or not self._must_move(state):
            return Findings()
        is_avoided = bool(_nodes_of(state) & self._avoided)
        state.workers, state.order = {}, Restart("its node is left")
        # Only a new run asks for other nodes; Ray itself places nothing on one that it drains.
        return Findings((state.controller,) if is_avoided and state.controller is not None else ())

    def _avoid(self) -> Findings:
        """Find out anew which nodes are avoided, and say which are new."""
        in_use = set().union(*(_nodes_of(state) for state in self._gangs))
        before, self._avoided = self._avoided, self._losses.avoided(in_use, self._clock())
        lines = tuple(
            f"node {node[:8]} is avoided: {MAX_LOSSES} gangs were lost on it in the last hour, and "
            "none on another"
            for node in sorted(self._avoided - before)
        )
        return Findings(lines=lines)

    async def avoided(self) -> list[str]:
        """Return the ids of the nodes on which no gang shall start."""
        return sorted(self._avoided)

    def _drop_lease(self, state: GangState, reason: str, *, is_failure: bool = True) -> None:
        if not self._is_closing and not isinstance(state.order, Restart):
            self._losses.enter(_nodes_of(state), self._clock())
        super()._drop_lease(state, reason, is_failure=is_failure)


def _nodes_of(state: GangState) -> set[str]:
    return {seat.node_id for seat in state.workers.values()} - {""}


def _joined(first: Findings, second: Findings) -> Findings:
    return Findings(first.doomed + second.doomed, first.lines + second.lines)
