"""Follows the ledger while gangs are held: writes it down, and ends a sweep that is spent."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import ray

from analysis.records import GANGS_FILE, LEDGER_FILE, LEDGER_SCHEMA
from sweeps.gangs import kill_gangs
from sweeps.gauges import SweepGauges
from sweeps.journal import Write
from sweeps.run_folder import RunFolder
from sweeps.spending import Spending
from sweeps.trial_record import TrialRecord
from trainables.cost import time_usd
from trainables.ledger import Account, GangStanding, Span, Standing

POLL_S: Final = 0.25
WRITE_INTERVAL_S: Final = 5.0
ARRIVAL_INTERVAL_S: Final = 1.0
JOURNAL_INTERVAL_S: Final = 1.0
"""Seconds of held gangs that a killed driver leaves uncounted, at most."""


class LedgerWatch:
    """Looks at the desk's ledger four times a second, from a thread of its own.

    Attributes:
        standing: as it was last seen; None before the desk is up.
        spent: why the budget ended the search; None if it did not.

    Args:
        desk: handle of the lease desk.
        spending: with the budget, if there is one.
        folder: where the ledger is written, and what the gangs do.
        trials: returns the trials as the recorder has them, and those to come; read only.
        links: of the cluster, to be written down.
        write: puts what was held into the journal.
        num_there: returns of how many gangs the nodes are there; None: of all.
        past: spans of earlier processes of the sweep, on the clock of the Unix epoch.
        tell: hears what workers say that the user shall know at once.
    """

    def __init__(
        self,
        desk: ray.actor.ActorHandle,
        spending: Spending,
        folder: RunFolder,
        trials: Callable[[], list[TrialRecord]],
        links: Mapping[str, Any],
        *,
        write: Write,
        num_there: Callable[[], int] | None = None,
        past: Sequence[Span] = (),
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.standing: Standing | None = None
        self.spent: str | None = None
        self._desk = desk
        self._spending = spending
        self._folder = folder
        self._trials = trials
        self._tell = tell
        self._num_there = num_there
        self._arrivals_s = time.monotonic()
        self._write_event = write
        self._to_unix_s = time.time() - time.monotonic()
        self._spans = list(past)
        self._num_past = len(self._spans)
        self._links = links
        self._gauges = SweepGauges(folder.path.name, spending.usd_per_gang_hour)
        self._gangs: dict[int, GangStanding] = {}  # as they were last seen
        self._written_s = time.monotonic()
        self._journalled_s = self._written_s
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="ledger", daemon=True)
        self._thread.start()

    def stop(self) -> Account:
        """Write the whole ledger, and return its sums; the gangs have ended."""
        self._stopping.set()
        self._thread.join()
        self._journal()
        self._write()
        return self.account()

    def account(self) -> Account:
        """Return the ledger's sums, those of earlier processes of the sweep included."""
        account: Account = ray.get(self._desk.account.remote())
        for span in self._spans[: self._num_past]:
            account.add(span)
        return account

    def refusal(self, trial_id: str, config: Mapping[str, Any]) -> str | None:
        """Return why the budget can't pay a trial up to its first checkpoint; None if it can."""
        if self._spending.budget is None:
            return None
        spec = self._spending.plan.spec
        num_epochs = min(spec.checkpoint_epochs, self._spending.plan.num_epochs)
        why: str | None = ray.get(self._desk.refusal.remote(trial_id, config, num_epochs))
        return why

    def denial(self, trial_id: str) -> str | None:
        """Return why the budget denied a trial its next epochs; None if it did not."""
        return None if self._spending.budget is None else self.denials().get(trial_id)

    def denials(self) -> dict[str, str]:
        """Return why trials were denied an epoch, by trial."""
        denials: dict[str, str] = ray.get(self._desk.denials.remote())
        return denials

    def _watch(self) -> None:
        wait_s = 0.0
        while not self._stopping.wait(wait_s):
            try:
                wait_s = self._look()
            except ray.exceptions.RayError:
                return  # Ray is gone, and the gangs with it

    def _look(self) -> float:
        """Do what is due; return in how many seconds to look again."""
        standing: Standing = ray.get(self._desk.standing.remote())
        self.standing = standing
        for line in ray.get(self._desk.take_notices.remote()):
            self._tell(line)
        self._await_nodes(standing)
        self._gangs |= {gang.gang: gang for gang in standing.gangs}
        self._spending.look(self._trials(), standing)
        if time.monotonic() - self._journalled_s >= JOURNAL_INTERVAL_S:
            self._journal()
        if time.monotonic() - self._written_s >= WRITE_INTERVAL_S:
            self._gauges.show(self._trials(), standing)
            self._write()
        budget = self._spending.budget
        if budget is None or standing.holding.num_held == 0:
            return POLL_S
        left_s = budget.until_end_s(standing.holding)
        if left_s <= 0:
            self.spent = "what still ran was given up"
            ray.get(self._desk.give_up.remote("the budget was spent while it ran"))
            kill_gangs(self._desk)
            return POLL_S
        if standing.is_spent and self.spent is None:
            self.spent = "it could not pay another epoch"
        return min(POLL_S, left_s)

    def _await_nodes(self, standing: Standing) -> None:
        """Look whether nodes have come for gangs that are not held yet."""
        is_due = time.monotonic() - self._arrivals_s >= ARRIVAL_INTERVAL_S
        is_awaited = any(gang.kind == "awaited" for gang in standing.gangs)
        if self._num_there is not None and is_due and is_awaited:
            ray.get(self._desk.arrive.remote(self._num_there()))
            self._arrivals_s = time.monotonic()

    def _journal(self) -> None:
        """Put into the journal what has ended since, and what is open as if it were lost now."""
        num_known = len(self._spans) - self._num_past
        ended, still_open = (
            [span.later(self._to_unix_s) for span in spans]
            for spans in ray.get(self._desk.ledger.remote(num_known))
        )
        self._write_event(
            "held",
            ended=[dataclasses.astuple(span) for span in ended],
            open=[dataclasses.astuple(span) for span in still_open],
        )
        self._spans += ended
        self._journalled_s = time.monotonic()

    def _write(self) -> None:
        self._written_s = time.monotonic()
        if self._spans:
            self._folder.write_table(LEDGER_FILE, LEDGER_SCHEMA, self._rows())
        content = {
            "written_unix_s": time.time(),
            "have_ended": self._stopping.is_set(),
            "usd_per_gang_hour": self._spending.usd_per_gang_hour,
            "gangs": [dataclasses.asdict(gang) for gang in self._gangs.values()],
            **self._links,
        }
        self._folder.write_json(GANGS_FILE, content)

    def _rows(self) -> list[dict[str, Any]]:
        usd = self._spending.usd_per_gang_hour
        first_s = min(span.started_s for span in self._spans)
        return [
            {
                **vars(span),
                "started_s": span.started_s - first_s,
                "ended_s": span.ended_s - first_s,
                "cost_usd": None if usd is None else time_usd(span.seconds, usd),
            }
            for span in self._spans
        ]
