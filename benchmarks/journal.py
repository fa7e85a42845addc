"""What the journal costs: a report written down, and a large sweep read again for `--resume`.

    python benchmarks/journal.py [--trials 10000] [--reports 10] [--folder DIR]

Prints the time of an append with and without waiting for the disk (median, 95th percentile), and
the seconds from the journal's files to records and a scheduler that know all of it. Nothing is
trained; reports have as many columns as real ones.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from analysis.records import RESULTS_SCHEMA, Objective
from sweeps.journal import Journal, read_journal
from sweeps.past import read_past
from sweeps.recorder import SweepRecorder
from sweeps.run_folder import RunFolder
from sweeps.schedulers.journaled import JournaledScheduler
from sweeps.schedulers.mo_asha import HalvingOptions, MoAsha
from sweeps.schedulers.tune_adapter import TuneAdapter
from sweeps.trial_record import Architecture, Pricing
from trainables.trial_config import TrialConfig


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--reports", type=int, default=10)
    parser.add_argument("--folder", type=Path, default=None)
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=flags.folder) as scratch:
        folder = RunFolder(Path(scratch) / "run", overwrite=False)
        folder.create()
        _time_appends(folder.journal / "appends")
        _write_sweep(folder, flags.trials, flags.reports)
        _time_resume(folder, flags.trials)


def _report(
    draw: np.random.Generator, trial_id: str, epoch: int, num_epochs: int
) -> dict[str, Any]:
    numbers = {
        name: float(value) for name, value in zip(_FLOATS, draw.random(len(_FLOATS)), strict=True)
    }
    return numbers | {
        "trial_id": trial_id,
        "epoch": epoch,
        "checkpoint": f"checkpoints/{trial_id}/epoch_{epoch:04d}-1",
        "done": epoch == num_epochs,
    }


_FLOATS = [field.name for field in RESULTS_SCHEMA if str(field.type) in ("double", "float")]


def _time_appends(folder: Path) -> None:
    draw = np.random.default_rng(0)
    journal = Journal(folder)
    for is_synced in (False, True):
        times_ms = []
        for number in range(1_000):
            result = _report(draw, "trial_0000", number, 0)
            begun_s = time.perf_counter()
            journal.append("report", is_synced=is_synced, trial_id="trial_0000", result=result)
            times_ms.append(1000 * (time.perf_counter() - begun_s))
        words = "and on the disk" if is_synced else "with the system"
        median, high = np.percentile(times_ms, (50, 95))
        print(f"a report {words}: {median:.3f} ms (95th percentile {high:.3f} ms), n = 1,000")
    journal.close()


def _write_sweep(folder: RunFolder, num_trials: int, num_reports: int) -> None:
    """Write what a sweep of trials that ended would have left."""
    draw = np.random.default_rng(1)
    journal = Journal(folder.journal)
    config = TrialConfig().to_dict()
    for number in range(num_trials):
        journal.append("add", trial_id=f"trial_{number:05d}", config=config)
    journal.append("drawn")
    for number in range(num_trials):
        trial_id = f"trial_{number:05d}"
        journal.append("admit", trial_id=trial_id, config=config)
        journal.append("begin", trial_id=trial_id)
        for epoch in range(1, num_reports + 1):
            result = _report(draw, trial_id, epoch, num_reports)
            journal.append(
                "report",
                trial_id=trial_id,
                result=result,
                decision="CONTINUE",
                is_contended=False,
            )
        journal.append("finish", trial_id=trial_id, status="completed", reason=None)
    journal.close()


def _time_resume(folder: RunFolder, num_trials: int) -> None:
    def timed(what: str, action: Callable[[], Any]) -> Any:
        begun_s = time.perf_counter()
        found = action()
        print(f"{what}: {time.perf_counter() - begun_s:.2f} s")
        return found

    size_mb = sum(path.stat().st_size for path in folder.journal.glob("*.log")) / 1e6
    print(f"{num_trials:,} trials, {size_mb:.0f} MB of journal")
    events = timed("read", lambda: read_journal(folder.journal))
    past = timed("followed", lambda: read_past(events))
    recorder = SweepRecorder(folder, lambda _: Architecture("a", {}), Pricing(0, None), ())
    timed("records", lambda: recorder.replay(past.events))
    objectives = (Objective("val_loss", "min"), Objective("latency_ms", "min"))
    scheduler = MoAsha(objectives, ["latency_ms"], HalvingOptions(27))
    latencies = iter(np.random.default_rng(2).random(num_trials))
    adapter = TuneAdapter(scheduler, lambda _: {"latency_ms": float(next(latencies))})
    journaled = JournaledScheduler(adapter, lambda *_, **__: None)
    timed("MO-ASHA", lambda: journaled.replay(past.all_events))
    timed("tables written", recorder.flush)


if __name__ == "__main__":
    main()
