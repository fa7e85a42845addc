"""Whatever is wrong is said in one line, with exit code 2, before anything is started."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray
from PIL import Image

from sweeps.launch import main
from sweeps.spec import SweepSpec


def write_images(path: Path, labels: list[int], sizes: list[int] | None = None) -> None:
    generator = np.random.default_rng(0)
    encoded = []
    for size in sizes or [8] * len(labels):
        buffer = io.BytesIO()
        pixels = generator.integers(0, 256, (size, size, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(buffer, "PNG")
        encoded.append({"bytes": buffer.getvalue(), "path": None})
    pq.write_table(pa.table({"img": encoded, "label": labels}), path)


def data_folder(tmp_path: Path, what: str) -> Path:
    folder = tmp_path / what
    folder.mkdir()
    labels = [0, 1] * 20
    write_images(folder / "images.parquet", labels)
    if what == "truncated":
        content = (folder / "images.parquet").read_bytes()
        (folder / "images.parquet").write_bytes(content[: len(content) // 2])
    elif what == "label gap":
        write_images(folder / "images.parquet", [0, 2] * 20)
    elif what == "negative label":
        write_images(folder / "images.parquet", [0, -1] * 20)
    elif what == "mixed size":
        write_images(folder / "images.parquet", labels, [8] * 39 + [9])
    elif what == "empty split":
        write_images(folder / "images.parquet", [0, 1])
    elif what == "no files":
        (folder / "images.parquet").unlink()
    return folder


def run(monkeypatch: pytest.MonkeyPatch, capsys: Any, flags: list[str]) -> str:
    monkeypatch.setattr("sys.argv", ["sweeps/pbt_cifar.py", *flags])
    with pytest.raises(SystemExit) as stopped:
        main(SweepSpec(name="pbt_cifar", scheduler="pbt"))
    errors = capsys.readouterr().err
    assert stopped.value.code == 2
    assert errors.startswith("error: ")
    assert errors.count("\n") == 1, errors
    assert "Traceback" not in errors
    assert not ray.is_initialized()
    return errors


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("--trails 3", "--trails"),
        ("--trials three", "three"),
        ("--trials 0", "--trials must be >= 1, got 0"),
        ("--dataset mnist", "dataset must be"),
        ("--gangs 50 --dataset digits", "50 gangs x 2 workers = 100 workers"),
        ("--gpus-per-worker 1 --workers-per-trial 4096 --dataset digits", "4096 workers"),
        ("--objectives accuracy:max", "accuracy"),
        ("--objectives val_accuracy", "val_accuracy:max"),
        ("--objectives val_loss:min cost_usd:min", "--price-usd-per-hour"),
        ("--objectives latency_p50_ms:min", "begin with one of val_accuracy"),
        ("--storage s3://bucket/x?y=1", "--storage"),
        ("--dataset digits --trials 1", "--trials must be >= 2"),
        ("--price-usd-per-hour -1", "--price-usd-per-hour must be > 0"),
        ("--dataset digits --mutate width", "weights of one architecture don't fit another"),
        ("--dataset digits --mutate colour", "colour"),
        ("--dataset digits --models resnet9", "resnet9"),
        ("--dataset digits --batch-size 100000", "batch_size must be <="),
        ("--dataset digits --batch-size 33 --workers-per-trial 2", "multiple of 2 workers"),
        (
            "--dataset digits --models resnet8 --widths 4 --latency-slo-ms 0.000001",
            "latency_ms of the fastest architecture",
        ),
        ("--latency-percentile 98", "--latency-percentile"),
        ("--dataset digits --runtime abacus", "--runtime must be one of eager"),
        ("--dataset digits --precision fp8", "--fix precision=bf16 sets training's"),
        ("--dataset digits --fallback-runtime eager", "must be another than --runtime"),
        ("--dataset digits --latency-threads 9999", "--latency-threads must be <="),
        ("--dataset digits --latency-device pi5", "python -m trainables.latency import FILE pi5"),
        ("--dataset digits --latency-cache pyproject.toml", "--latency-cache must be"),
        ("--objectives val_loss:min serving_usd_per_million:min", "--serving-price-usd-per-hour"),
        ("--dataset cifar10 --data-dir /nonexistent", "digits"),
        ("--address 127.0.0.1:1", "--address"),
    ],
)
def test_a_wrong_flag(
    monkeypatch: pytest.MonkeyPatch, capsys: Any, tmp_path: Path, flags: str, said: str
) -> None:
    out = tmp_path / "run"
    assert said in run(monkeypatch, capsys, [*flags.split(), "--out", str(out)])
    assert not out.exists()


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("truncated", "images.parquet"),
        ("label gap", "label"),
        ("negative label", "label"),
        ("mixed size", "9"),
        ("empty split", "class"),
        ("no files", "Parquet"),
    ],
)
def test_wrong_data(
    monkeypatch: pytest.MonkeyPatch, capsys: Any, tmp_path: Path, what: str, said: str
) -> None:
    out = tmp_path / "run"
    flags = ["--dataset", f"parquet:{data_folder(tmp_path, what)}", "--out", str(out)]
    assert said.lower() in run(monkeypatch, capsys, flags).lower()
    assert not out.exists()


@pytest.mark.parametrize("flags", [[], ["--overwrite"]])
def test_a_folder_in_use_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: Any, tmp_path: Path, flags: list[str]
) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    errors = run(monkeypatch, capsys, ["--dataset", "digits", "--out", str(tmp_path), *flags])
    assert "--out" in errors or "--overwrite" in errors
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_an_out_that_cannot_be_made(
    monkeypatch: pytest.MonkeyPatch, capsys: Any, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    errors = run(monkeypatch, capsys, ["--out", str(tmp_path / "file" / "run")])
    assert "--out must be" in errors
