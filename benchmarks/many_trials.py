"""1,000 trials of one tiny epoch on two gangs: what a trial costs beyond its training.

Runs `sweeps/random_cifar.py` and samples the memory of its process meanwhile. Prints the overhead
per trial and the driver's growth per trial, from the first tenth of the trials on.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from efficiency import measure, spread

ROOT = Path(__file__).resolve().parents[1]


def resident_kb(pid: int) -> float | None:
    """Return the resident memory of a process in kB (Linux); None if it has just ended."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next((float(line.split()[1]) for line in lines if line.startswith("VmRSS")), None)


def num_ended(run: Path) -> int:
    """Return how many trials of a run have ended, as far as it was written."""
    try:
        statuses = pq.read_table(run / "trials.parquet", columns=["status"])["status"].to_pylist()
    except (FileNotFoundError, pa.ArrowInvalid):
        return 0
    return sum(status == "completed" for status in statuses)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--workers-per-trial", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        flags = (
            f"--dataset digits --limit-train 64 --batch-size 32 --models resnet8 --widths 4 "
            f"--epochs 1 --gangs 2 --workers-per-trial {arguments.workers_per_trial} "
            f"--trials {arguments.trials} --out {run}"
        )
        command = [sys.executable, str(ROOT / "sweeps/random_cifar.py"), *flags.split()]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        samples = []
        while process.poll() is None:
            time.sleep(1)
            ended, memory_kb = num_ended(run), resident_kb(process.pid)
            if memory_kb is not None and ended >= arguments.trials // 10:
                samples.append((ended, memory_kb))
        found = measure(run)
        num_files = sum(
            path.is_file() and not {"checkpoints", "tensorboard"} & set(path.parts)
            for path in run.rglob("*")
        )
    ended, memory_kb = np.array([s for s in samples if s[0] < arguments.trials]).T
    print(f"{found.num_trials} trials on {found.num_gangs} gangs in {found.span_s:.1f} s")
    print(f"  overhead per trial     {found.overhead_per_trial_s:.3f} s beyond its training")
    print(f"  new trial on a gang    {spread(found.new_trial_gaps_s)}")
    print(f"  driver's memory grows  {np.polyfit(ended, memory_kb, 1)[0]:.1f} kB a trial")
    print(f"  files in the run folder, checkpoints and TensorBoard aside: {num_files}")


if __name__ == "__main__":
    main()
