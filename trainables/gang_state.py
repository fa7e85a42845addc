"""What the lease desk knows of a gang."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from trainables.ledger import GangStanding, Span, SpanKind
from trainables.orders import Order, Outcome, Reply, Ticket

LeasePurpose = Literal["training", "examination", "retraining"]


@dataclass(frozen=True)
class Seat:
    """Where a worker runs, and what the liveness probe asks."""

    host: str
    pid: int
    handle: Any = None
    node_id: str = ""  # Ray's; empty where there is no Ray


@dataclass
class Lease:
    """A trial's hold on a gang.

    Attributes:
        owner: the trial that it is for; its further trainings have tickets of other names.
        config: of the last Start.
    """

    ticket: Ticket
    purpose: LeasePurpose
    owner: str
    config: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class GangState:
    """A gang, its workers and what they do."""

    index: int
    num_workers: int
    generation: int = 0
    group_id: str | None = None
    workers: dict[int, Seat] = field(default_factory=dict)  # by rank
    lease: Lease | None = None
    order: Order | None = None
    order_number: int = 0
    ordered_s: float = 0.0
    controller: Any = None  # Ray Train's, which would start the gang again
    taken: dict[int, int] = field(default_factory=dict)  # rank -> number of the last order taken
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    reply: asyncio.Future[Reply] | None = None
    was_failed: bool = False  # the last trial failed here, so process groups may be out of step
    close_reason: str | None = None
    has_ended: bool = False  # its workers are gone for good
    ready_s: float | None = None  # when its first generation was complete

    @property
    def is_ready(self) -> bool:
        """Whether all its workers have joined."""
        return self.close_reason is None and len(self.workers) == self.num_workers

    def activity(self) -> tuple[SpanKind, str | None]:
        """Return what the gang does now, and whose work it is."""
        if self.lease is not None:
            return self.lease.purpose, self.lease.owner
        if self.close_reason is None and self.ready_s is None:
            return "start_up", None
        # An order that nobody waits for any more is carried out to its end.
        return ("idle" if self.is_ready and self.order is None else "lost"), None

    def stand(self, span: Span) -> GangStanding:
        """Return what is done in an open span, and where."""
        hosts = tuple(seat.host for _, seat in sorted(self.workers.items()))
        return GangStanding(
            self.index, span.generation, span.kind, span.trial_id, span.seconds, hosts
        )

    def describe(self) -> dict[str, Any]:
        """Tell of the gang: its generation, whether it is ready, its workers and whose it is."""
        return {
            "gang": self.index,
            "generation": self.generation,
            "is_ready": self.is_ready,
            "ready_s": self.ready_s,
            "workers": [(seat.host, seat.pid) for _, seat in sorted(self.workers.items())],
            "trial_id": self.lease.ticket.trial_id if self.lease else None,
            "close_reason": self.close_reason,
        }
