"""The test part: read once, after the search, and without a say in it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from analysis.records import SCORE_NAMES
from tests.known_latencies import know_latencies
from trainables.data.load import load_dataset
from trainables.trial_config import TrialConfig

pytestmark = pytest.mark.ray

ROOT = Path(__file__).parents[2]
WORDS = ("amber basil cedar", "dahlia elder fennel", "garlic hazel indigo")
TIMES = {
    "started_unix_s", "ended_unix_s", "train_seconds", "val_seconds", "gang_seconds",
    "samples_per_second", "data_wait_fraction", "gang",
}  # fmt: skip


def write_texts(folder: Path, *, test_shift: int) -> Path:
    """Write texts whose words give their class away; in the test part labels may be shifted."""
    folder.mkdir()
    generator = np.random.default_rng(0)
    for part, num_rows, shift in (("train", 120, 0), ("test", 30, test_shift)):
        rows = ["text,label"]
        for index in range(num_rows):
            text = " ".join(generator.permutation(WORDS[index % 3].split()))
            rows.append(f"{text} {index},{(index + shift) % 3}")
        (folder / f"{part}.csv").write_text("\n".join(rows))
    return folder


def search(data: Path, run: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Run a small sweep; return its results without times, and its trials."""
    flags = (
        f"--dataset text:{data} --models text_cnn --widths 4 8 --trials 3 --epochs 3 --finalists 2 "
        f"--gangs 1 --workers-per-trial 2 --objectives val_loss:min num_parameters:min "
        f"--finalist-latency-seconds 0 --out {run}"
    )
    script = ROOT / "sweeps" / "random_cifar.py"
    done = subprocess.run(
        [sys.executable, str(script), *flags.split()], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    results = pq.read_table(run / "results.parquet").to_pylist()
    kept = [{name: row[name] for name in row if name not in TIMES} for row in results]
    return kept, pq.read_table(run / "trials.parquet").to_pylist()


def test_the_test_part_is_seen_by_finalists_alone_and_decides_nothing(tmp_path: Path) -> None:
    right = write_texts(tmp_path / "right", test_shift=0)
    task = load_dataset(f"text:{right}", "unused", seed=0)[0].task
    know_latencies([TrialConfig(model="text_cnn", width=width) for width in (4, 8)], task)
    results, trials = search(right, tmp_path / "a")
    shifted_results, shifted = search(write_texts(tmp_path / "wrong", test_shift=1), tmp_path / "b")
    assert results == shifted_results
    finalists = [trial["trial_id"] for trial in trials if trial["test_accuracy"] is not None]
    assert 1 <= len(finalists) <= 2
    assert finalists == [t["trial_id"] for t in shifted if t["test_accuracy"] is not None]
    for trial, other in zip(trials, shifted, strict=True):
        is_finalist = trial["trial_id"] in finalists
        for name in SCORE_NAMES:
            if name != "top5_accuracy":
                assert (trial[f"test_{name}"] is not None) == is_finalist, name
        if is_finalist:
            # The same answers, against labels that are all different.
            assert trial["test_accuracy"] + other["test_accuracy"] <= 1
            assert trial["test_loss"] != other["test_loss"]
    rows = pq.read_table(tmp_path / "a" / "attributions.parquet").to_pylist()
    assert {row["trial_id"] for row in rows} == set(finalists)
    for row in rows:
        assert len(row["tokens"]) == len(row["attribution"]) > 0
    assert pq.read_table(tmp_path / "a" / "robustness.parquet").num_rows == 0  # of images only
