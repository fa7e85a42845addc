"""After the search: finalists are trained again with further seeds.

A finalist's own figures chose it, so they flatter it. Those of further trainings, as it was trained
but for the seed, don't. What remains of them is `seeds.parquet`: their checkpoints are deleted.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import ray

from analysis.records import SEEDS_FILE, SEEDS_SCHEMA
from sweeps.errands import CarryOut, Errand, ErrandError, FailedErrandError
from sweeps.gangs_table import clock_words
from sweeps.held_sweep import HeldSweep
from sweeps.journal import Event
from sweeps.lineage import LineageTraining, Segment, segments
from sweeps.trial_record import Pricing, TrialRecord
from trainables.checkpoint_store import checkpoint_location, delete_checkpoint
from trainables.examine import ExamineOptions
from trainables.orders import Examine, Ticket

EVENT: Final = "retrained"
"""What the journal calls a further training that has ended."""

TELL_INTERVAL_S: Final = 15.0


def retrain(held: HeldSweep, finalists: Sequence[TrialRecord]) -> None:
    """Train finalists with further seeds on the held gangs, as far as the budget and the user let.

    Each finalist's first further training comes before any second one: where not all are paid, all
    finalists have some.
    """
    num_seeds = held.sweep.plan.spec.seeds
    if not num_seeds or held.stop.is_set():
        return
    past = () if held.sweep.past is None else held.sweep.past.all_events
    table = SeedsTable(held, past)
    wanted = [
        (trial, seed)
        for seeds in zip(*(further_seeds(t, num_seeds) for t in finalists), strict=True)
        for trial, seed in zip(finalists, seeds, strict=True)
        if not table.has(trial.trial_id, seed)
    ]
    test = [ray.put(held.sweep.data.test)]
    progress = _Progress(sum(segments_of(*pair)[-1][1] for pair in wanted), len(wanted))
    trainings = [_Retraining(held, *pair, test, table, progress) for pair in wanted]
    if trainings:
        names = ", ".join(trial.trial_id for trial in finalists)
        held.tell(f"training finalists again, {len(trainings)} times in all: {names}")
    with ThreadPoolExecutor(max_workers=held.sweep.plan.gangs.num_gangs) as pool:
        unmade = [why for why in pool.map(_Retraining.run, trainings) if why is not None]
    if unmade:
        held.tell(f"{len(unmade)} of {len(trainings)} further trainings were not made: {unmade[0]}")


def further_seeds(trial: TrialRecord, num_seeds: int) -> list[int]:
    """Return seeds for further trainings of a trial, none of them of its lineage.

    The first ones are the same however many are asked for.
    """
    own = {config["seed"] for config, _ in segments_of(trial, None)}
    generator = np.random.default_rng((trial.config["seed"], 1))
    seeds: dict[int, None] = {}  # in the order in which they were drawn
    while len(seeds) < num_seeds:
        seed = int(generator.integers(2**31))
        if seed not in own:
            seeds[seed] = None
    return list(seeds)


def segments_of(trial: TrialRecord, seed: int | None) -> list[Segment]:
    """Return a trial's lineage as it is followed with another seed; None: with its own ones.

    Where the trial's patience ended it, that of a further training does so too.
    """
    lineage = segments({"lineage": trial.lineage, "epoch": trial.epoch})
    changes = {} if seed is None else {"seed": seed}
    reseeded: list[Segment] = [({**config, **changes}, end) for config, end in lineage]
    if trial.is_stopped_early:
        config, _ = reseeded[-1]
        reseeded[-1] = config, int(config["num_epochs"])
    return reseeded


class SeedsTable:
    """`seeds.parquet`, and what the journal keeps of it; many threads add to it.

    Args:
        held: its sweep.
        past: events of earlier processes.
    """

    def __init__(self, held: HeldSweep, past: Iterable[Event]) -> None:
        self._held = held
        self._guard = threading.Lock()
        self._rows = [dict(event.fields) for event in past if event.kind == EVENT]
        self._write()

    def has(self, trial_id: str, seed: int) -> bool:
        """Tell whether a further training has ended."""
        return any((row["trial_id"], row["seed"]) == (trial_id, seed) for row in self._rows)

    def add(self, row: Mapping[str, Any]) -> None:
        """Enter a further training that has ended, once the journal has it."""
        with self._guard:
            self._held.journal.append(EVENT, is_synced=True, **row)
            self._rows.append(dict(row))
            self._write()

    def _write(self) -> None:
        rows = sorted(self._rows, key=lambda row: row["trial_id"])
        self._held.sweep.folder.write_table(SEEDS_FILE, SEEDS_SCHEMA, rows)


@dataclass
class _Progress:
    """How far all further trainings have come; many threads tell of it."""

    num_epochs: int
    num_trainings: int
    num_epochs_done: int = 0
    num_ended: int = 0
    guard: threading.Lock = field(default_factory=threading.Lock)
    started_s: float = field(default_factory=time.monotonic)
    told_s: float = field(default_factory=time.monotonic)

    def add_epoch(self) -> str | None:
        """Count an epoch; return a line where none was shown for a while."""
        with self.guard:
            self.num_epochs_done += 1
            if time.monotonic() - self.told_s < TELL_INTERVAL_S:
                return None
            return f"further trainings: {self._words()}"

    def end(self, num_left: int) -> str:
        """Count a training that has ended before so many of its epochs; say how far all are."""
        with self.guard:
            self.num_ended += 1
            self.num_epochs -= num_left
            return self._words()

    def _words(self) -> str:
        self.told_s = time.monotonic()
        # Epochs that were trained again after a loss count twice.
        left = max(0, self.num_epochs - self.num_epochs_done)
        epoch_s = (self.told_s - self.started_s) / max(1, self.num_epochs_done)
        to_go = f", {clock_words(left * epoch_s)} to go" if left else ""
        return f"{self.num_ended} of {self.num_trainings} ended{to_go}"


class _Retraining:
    """A further training of a finalist.

    Args:
        held: the sweep.
        trial: the finalist.
        seed: of this training.
        test: reference of the test part.
        table: that it ends in.
        progress: of all.
    """

    def __init__(
        self,
        held: HeldSweep,
        trial: TrialRecord,
        seed: int,
        test: list[Any],
        table: SeedsTable,
        progress: _Progress,
    ) -> None:
        self._held, self._trial, self._seed = held, trial, seed
        self._table, self._progress = table, progress
        spec = held.sweep.plan.spec
        self._order = Examine(test, ExamineOptions(0, 0, spec.seed))
        self._name = f"{trial.trial_id}.seed_{seed}"
        self._training = LineageTraining(
            segments_of(trial, seed), self._hear, spec.checkpoint_epochs, trial.is_stopped_early
        )
        self._superseded: str | None = None

    def run(self) -> str | None:
        """Train and enter what came of it; return why it was not made, or None."""
        held = self._held
        if held.stop.is_set():
            return "the sweep was interrupted"
        errand = Errand(held.desk, self._name, "retraining", self._trial.trial_id, held.stop.is_set)
        end = self._training.segments[-1][1]
        try:
            found = errand.run(self._train, lambda: self._training.saved_epoch)
        except FailedErrandError as error:
            row = self._row(errand, {"status": "failed", "reason": str(error)})
            words = f"failed after epoch {row['epoch']}: {error}"
        except ErrandError as error:
            return str(error)
        else:
            tested = {f"test_{name}": value for name, value in found["scores"].items()}
            row = self._row(errand, {**self._training.result, **tested, "status": "finished"})
            words = (
                f"{row['epoch']} epochs, val_accuracy {row['val_accuracy']:.4f}, test_accuracy "
                f"{row['test_accuracy']:.4f}"
            )
        finally:
            self._delete(f"{held.sweep.storage}/{self._name}")
        self._table.add(row)
        far = self._progress.end(end - row["epoch"])
        held.tell(f"{self._trial.trial_id} with seed {self._seed}: {words} ({far})")
        return None

    def _train(self, carry_out: CarryOut, ticket: Ticket) -> dict[str, Any]:
        """Train to the end, and return what the test part says."""
        root, lease_id = self._held.sweep.storage, ticket.lease_id
        self._training.go_on(
            carry_out, lambda epoch: checkpoint_location(root, self._name, epoch, lease_id)
        )
        return carry_out(self._order)

    def _hear(self, result: Mapping[str, Any]) -> None:
        """Delete the checkpoint before the one that was written; say how far all trainings are."""
        if result["checkpoint"] is not None:
            if self._superseded is not None:
                self._delete(self._superseded)
            self._superseded = result["checkpoint"]
        line = self._progress.add_epoch()
        if line is not None:
            self._held.tell(line)

    def _delete(self, location: str) -> None:
        with contextlib.suppress(OSError):  # a storage that is out keeps it
            delete_checkpoint(location)

    def _row(self, errand: Errand, known: Mapping[str, Any]) -> dict[str, Any]:
        """Return the row of `seeds.parquet`; what isn't known is null."""
        sweep = self._held.sweep
        gpus, usd = sweep.plan.gangs.gpus_per_gang, sweep.spending.usd_per_gang_hour
        return {
            **{name: known.get(name) for name in SEEDS_SCHEMA.names},
            "trial_id": self._trial.trial_id,
            "seed": self._seed,
            "epoch": self._training.result.get("epoch", 0),
            "gpu_seconds": errand.held_seconds * gpus,
            "cost_usd": Pricing(gpus, usd).cost_usd(errand.held_seconds),
        }
