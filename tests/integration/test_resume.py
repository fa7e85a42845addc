"""Sweeps whose driver is killed, and that go on: nothing is lost, nothing is counted twice."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from operator import itemgetter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.integration.conftest import equal_states, load_state

pytestmark = pytest.mark.ray

ROOT = Path(__file__).parents[2]
TINY = (
    "--dataset digits --limit-train 256 --batch-size 32 --models resnet8 --widths 4 --finalists 0 "
    "--gangs 1 --workers-per-trial 2"
)


def start(script: str, flags: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(ROOT / "sweeps" / script), *flags.split()],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run_whole(script: str, flags: str) -> str:
    process = start(script, flags)
    stdout, stderr = process.communicate()
    assert process.returncode == 0, stdout + stderr
    return stdout


def num_reports(run: Path, kind: str = "report") -> int:
    return sum(
        text.count(f'"kind": "{kind}"')
        for text in (path.read_text() for path in (run / "journal").glob("*.log"))
    )


def run_killed(
    script: str, flags: str, run: Path, after_reports: int, kind: str = "report"
) -> None:
    """Kill the driver with SIGKILL once the run has so many reports."""
    process = start(script, flags)
    while num_reports(run, kind) < after_reports:
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)  # what Ray started ends by itself, in its own time
    process.wait()


def rows(run: Path, name: str) -> list[dict[str, Any]]:
    return pq.read_table(run / f"{name}.parquet").to_pylist()


def story(run: Path) -> list[tuple[Any, ...]]:
    """Return what a run came to, without its times."""
    columns = ("trial_id", "epoch", "parent_trial_id", "train_loss", "val_loss", "val_accuracy")
    return sorted(tuple(row[name] for name in columns) for row in rows(run, "results"))


@pytest.mark.parametrize(
    ("script", "flags"),
    [
        ("asha_cifar.py", "--trials 6 --epochs 4 --reduction-factor 2"),
        pytest.param(
            "mopbt_cifar.py",
            "--trials 4 --epochs 4 --perturbation-epochs 1 --pbt-quorum 1",
            marks=pytest.mark.long,
        ),
    ],
)
def test_a_killed_sweep_goes_on_as_if_nothing_had_happened(
    tmp_path: Path, script: str, flags: str
) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    run_whole(script, f"{TINY} {flags} --out {whole}")
    num_whole = num_reports(whole)
    run_killed(script, f"{TINY} {flags} --out {cut}", cut, num_whole // 2)
    told = run_whole(script, f"--resume {cut}")

    assert story(cut) == story(whole)
    trials = {row["trial_id"]: row for row in rows(cut, "trials")}
    for row in rows(whole, "trials"):
        trial = trials[row["trial_id"]]
        same = ("status", "epoch", "config", "parent_trial_id", "num_exploits")
        assert [trial[name] for name in same] == [row[name] for name in same]
        assert equal_states(
            load_state(cut / trial["checkpoint"]), load_state(whole / row["checkpoint"])
        )
        # Nothing is left of the checkpoints that the killed process had not deleted.
        assert len(list((cut / "checkpoints" / trial["trial_id"]).iterdir())) <= 2
    sweep = json.loads((cut / "sweep.json").read_text())
    assert sweep["status"] == "finished"
    assert len(sweep["resumed"]) == 1
    assert "resumed" in told

    # Every second of both processes is in the ledger, and each trial's own seconds in its row, but
    # for the last second before the kill.
    ledger = rows(cut, "ledger")
    assert sum(row["ended_s"] - row["started_s"] for row in ledger) == pytest.approx(
        sweep["totals"]["held_gang_seconds"]
    )
    for trial_id, trial in trials.items():
        own = [r for r in ledger if r["trial_id"] == trial_id and r["kind"] in ("training", "lost")]
        seconds = sum(row["ended_s"] - row["started_s"] for row in own)
        assert trial["gang_seconds"] == pytest.approx(seconds, abs=1.0)

    # It is finished: there is nothing left to train.
    num_before = num_reports(cut)
    run_whole(script, f"--resume {cut}")
    assert num_reports(cut) == num_before


@pytest.mark.long
def test_further_trainings_that_had_ended_are_not_made_again(tmp_path: Path) -> None:
    flags = f"{TINY} --trials 3 --epochs 4 --out".replace("--finalists 0", "--finalists 2")
    # Not by what they cost: that is never the same twice, and others would be finalists.
    flags += " {} --seeds 3 --objectives val_accuracy:max val_loss:min"
    flags += " --robustness-samples 0 --finalist-latency-seconds 0"
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    run_whole("random_cifar.py", flags.format(whole))
    run_killed("random_cifar.py", flags.format(cut), cut, 2, kind="retrained")
    told = run_whole("random_cifar.py", f"--resume {cut}")

    assert "training finalists again, 4 times in all: " in told
    times = ("gpu_seconds", "cost_usd")
    expected, found = (
        [{name: row[name] for name in row if name not in times} for row in rows(run, "seeds")]
        for run in (whole, cut)
    )
    key = itemgetter("trial_id", "seed")
    assert sorted(found, key=key) == sorted(expected, key=key)
    assert len(found) == 6
    folders = {path.name for path in (cut / "checkpoints").iterdir()}
    assert folders == {row["trial_id"] for row in rows(cut, "trials")}
