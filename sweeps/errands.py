"""What is done for a finalist after the search, on a gang that is leased for it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import ray

from trainables.gang_state import LeasePurpose
from trainables.orders import Denied, Finished, Lost, Order, Ticket, TrialFailure

MAX_LOSSES: Final = 3
"""Losses of its gang, without progress between them, after which an errand is given up."""

POLL_S: Final = 0.25
"""How often an errand that waits looks whether it shall stop."""

CarryOut = Callable[[Order], dict[str, Any]]
"""Has an order carried out on the leased gang; returns the result of rank 0."""

Result = TypeVar("Result")


class ErrandError(Exception):
    """Nothing came of an errand; the message is one line that says why."""


class FailedErrandError(ErrandError):
    """It failed by itself, or its gang was lost too often: it would do so again."""


class _GangLostError(Exception):
    """The leased gang was lost."""


@dataclass
class Errand:
    """Something to be done on one gang.

    Attributes:
        desk: of the gangs.
        name: stands on its tickets; one lease a name at a time.
        purpose: what the ledger calls it.
        owner: the trial that it is for.
        is_stopping: says whether it shall be left where it is.
        held_seconds: of gangs so far, by all its leases.
    """

    desk: ray.actor.ActorHandle
    name: str
    purpose: LeasePurpose
    owner: str
    is_stopping: Callable[[], bool] = lambda: False
    held_seconds: float = field(default=0.0, init=False)

    def run(
        self,
        work: Callable[[CarryOut, Ticket], Result],
        progress: Callable[[], int] = lambda: 0,
    ) -> Result:
        """Return what `work` returns; it is called again, on another lease, if its gang was lost.

        Args:
            work: gives orders.
            progress: how far it has come; more of it, and the losses before don't count.

        Raises:
            ErrandError: if nothing came of it.
        """
        losses, reached, reason = 0, progress(), ""
        while losses < MAX_LOSSES:
            try:
                return self._run_once(work)
            except _GangLostError as loss:
                losses = 1 if progress() > reached else losses + 1
                reached, reason = progress(), str(loss)
            except ray.exceptions.RayError as error:
                raise ErrandError(f"Ray failed: {str(error).splitlines()[0]}") from error
        raise FailedErrandError(f"its gang was lost {losses} times: {reason}")

    def _run_once(self, work: Callable[[CarryOut, Ticket], Result]) -> Result:
        try:
            ticket = self._wait_for(self.desk.lease.remote(self.name, self.purpose, self.owner))
        except ray.exceptions.RayTaskError as error:
            raise ErrandError(f"it got no gang: {error.cause}") from error
        if isinstance(ticket, Denied):
            raise ErrandError(ticket.reason)
        leased_s = time.monotonic()
        try:
            return work(lambda order: self._carry_out(ticket, order), ticket)
        finally:
            with contextlib.suppress(ray.exceptions.RayError):
                ray.get(self.desk.release.remote(ticket))
            self.held_seconds += time.monotonic() - leased_s

    def _carry_out(self, ticket: Ticket, order: Order) -> dict[str, Any]:
        reply = self._wait_for(self.desk.order.remote(ticket, order))
        if isinstance(reply, Lost):
            raise _GangLostError(reply.reason)
        if isinstance(reply, TrialFailure):
            raise FailedErrandError(reply.reason)
        if isinstance(reply, Denied):
            raise ErrandError(reply.reason)
        assert isinstance(reply, Finished)
        return dict(reply.result)

    def _wait_for(self, reference: Any) -> Any:
        while not self.is_stopping():
            with contextlib.suppress(ray.exceptions.GetTimeoutError):
                return ray.get(reference, timeout=POLL_S)
        # The desk forgets it with the lease, or with the wait for one.
        with contextlib.suppress(ray.exceptions.RayError):
            ray.get(self.desk.release_trial.remote(self.name))
        raise ErrandError("the sweep was interrupted")
