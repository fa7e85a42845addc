"""Whole sweeps that lie on a server that speaks S3."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.fs
import pyarrow.parquet as pq
import pytest
import torch

from analysis.load import load_run
from sweeps.journal import parse_record, read_journal
from sweeps.run_store import RunStore
from tests.integration.conftest import equal_states
from tests.integration.test_resume import rows, run_killed, run_whole, story
from tests.s3_server import BUCKET, SECRET, s3_server
from trainables.checkpoint_store import open_location, previous_checkpoint, read_checkpoint

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
            root = f"{storage}/run/checkpoints/{trial['trial_id']}"
            assert location.startswith(f"{root}/epoch_0002-")
            assert read_checkpoint(location, torch.device("cpu"))["epoch"] == 2
            before = previous_checkpoint(location)
            assert before is not None
            assert before.startswith(f"{root}/epoch_0001-")
        # The run can be read from there too, and goes on from there.
        assert load_run(f"{storage}/run").trials["status"].to_pylist() == ["completed"] * 2
        whole = read_journal(run / "journal")
        stored = RunStore(f"{storage}/run").read_journal()
        assert [parse_record(line[:-1]) for line in stored] == whole
        assert SECRET not in "".join(_contents(f"{storage}/run"))
    assert SECRET not in done.stdout + done.stderr
    files = [path for path in run.rglob("*") if path.is_file()]
    assert len(files) > 5
    for path in files:
        assert SECRET.encode() not in path.read_bytes(), path
    assert not (run / "checkpoints").exists()


def _contents(location: str) -> list[str]:
    """Return what the small objects under a location hold."""
    filesystem, path = open_location(location)
    found = filesystem.get_file_info(pyarrow.fs.FileSelector(path, recursive=True))
    paths = [info.path for info in found if info.is_file and not info.path.endswith(".pt")]
    assert len(paths) > 5
    return [filesystem.open_input_file(path).read().decode(errors="replace") for path in paths]


@pytest.mark.long
def test_a_killed_sweep_goes_on_on_another_machine_as_if_nothing_had_happened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = f"{FLAGS} --trials 6 --epochs 4 --reduction-factor 2"
    whole, cut, there = tmp_path / "whole", tmp_path / "run", tmp_path / "elsewhere"
    with s3_server() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        storage = f"s3://{BUCKET}/killed"
        run_whole("asha_cifar.py", f"{flags} --out {whole} --storage {storage}")
        run_killed(
            "asha_cifar.py", f"{flags} --out {cut} --storage {storage}", cut, len(story(whole)) // 2
        )
        # The machine is gone with all that lay on it.
        left = Path(json.loads((cut / "sweep.json").read_text())["driver"]["scratch"]).parent
        shutil.rmtree(cut)
        told = run_whole("asha_cifar.py", f"--resume {storage}/run --out {there}")
        assert "resumed" in told
        assert story(there) == story(whole)
        trials = {row["trial_id"]: row for row in rows(there, "trials")}
        for row in rows(whole, "trials"):
            trial = trials[row["trial_id"]]
            assert [trial[name] for name in ("status", "epoch", "config")] == [
                row[name] for name in ("status", "epoch", "config")
            ]
            states = [read_checkpoint(t["checkpoint"], torch.device("cpu")) for t in (trial, row)]
            assert equal_states(*states)
        # It is one machine, so what the killed driver left on its disk was removed.
        assert not left.exists()
        assert load_run(f"{storage}/run").trials["status"].to_pylist() == [
            row["status"] for row in rows(there, "trials")
        ]
