"""A sweep while its gangs are held: what searches, and what looks at the finalists, need of it."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass

import ray
from rich.console import Console

from sweeps.checkpoint_keeper import CheckpointKeeper
from sweeps.journal import Journal
from sweeps.ledger_watch import LedgerWatch
from sweeps.past import Standstill
from sweeps.prepared_sweep import PreparedSweep
from sweeps.recorder import SweepRecorder


@dataclass(frozen=True)
class HeldSweep:
    """See the module's text.

    Attributes:
        sweep: as it was prepared.
        recorder: of its trials.
        journal: what happens is written to.
        desk: handle of the lease desk.
        watch: of its ledger.
        keeper: of its checkpoints.
        scratch: folder for what Ray Tune wants to write.
        shown: what the user sees.
        stop: set when the user wants it to end.
    """

    sweep: PreparedSweep
    recorder: SweepRecorder
    journal: Journal
    desk: ray.actor.ActorHandle
    watch: LedgerWatch
    keeper: CheckpointKeeper
    scratch: str
    shown: Console
    stop: threading.Event

    def tell(self, line: str) -> None:
        """Show a line to the user, as it is."""
        self.shown.print(line, highlight=False, markup=False, soft_wrap=True)

    @property
    def standstills(self) -> Mapping[str, Standstill]:
        """Where trials of an earlier process of the sweep stand."""
        past = self.sweep.past
        return {} if past is None else past.located(self.sweep.folder.locate)
