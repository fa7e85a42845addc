"""What whole sweeps hold, with kills and with budgets that bite, on a real Ray."""

from __future__ import annotations

import json
import os
import signal
import threading
from functools import partial
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from sweeps import gangs, spending
from sweeps.launch import launch
from sweeps.spec import SweepSpec
from tests.held_gangs import watched_gang
from tests.integration.test_sweep import read, wait_until
from tests.processes import descendants

pytestmark = pytest.mark.ray

TINY = {
    "dataset": "digits", "limit_train": 256, "batch_size": 32, "models": ("resnet8",),
    "widths": (4,), "workers_per_trial": 2, "robustness_samples": 0, "attribution_samples": 0,
    "finalist_latency_seconds": 0.0,
}  # fmt: skip


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds for which a launch holds each gang, by a clock of the test's own."""
    seconds: list[float] = []
    monkeypatch.setattr(gangs, "Gang", watched_gang(seconds))
    return seconds


def has_more(run: Path, num_epochs: int) -> bool:
    """Tell whether more epochs were reported."""
    return (run / "results.parquet").exists() and len(read(run, "results")) > num_epochs


def kill_workers(run: Path, num_kills: int) -> None:
    """Kill a DDP worker each time that more epochs were reported."""
    num_seen = 0
    for _ in range(num_kills):
        wait_until(partial(has_more, run, num_seen))
        num_seen = len(read(run, "results"))
        workers = [pid for pid, name in descendants(os.getpid()).items() if "RayTrain" in name]
        os.kill(workers[0], signal.SIGKILL)


def test_the_ledger_accounts_for_all_that_was_held(tmp_path: Path, held: list[float]) -> None:
    run = tmp_path / "run"
    spec = SweepSpec(
        **TINY, trials=6, epochs=12, gangs=2, price_usd_per_hour=1.8, finalists=1, seeds=2,
        out=str(run),
    )  # fmt: skip
    killer = threading.Thread(target=kill_workers, args=(run, 2))
    killer.start()
    assert launch(spec) == 0
    killer.join()
    rows = pq.read_table(run / "ledger.parquet").to_pylist()
    seconds = [row["ended_s"] - row["started_s"] for row in rows]
    assert sum(seconds) == pytest.approx(sum(held), rel=0.005)
    by_kind: dict[str, float] = {}
    for row, span in zip(rows, seconds, strict=True):
        by_kind[row["kind"]] = by_kind.get(row["kind"], 0.0) + span
    assert set(by_kind) == {
        "start_up", "training", "examination", "retraining", "idle", "lost", "end",
    }  # fmt: skip
    (finalist,) = [t for t in read(run, "trials") if t["test_accuracy"] is not None]
    further = read(run, "seeds")
    assert [row["trial_id"] for row in further] == [finalist["trial_id"]] * 2
    for row in further:
        assert (row["status"], row["epoch"]) == ("finished", finalist["epoch"])
        assert row["val_loss"] != finalist["val_loss"]
        assert row["test_accuracy"] > 0.1
    assert sum(row["cost_usd"] for row in further) == pytest.approx(
        by_kind["retraining"] / 1000, abs=1e-4
    )
    for trial in read(run, "trials"):
        own = [
            span
            for row, span in zip(rows, seconds, strict=True)
            if row["trial_id"] == trial["trial_id"] and row["kind"] in ("training", "lost")
        ]
        assert sum(own) == pytest.approx(trial["gang_seconds"])
        assert trial["cost_usd"] == pytest.approx(trial["gang_seconds"] / 1000)
    sweep = json.loads((run / "sweep.json").read_text())
    assert sweep["totals"]["held_gang_seconds"] == pytest.approx(sum(seconds))
    assert sweep["ledger"] == pytest.approx(by_kind)
    assert sum(row["cost_usd"] for row in rows) == pytest.approx(sum(seconds) / 1000)
    forecasts = sweep["forecasts"]
    assert forecasts["final"]["cost_usd"] == pytest.approx(sum(seconds) / 1000)
    assert forecasts["start"]["cost_usd"] > 0
    assert forecasts["after_first_epochs"]["cost_usd"] > 0


def test_a_budget_ends_a_sweep_with_its_front_and_is_not_exceeded(
    tmp_path: Path, held: list[float], capfd: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    limit_s = 60.0
    spec = SweepSpec(
        **TINY, scheduler="pbt", trials=6, epochs=500, perturbation_epochs=2, gangs=2,
        budget_gpu_hours=2 * 2 * limit_s / 3600, out=str(run),
    )  # fmt: skip
    assert launch(spec) == 0
    assert sum(held) <= 2 * (limit_s + 1)
    assert "budget spent: " in capfd.readouterr().out
    assert json.loads((run / "sweep.json").read_text())["status"] == "finished"
    trials = read(run, "trials")
    assert {trial["status"] for trial in trials} <= {"stopped", "refused"}
    for trial in trials:
        if trial["epoch"]:
            assert trial["reason"].startswith(f"stopped by the budget after epoch {trial['epoch']}")
            assert (run / trial["checkpoint"] / "state.pt").is_file()


@pytest.mark.long
def test_an_epoch_that_overruns_is_given_up(
    tmp_path: Path, held: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    # Its first epoch takes minutes, and was thought to take none.
    monkeypatch.setattr(spending, "time_epochs", lambda configs, *_: [1e-3] * len(configs))
    limit_s = 60.0
    spec = SweepSpec(
        **TINY | {"models": ("resnet56",), "widths": (160,), "batch_size": 4, "limit_train": 900},
        trials=2, epochs=3, gangs=1, budget_gpu_hours=2 * limit_s / 3600, out=str(run),
    )  # fmt: skip
    assert launch(spec) == 1  # no trial has anything to show
    assert held[0] <= limit_s + 1
    trials = read(run, "trials")
    assert all(trial["reason"].startswith("trained no epoch: the budget") for trial in trials)
    assert trials[0]["lost_seconds"] == trials[0]["gang_seconds"] > 0


def test_a_dry_run_shows_plan_and_forecast_and_writes_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    spec = SweepSpec(
        **TINY, trials=6, epochs=3, price_usd_per_hour=1.0, dry_run=True, out=str(tmp_path / "run")
    )
    assert launch(spec) == 0
    shown = capfd.readouterr().out
    assert "trials     6 x 3 epochs" in shown
    assert "forecast   USD " in shown
    assert list(tmp_path.iterdir()) == []
