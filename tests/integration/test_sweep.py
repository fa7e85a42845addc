"""Whole sweeps, started as a user starts them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from analysis.records import RESULTS_SCHEMA, TRIALS_SCHEMA
from sweeps import prepared_sweep
from sweeps.draw import DrawnTrial
from sweeps.launch import launch
from sweeps.spec import SweepSpec
from tests.integration.conftest import make_config
from tests.processes import descendants, left_over
from trainables.schedules import cosine_with_warmup
from trainables.trial_config import TrialConfig

pytestmark = pytest.mark.ray

ROOT = Path(__file__).parents[2]
TINY = (
    "--dataset digits --limit-train 256 --batch-size 32 --models resnet8 --widths 4 "
    "--gangs 2 --workers-per-trial 2 --finalist-latency-seconds 4"
)


def command(script: str, flags: str) -> list[str]:
    return [sys.executable, str(ROOT / "sweeps" / script), *TINY.split(), *flags.split()]


def read(run: Path, name: str) -> list[dict[str, Any]]:
    return pq.read_table(run / f"{name}.parquet").to_pylist()


def num_files(run: Path) -> int:
    aside = {"checkpoints", "tensorboard"}
    return sum(path.is_file() and not aside & set(path.parts) for path in run.rglob("*"))


@pytest.fixture(scope="module")
def pbt_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("pbt") / "run"
    flags = (
        f"--trials 4 --epochs 6 --perturbation-epochs 1 --price-usd-per-hour 2 --out {run} "
        f"--latency-cache {run.parent / 'latency.parquet'}"
    )
    done = subprocess.run(command("pbt_cifar.py", flags), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert "WARNING" not in done.stdout + done.stderr  # Ray's noise is in sweep.log
    assert "reproduce" in done.stdout
    return run


def test_pbt_writes_its_run_folder(pbt_run: Path) -> None:
    sweep = json.loads((pbt_run / "sweep.json").read_text())
    assert sweep["status"] == "finished"
    assert sweep["dataset"]["name"] == "digits"
    assert pq.read_schema(pbt_run / "trials.parquet").equals(TRIALS_SCHEMA)
    assert pq.read_schema(pbt_run / "results.parquet").equals(RESULTS_SCHEMA)
    for trial in read(pbt_run, "trials"):
        assert trial["status"] == "completed"
        assert trial["epoch"] == 6
        assert (pbt_run / trial["checkpoint"] / "state.pt").is_file()
        assert trial["latency_runtime"] == "eager"
        # On a busy host a latency may stay uncertain; then it is null.
        assert (trial["latency_ms"] is None) == (trial["latency_status"] == "uncertain")
        assert trial["cost_usd"] == pytest.approx(trial["gang_seconds"] * 2 * 2 / 3600)
        assert list((pbt_run / "tensorboard" / trial["trial_id"]).glob("events*"))
    assert (pbt_run / "report" / "front.csv").is_file()
    assert (pbt_run / "report" / "front.png").is_file()
    # sweep.json, gangs.json, sweep.log, six tables, five of the report, two of the journal
    assert num_files(pbt_run) == 16
    gangs = json.loads((pbt_run / "gangs.json").read_text())
    assert [len(gang["hosts"]) for gang in gangs["gangs"]] == [2, 2]
    assert gangs["dashboard_url"].startswith("http://")


def test_finalists_of_images_meet_the_test_part_and_worse(pbt_run: Path) -> None:
    trials = read(pbt_run, "trials")
    finalists = {trial["trial_id"] for trial in trials if trial["test_accuracy"] is not None}
    assert 1 <= len(finalists) <= 3
    robustness = read(pbt_run, "robustness")
    assert {row["trial_id"] for row in robustness} == finalists
    assert len(robustness) == len(finalists) * (6 * 5 + 2 * 4)  # corruptions, attacks
    for row in read(pbt_run, "attributions"):
        assert len(row["attribution"]) == 8 * 8
        assert len(row["image"]) == 8 * 8 * 3


def test_finalists_are_timed_from_their_trained_weights(pbt_run: Path) -> None:
    trials = read(pbt_run, "trials")
    finalists = {trial["trial_id"] for trial in trials if trial["test_accuracy"] is not None}
    rows = read(pbt_run, "latency")
    assert {row["trial_id"] for row in rows} == {None, *finalists}
    for row in rows:
        assert row["status"] in ("exact", "uncertain")
        assert row["latency_low_ms"] <= row["latency_ms"] <= row["latency_high_ms"]
    assert json.loads((pbt_run / "sweep.json").read_text())["serving"]["runtime"] == "eager"


def test_pbt_really_exploits(pbt_run: Path) -> None:
    results = read(pbt_run, "results")
    exploited = [row for row in results if row["parent_trial_id"] is not None]
    assert exploited
    lineages = {trial["trial_id"]: trial["lineage"] for trial in read(pbt_run, "trials")}
    for trial_id, lineage in lineages.items():
        assert lineage[0]["from_epoch"] == 0
        froms = [step["from_epoch"] for step in lineage]
        assert froms == sorted(set(froms)), trial_id
        # The last config is in force to the end: its rate gives that of the last epochs.
        config = json.loads(lineage[-1]["config"])
        num_steps = 256 // 32
        rows = [row for row in results if row["trial_id"] == trial_id]
        mine = rows[last_exploit(rows) :]
        assert [row["epoch"] for row in mine] == list(range(froms[-1] + 1, 7))
        for row in mine:
            assert row["learning_rate"] == cosine_with_warmup(
                row["epoch"] * num_steps - 1,
                6 * num_steps,
                config["warmup_epochs"] * num_steps,
                config["learning_rate"],
            )


def test_mo_pbt_really_exploits(tmp_path: Path) -> None:
    run = tmp_path / "run"
    # A time slice a member: the two gangs go round among four.
    flags = f"--trials 4 --epochs 4 --perturbation-epochs 1 --finalists 0 --out {run}"
    done = subprocess.run(command("mopbt_cifar.py", flags), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    trials = read(run, "trials")
    assert {trial["status"] for trial in trials} == {"completed"}
    assert {trial["epoch"] for trial in trials} == {4}
    exploited = [trial for trial in trials if trial["num_exploits"]]
    assert exploited
    for trial in exploited:
        first, last = trial["lineage"][0], trial["lineage"][-1]
        assert last["parent_trial_id"] == trial["parent_trial_id"]
        assert json.loads(first["config"]) != json.loads(last["config"])


def last_exploit(rows: list[dict[str, Any]]) -> int:
    """Return the index of the row that began with a donor's weights, or 0.

    A donor may be behind, and then epochs come again: the number alone doesn't tell.
    """
    return max(
        (index for index, row in enumerate(rows) if row["parent_trial_id"] is not None), default=0
    )


def test_an_exploited_trial_is_reproduced_bit_for_bit(pbt_run: Path) -> None:
    trial = max(read(pbt_run, "trials"), key=lambda trial: len(trial["lineage"]))
    assert len(trial["lineage"]) > 1
    words = trial["reproduce"].split()
    assert words[0] == "python"
    done = subprocess.run([sys.executable, *words[1:]], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("equal") == 3


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.long)]
)
def test_one_signal_ends_a_sweep_and_leaves_nothing(number: signal.Signals, tmp_path: Path) -> None:
    run = tmp_path / "run"
    process = subprocess.Popen(
        command("asha_cifar.py", f"--trials 8 --epochs 500 --out {run}"),
        start_new_session=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        wait_until(lambda: (run / "results.parquet").exists() and read(run, "results"))
        started = descendants(process.pid)
        assert any("raylet" in name for name in started.values())
        # A terminal's Ctrl-C reaches the whole group; SIGTERM only the process itself.
        if number == signal.SIGINT:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
        output, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, output
    wait_until(lambda: not left_over(started))
    assert json.loads((run / "sweep.json").read_text())["status"] == "interrupted"
    assert {trial["status"] for trial in read(run, "trials")} <= {"interrupted", "stopped"}


def test_a_failing_trial_and_a_killed_worker_cost_no_other_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    diverges = make_config(learning_rate=100.0, weight_decay=1.0, num_epochs=20, batch_size=32)
    sound = [make_config(seed=seed, num_epochs=20, batch_size=32) for seed in range(3)]
    drawn = [
        DrawnTrial(f"trial_{index:04d}", TrialConfig.from_dict(config), None)
        for index, config in enumerate([diverges, *sound])
    ]
    monkeypatch.setattr(prepared_sweep, "draw_trials", lambda *_: drawn)
    run = tmp_path / "run"
    spec = SweepSpec(
        dataset="digits", limit_train=256, batch_size=32, models=("resnet8",), widths=(4,),
        trials=4, epochs=20, gangs=1, workers_per_trial=2, finalists=0, out=str(run),
    )  # fmt: skip
    killed: list[int] = []
    killer = threading.Thread(target=kill_a_worker, args=(run, killed))
    killer.start()
    assert launch(spec) == 0
    killer.join()
    assert killed
    trials = {trial["trial_id"]: trial for trial in read(run, "trials")}
    assert trials["trial_0000"]["status"] == "failed"
    assert trials["trial_0000"]["reason"].startswith("train_loss must be finite")
    assert "Traceback" in trials["trial_0000"]["reason"]
    results = read(run, "results")
    for index in (1, 2, 3):
        trial_id = f"trial_{index:04d}"
        assert trials[trial_id]["status"] == "completed"
        epochs = [row["epoch"] for row in results if row["trial_id"] == trial_id]
        assert epochs == list(range(1, 21))  # none lost, none twice
    assert {row["generation"] for row in results} == {1, 2}


def kill_a_worker(run: Path, killed: list[int]) -> None:
    """Kill a DDP worker as soon as a sound trial has reported."""
    wait_until(
        lambda: (
            (run / "results.parquet").exists()
            and any(row["trial_id"] != "trial_0000" for row in read(run, "results"))
        )
    )
    workers = [pid for pid, name in descendants(os.getpid()).items() if "ray::RayTrain" in name]
    os.kill(workers[0], signal.SIGKILL)
    killed.append(workers[0])


def wait_until(holds: Any, timeout_s: float = 120) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline_s
        time.sleep(0.2)
