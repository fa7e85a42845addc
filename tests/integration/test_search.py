"""A sweep whose trials are chosen while it runs, by Optuna, and paused by Ray's HyperBand."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from sweeps.launch import launch
from sweeps.spec import SweepSpec

pytestmark = pytest.mark.ray


@pytest.mark.long
def test_a_searcher_chooses_what_hyperband_pauses_and_drops(tmp_path: Path) -> None:
    run = tmp_path / "run"
    spec = SweepSpec(
        scheduler="hyperband", searcher="motpe", dataset="digits", limit_train=256, batch_size=32,
        models=("resnet8",), widths=(4,), trials=7, epochs=3, gangs=1, workers_per_trial=2,
        finalists=0, out=str(run),
    )  # fmt: skip
    assert launch(spec) == 0
    sweep = json.loads((run / "sweep.json").read_text())
    assert (sweep["status"], sweep["searcher"]) == ("finished", "motpe")
    trials = pq.read_table(run / "trials.parquet").to_pylist()
    assert [trial["trial_id"] for trial in trials] == [f"trial_{n:04d}" for n in range(7)]
    assert len({trial["config"] for trial in trials}) == 7
    # Its brackets are of 2 trials of 3 epochs, and of 3 trials that are halved after 1.
    ends = sorted((trial["status"], trial["epoch"]) for trial in trials)
    assert set(ends) == {("completed", 3), ("stopped", 1)}
    epochs = [(row["trial_id"], row["epoch"])
              for row in pq.read_table(run / "results.parquet").to_pylist()]  # fmt: skip
    assert len(epochs) == len(set(epochs)) == sum(trial["epoch"] for trial in trials)
