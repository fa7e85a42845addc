"""A whole sweep whose checkpoints go to a server that speaks S3."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

from tests.s3_server import BUCKET, SECRET, s3_server
from trainables.checkpoint_store import previous_checkpoint, read_checkpoint

pytestmark = pytest.mark.ray

ROOT = Path(__file__).parents[2]
FLAGS = (
    "--dataset digits --limit-train 256 --batch-size 32 --models resnet8 --widths 4 --trials 2 "
    "--epochs 2 --gangs 1 --workers-per-trial 1 --finalists 0 --checkpoint-quota-gb 0.1"
)


def test_checkpoints_go_to_s3_and_no_secret_is_written_or_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    with s3_server() as server:
        storage = f"s3://{BUCKET}/runs"
        done = subprocess.run(
            [sys.executable, str(ROOT / "sweeps" / "random_cifar.py"), *FLAGS.split(),
             "--out", str(run), "--storage", storage],
            env={**os.environ, **server.environment}, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        trials = pq.read_table(run / "trials.parquet").to_pylist()
        assert {trial["status"] for trial in trials} == {"completed"}
        for trial in trials:
            location = trial["checkpoint"]
            assert location.startswith(f"{storage}/{trial['trial_id']}/epoch_0002-")
            assert read_checkpoint(location, torch.device("cpu"))["epoch"] == 2
            before = previous_checkpoint(location)
            assert before is not None
            assert before.startswith(f"{storage}/{trial['trial_id']}/epoch_0001-")
    assert SECRET not in done.stdout + done.stderr
    files = [path for path in run.rglob("*") if path.is_file()]
    assert len(files) > 5
    for path in files:
        assert SECRET.encode() not in path.read_bytes(), path
    assert not (run / "checkpoints").exists()
