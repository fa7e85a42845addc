"""A sweep while its gangs are held: what searches, and what looks at the finalists, need of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import ray

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
        tell: shows a line to the user, as it is.
        stop: set when the user wants it to end.
    """

    sweep: PreparedSweep
    recorder: SweepRecorder
    journal: Journal
    desk: ray.actor.ActorHandle
    watch: LedgerWatch
    keeper: CheckpointKeeper
    scratch: str
    tell: Callable[[str], None]
    stop: threading.Event

    @property
    def standstills(self) -> Mapping[str, Standstill]:
        """Where trials of an earlier process of the sweep stand."""
        past = self.sweep.past
        return {} if past is None else past.located(self.sweep.folder.locate)
