"""Budget, ledger and forecast: are they to be trusted?

- `simulated`: 200 sweeps in virtual time with random epochs, overruns, failures, gangs and limits,
  driven by the very `Budget` and `Ledger` of a sweep: for how long were the gangs held too long?
- `real`: small sweeps on digits with budgets that bite: the same question.
- `ledger`: 20 trials and 3 killed workers: the parts against what was held by a clock from outside.
- `forecast`: small sweeps without a budget: the forecasts at the start and after two epochs of the
  first trials against the final cost.

Run folders of the real sweeps stay in --out.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.processes import descendants  # noqa: E402
from tests.simulated_sweep import simulate  # noqa: E402

PARTS = ("simulated", "real", "ledger", "forecast")
DIGITS = "--dataset digits --price-usd-per-hour 1"

BUDGETS = (
    ("random_cifar.py", "--trials 30 --epochs 20 --gangs 1 --budget-usd 0.03"),
    ("asha_cifar.py", "--trials 60 --epochs 27 --gangs 2 --workers-per-trial 1 --budget-usd 0.04"),
    ("pbt_cifar.py", "--trials 8 --epochs 40 --gangs 2 --budget-gpu-hours 0.1"),
    ("random_cifar.py", "--trials 40 --epochs 9 --gangs 2 --finalists 0 --budget-gpu-hours 0.06"),
    (
        "random_cifar.py",
        "--trials 9 --epochs 50 --gangs 1 --models resnet56 --widths 64 --budget-usd 0.05",
    ),
)
"""Of `real`: script and flags."""

SWEEPS = (
    ("random_cifar.py", "--trials 12 --epochs 6 --gangs 1"),
    ("random_cifar.py", "--trials 16 --epochs 8 --gangs 2 --workers-per-trial 1"),
    ("asha_cifar.py", "--trials 24 --epochs 9 --gangs 1"),
    ("asha_cifar.py", "--trials 32 --epochs 27 --gangs 2 --workers-per-trial 1"),
    ("pbt_cifar.py", "--trials 8 --epochs 12 --gangs 1"),
    ("pbt_cifar.py", "--trials 8 --epochs 12 --gangs 2 --workers-per-trial 1"),
)
"""Of `forecast`: script and flags."""


def spread(values: Sequence[float], unit: str) -> str:
    return (
        f"{statistics.median(values):.3f} {unit} [{min(values):.3f}, {max(values):.3f}], "
        f"n={len(values)}"
    )


def run_simulated(num: int) -> None:
    outcomes = [simulate(seed) for seed in range(num)]
    print(f"held too long by {spread([o.excess_s for o in outcomes], 's')} (negative: not)")
    trained = [o for o in outcomes if o.num_epochs]
    print(
        f"{sum(o.num_epochs for o in outcomes)} epochs trained, "
        f"{sum(o.num_given_up for o in outcomes)} given up at the limit, "
        f"{sum(o.num_examined for o in outcomes)} finalists examined; "
        f"left over where any trained: {spread([o.left_s for o in trained], 's')}"
    )


def run_sweep(script: str, flags: str, out: Path) -> dict[str, Any]:
    """Run a sweep as a user does; return its `sweep.json`."""
    command = [sys.executable, str(ROOT / "sweeps" / script), *DIGITS.split(), *flags.split()]
    done = subprocess.run(
        [*command, "--out", str(out), "--overwrite"], capture_output=True, text=True, cwd=ROOT
    )
    if done.returncode:
        print(f"exit code {done.returncode}: {done.stderr.strip()[-300:]}")
    sweep: dict[str, Any] = json.loads((out / "sweep.json").read_text())
    return sweep


def run_real(folder: Path) -> None:
    excesses = []
    for number, (script, flags) in enumerate(BUDGETS):
        sweep = run_sweep(script, flags, folder / f"budget_{number}")
        num_gangs = sweep["gangs"]["num_gangs"]
        held, limit = sweep["totals"]["held_gang_seconds"], sweep["limits"]["gang_seconds"]
        excesses.append((held - limit) / num_gangs)
        statuses = pq.read_table(folder / f"budget_{number}" / "trials.parquet")["status"]
        counts = {row["values"]: row["counts"] for row in statuses.value_counts().to_pylist()}
        print(
            f"{script} {flags}: {held:.2f} s of {limit:.2f} s held, {excesses[-1]:+.2f} s a gang; "
            f"{counts}",
            flush=True,
        )
    print(f"real: held too long by {spread(excesses, 's')} (negative: not)")


def num_reported(run: Path) -> int:
    try:
        return pq.read_metadata(run / "results.parquet").num_rows
    except (FileNotFoundError, pa.ArrowInvalid):
        return 0


def kill_workers(run: Path, kills: list[int]) -> None:
    """Kill a DDP worker three times, each after some epochs more."""
    num_seen = 0
    while len(kills) < 3:
        if num_reported(run) >= num_seen + 20:
            num_seen = num_reported(run)
            workers = [pid for pid, name in descendants(os.getpid()).items() if "RayTrain" in name]
            os.kill(workers[0], signal.SIGKILL)
            kills.append(workers[0])
        time.sleep(0.2)


def run_ledger(folder: Path) -> None:
    from sweeps import gangs
    from sweeps.launch import launch
    from sweeps.spec import SweepSpec
    from tests.held_gangs import watched_gang

    held: list[float] = []
    gangs.Gang = watched_gang(held)  # type: ignore[misc]
    run, kills = folder / "ledger", []
    killer = threading.Thread(target=kill_workers, args=(run, kills), daemon=True)
    killer.start()
    spec = SweepSpec(
        name="ledger", dataset="digits", trials=20, epochs=12, gangs=2, workers_per_trial=2,
        price_usd_per_hour=1.0, out=str(run), overwrite=True,
    )  # fmt: skip
    launch(spec)
    rows = pq.read_table(run / "ledger.parquet").to_pylist()
    total = sum(row["ended_s"] - row["started_s"] for row in rows)
    sweep = json.loads((run / "sweep.json").read_text())
    print(
        f"ledger: {len(kills)} kills, {len(rows)} spans; parts {total:.3f} s, held "
        f"{sum(held):.3f} s: {(total / sum(held) - 1) * 100:+.4f} %"
    )
    print({kind: round(seconds, 2) for kind, seconds in sweep["ledger"].items()})


def run_forecast(folder: Path) -> None:
    errors: dict[str, list[float]] = {"start": [], "after_first_epochs": []}
    inside = 0
    for number, (script, flags) in enumerate(SWEEPS):
        sweep = run_sweep(script, f"{flags} --seed {number}", folder / f"forecast_{number}")
        found, final = sweep["forecasts"], sweep["forecasts"]["final"]["cost_usd"]
        told = []
        for stage, values in errors.items():
            if found[stage] is None:
                told.append(f"{stage} none")
                continue
            values.append(100 * (found[stage]["cost_usd"] / final - 1))
            told.append(f"{stage} {values[-1]:+.1f} %")
        after = found["after_first_epochs"]
        if after is not None:
            inside += after["cost_usd_low"] <= final <= after["cost_usd_high"]
        print(f"{script} {flags}: USD {final:.5f}, {', '.join(told)}", flush=True)
    for stage, values in errors.items():
        print(f"{stage}: error {spread(values, '%')}, absolute {spread([*map(abs, values)], '%')}")
    print(f"final cost inside the interval after the first epochs: {inside} of {len(SWEEPS)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--simulations", type=int, default=200)
    parser.add_argument("--out", type=Path, default=Path("runs/benchmark_budget"))
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    if "simulated" in arguments.parts:
        run_simulated(arguments.simulations)
    if "real" in arguments.parts:
        run_real(arguments.out)
    if "ledger" in arguments.parts:
        run_ledger(arguments.out)
    if "forecast" in arguments.parts:
        run_forecast(arguments.out)


if __name__ == "__main__":
    main()
