"""How long a sweep takes to train again after it lost a part, and to end after Ctrl-C.

Rounds of three short sweeps on digits, one gang of two workers, in turn: one whose worker is killed
(SIGKILL), one whose driver is killed and that is resumed, one that gets SIGINT. Times are read off
the journal's growth, every 10 ms:

- start: from the command to the first report of an epoch; cold start of a gang: from the moment at
  which the gang was held to its first step;
- after a worker's death: from the kill to the next report, against the cold start (asked: 1.3);
- after the driver's: from `--resume` to the next report, against the start (asked: 1.5);
- Ctrl-C: from the signal to the end of the process (asked: 20 s), its exit code, and whether any
  process that it had started still runs.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.processes import descendants  # noqa: E402

SWEEP = (
    "--dataset digits --models resnet8 --widths 8 --epochs 40 --trials 40 --gangs 1 "
    "--workers-per-trial 2 --finalists 0"
)
REPORTS_BEFORE = 6
"""Epochs that a sweep trains before something happens to it."""


@dataclass
class Found:
    """What was measured, in seconds, an entry a round."""

    starts: list[float] = field(default_factory=list)
    cold_starts: list[float] = field(default_factory=list)
    after_worker: list[float] = field(default_factory=list)
    after_driver: list[float] = field(default_factory=list)
    interrupts: list[float] = field(default_factory=list)


class Sweep:
    """A sweep in a process of its own; waits for reports in its journal."""

    def __init__(self, run: Path, *flags: str) -> None:
        self.run = run
        self.num_before = self._num_reports()
        self.started_s = time.monotonic()
        command = [sys.executable, str(ROOT / "sweeps/random_cifar.py"), *flags]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)

    def _num_reports(self) -> int:
        files = (self.run / "journal").glob("*.log")
        return sum(path.read_bytes().count(b'"kind": "report"') for path in files)

    def await_reports(self, count: int) -> float:
        """Wait until so many more epochs were reported; return the clock (s) then."""
        while self._num_reports() < self.num_before + count:
            if self.process.poll() is not None:
                raise RuntimeError(f"the sweep ended with {self.process.returncode}")
            time.sleep(0.01)
        self.num_before = self._num_reports()
        return time.monotonic()

    def end(self, signum: signal.Signals = signal.SIGINT) -> float:
        """Send a signal; return the seconds until the process has ended."""
        sent_s = time.monotonic()
        self.process.send_signal(signum)
        self.process.wait()
        return time.monotonic() - sent_s


def workers_of(pid: int) -> list[int]:
    """Return the training workers among the descendants of a process."""
    found = []
    for child in descendants(pid):
        path = Path(f"/proc/{child}/cmdline")
        if path.exists() and b"RayTrainWorker" in path.read_bytes():
            found.append(child)
    return found


def held_after_s(run: Path) -> float:
    """Return for how long a gang had been held when it began to train."""
    rows = pq.read_table(run / "ledger.parquet").to_pylist()
    return min(row["started_s"] for row in rows if row["kind"] == "training") - min(
        row["started_s"] for row in rows if row["kind"] == "start_up"
    )


def begin(run: Path, found: Found) -> Sweep:
    """Return a sweep that has trained some epochs."""
    sweep = Sweep(run, *SWEEP.split(), "--out", str(run))
    found.starts.append(sweep.await_reports(1) - sweep.started_s)
    sweep.await_reports(REPORTS_BEFORE)
    return sweep


def lose_worker(run: Path, found: Found) -> None:
    sweep = begin(run, found)
    pid = workers_of(sweep.process.pid)[-1]
    killed_s = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    found.after_worker.append(sweep.await_reports(1) - killed_s)
    sweep.end()


def lose_driver(run: Path, found: Found) -> None:
    sweep = begin(run, found)
    sweep.end(signal.SIGKILL)
    again = Sweep(run, "--resume", str(run))
    found.after_driver.append(again.await_reports(1) - again.started_s)
    again.end()


def interrupt(run: Path, found: Found) -> None:
    sweep = begin(run, found)
    children = descendants(sweep.process.pid)
    found.interrupts.append(sweep.end())
    alive = [pid for pid in children if Path(f"/proc/{pid}").exists()]
    print(f"Ctrl-C: exit code {sweep.process.returncode}, {len(alive)} processes left", flush=True)


def spread(values: Sequence[float]) -> str:
    return (
        f"{statistics.median(values):.2f} [{min(values):.2f}, {max(values):.2f}], n={len(values)}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    found = Found()
    for number in range(1, arguments.rounds + 1):
        with tempfile.TemporaryDirectory() as folder:
            for part in (lose_worker, lose_driver, interrupt):
                run = Path(folder) / part.__name__
                part(run, found)
                found.cold_starts.append(held_after_s(run))
        print(f"round {number} of {arguments.rounds} ended", flush=True)
    start_s, cold_s = statistics.median(found.starts), statistics.median(found.cold_starts)
    print(f"start of a sweep, s             {spread(found.starts)}")
    print(f"cold start of a gang, s         {spread(found.cold_starts)}")
    print(f"after a worker's death, s       {spread(found.after_worker)}")
    print(f"  of the cold start             {spread([s / cold_s for s in found.after_worker])}")
    print(f"resume after the driver's, s    {spread(found.after_driver)}")
    print(f"  of the start                  {spread([s / start_s for s in found.after_driver])}")
    print(f"end after Ctrl-C, s             {spread(found.interrupts)}")


if __name__ == "__main__":
    main()
