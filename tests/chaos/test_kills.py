"""Kill each part of a sweep, at each moment, under each scheduler: it ends as if nothing had been.

The whole matrix takes hours, and `scripts/chaos` runs it (`-k` chooses a part); CI kills the driver
of one sweep (`tests/integration/test_resume.py`). A sweep is compared with one that nobody
disturbed; where no decision depends on when a gang is free (one gang, no asynchronous population),
final weights are equal bit for bit.
"""

from __future__ import annotations

import functools
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Final

import pyarrow.parquet as pq
import pytest

from tests.integration.conftest import equal_states, load_state
from tests.processes import descendants

pytestmark = [pytest.mark.ray, pytest.mark.chaos]

ROOT = Path(__file__).parents[2]
TINY = (
    "--dataset digits --limit-train 256 --batch-size 32 --models resnet8 --widths 4 --finalists 0 "
    "--gangs 1 --workers-per-trial 2 --trials 4 --epochs 4"
)

SCHEDULERS: Final = {
    "random": "random_cifar.py",
    "asha": "asha_cifar.py --reduction-factor 2",
    "mo_asha": "moasha_cifar.py --reduction-factor 2",
    "pbt": "pbt_cifar.py --perturbation-epochs 1",
    "mo_pbt": "mopbt_cifar.py --perturbation-epochs 1",
    "mo_pbt_quorum": "mopbt_cifar.py --perturbation-epochs 1 --pbt-quorum 1",
}

BIT_EQUAL: Final = ("random", "asha", "mo_asha", "mo_pbt_quorum")

VICTIMS: Final = {
    "worker": "RayTrainWorker",
    "controller": "TrainController",
    "trial": "ResourceTrainable",
    "head": "raylet",
    "driver": "",
}
"""Part of the command line of the process that is killed."""

MOMENTS: Final = ("step", "checkpoint", "lease")


def command(script: str, *flags: str) -> list[str]:
    name, *own = script.split()
    return [sys.executable, str(ROOT / "sweeps" / name), *own, *flags]


def rows(run: Path, name: str) -> list[dict[str, Any]]:
    return pq.read_table(run / f"{name}.parquet").to_pylist()


def events(run: Path, kind: str) -> int:
    files = (run / "journal").glob("*.log")
    return sum(path.read_text().count(f'"kind": "{kind}"') for path in files)


@functools.cache
def undisturbed(scheduler: str, folder: Path) -> Path:
    run = folder / scheduler
    done = subprocess.run(
        command(SCHEDULERS[scheduler], *TINY.split(), "--out", str(run)),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return run


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("undisturbed")


def await_moment(run: Path, moment: str, process: subprocess.Popen[str]) -> None:
    """Wait for the middle of the sweep, and then for the moment in question."""

    def has_ended() -> bool:
        return process.poll() is not None

    while events(run, "report") < 4 and not has_ended():
        time.sleep(0.02)
    if moment == "step":
        time.sleep(0.05)
    elif moment == "checkpoint":
        deadline_s = time.monotonic() + 20
        while time.monotonic() < deadline_s and not has_ended():
            if any((run / "checkpoints").rglob("*.tmp*")):
                return
    else:
        num_before = events(run, "finish") + events(run, "begin")
        while events(run, "finish") + events(run, "begin") == num_before and not has_ended():
            time.sleep(0.01)


def victim_of(process: subprocess.Popen[str], victim: str) -> int | None:
    if victim == "driver":
        return process.pid
    for pid in descendants(process.pid):
        try:
            text = Path(f"/proc/{pid}/cmdline").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if VICTIMS[victim] in text.replace("\0", " "):
            return pid
    return None


def run_disturbed(scheduler: str, run: Path, victim: str, moment: str) -> int:
    """Run a sweep in which something is killed; return the exit code of its driver."""
    process = subprocess.Popen(
        command(SCHEDULERS[scheduler], *TINY.split(), "--out", str(run)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    reader = threading.Thread(target=process.stdout.read)  # a full pipe would stop the sweep
    reader.start()
    await_moment(run, moment, process)
    pid = victim_of(process, victim)
    assert pid is not None, f"no {victim} runs"
    os.kill(pid, signal.SIGKILL)
    code = process.wait()
    reader.join()
    return code


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("victim", VICTIMS)
@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_a_sweep_ends_as_if_nothing_had_happened(
    tmp_path: Path, folder: Path, scheduler: str, victim: str, moment: str
) -> None:
    whole, run = undisturbed(scheduler, folder), tmp_path / "run"
    code = run_disturbed(scheduler, run, victim, moment)
    if victim in ("driver", "head"):
        assert code != 0
        done = subprocess.run(
            command(SCHEDULERS[scheduler], "--resume", str(run)), capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
    else:
        assert code == 0
    check_invariants(run)
    if scheduler in BIT_EQUAL:
        check_equal(run, whole)


def check_invariants(run: Path) -> None:
    trials = rows(run, "trials")
    assert len(trials) == 4
    assert {trial["status"] for trial in trials} <= {"completed", "stopped"}
    results = rows(run, "results")
    for trial in trials:
        own = [row for row in results if row["trial_id"] == trial["trial_id"]]
        # No epoch twice, but after an exploit, which may go back.
        life: list[int] = []
        for row in own:
            life = [] if row["parent_trial_id"] is not None else life
            assert row["epoch"] not in life
            life.append(row["epoch"])
        assert own[-1]["epoch"] == trial["epoch"]
        assert (run / trial["checkpoint"] / "state.pt").is_file()
    ledger = rows(run, "ledger")
    sweep = json.loads((run / "sweep.json").read_text())
    assert sweep["status"] == "finished"
    held_s = sum(row["ended_s"] - row["started_s"] for row in ledger)
    assert abs(held_s - sweep["totals"]["held_gang_seconds"]) < 1
    for trial in trials:
        seconds = sum(
            row["ended_s"] - row["started_s"]
            for row in ledger
            if row["trial_id"] == trial["trial_id"] and row["kind"] in ("training", "lost")
        )
        assert abs(trial["gang_seconds"] - seconds) < 1


def check_equal(run: Path, whole: Path) -> None:
    found = {trial["trial_id"]: trial for trial in rows(run, "trials")}
    for trial in rows(whole, "trials"):
        other = found[trial["trial_id"]]
        assert (other["status"], other["epoch"]) == (trial["status"], trial["epoch"])
        assert equal_states(
            load_state(run / other["checkpoint"]), load_state(whole / trial["checkpoint"])
        )


@pytest.mark.timeout(3 * 3600)
def test_a_sweep_outlives_many_kills_in_a_row(tmp_path: Path, folder: Path) -> None:
    """As many as PARETUNE_CHAOS_KILLS says: something random, at a random time, again and again."""
    num_kills = int(os.environ.get("PARETUNE_CHAOS_KILLS", "3"))
    seed = int(os.environ.get("PARETUNE_CHAOS_SEED", "0"))
    draw = random.Random(seed)
    whole, run = undisturbed("asha", folder), tmp_path / "run"
    flags, num_done = [*TINY.split(), "--out", str(run)], 0
    while True:
        process = subprocess.Popen(
            command(SCHEDULERS["asha"], *flags), stdout=subprocess.DEVNULL, text=True
        )
        while num_done < num_kills and process.poll() is None:
            time.sleep(draw.uniform(1, 30))
            pid = victim_of(process, draw.choice(list(VICTIMS)))
            if pid is not None and process.poll() is None:
                os.kill(pid, signal.SIGKILL)
                num_done += 1
        if process.wait() == 0:
            break
        if (run / "journal").is_dir() and events(run, "drawn"):
            flags = ["--resume", str(run)]
        else:
            flags = [*TINY.split(), "--out", str(run), "--overwrite"]
    check_invariants(run)
    check_equal(run, whole)
