"""Writes small run folders that keep to the schema, for tests of whatever reads them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from analysis import records

Row = Mapping[str, Any]

CORRUPTIONS = ("gaussian_noise", "gaussian_blur", "brightness", "contrast", "jpeg", "occlusion")
ATTACKS = ("fgsm", "pgd")


def fake_trial(trial_id: str, **columns: Any) -> dict[str, Any]:
    """Return a row of trials.parquet; `config` and `lineage` may be given as Python values."""
    config = columns.pop("config", {"learning_rate": 0.1, "width": 16})
    text = config if isinstance(config, str) else json.dumps(config)
    row: dict[str, Any] = dict.fromkeys(records.TRIALS_SCHEMA.names)
    row |= {
        "trial_id": trial_id,
        "status": "completed",
        "config": text,
        "lineage": [{"from_epoch": 0, "parent_trial_id": None, "config": text}],
        "num_exploits": 0,
        "architecture": "arch-a",
        "num_parameters": 1000,
        "epoch": 3,
        "train_loss": 0.5,
        "val_loss": 0.6,
        "val_accuracy": 0.8,
        "latency_p50_ms": 1.0,
        "latency_ms": 0.9,
        "latency_status": "exact",
        "latency_runtime": "openvino",
        "gang_seconds": 10.0,
        "gpu_seconds": 0.0,
        "checkpoint": f"checkpoints/{trial_id}/epoch_3",
        "reproduce": f"python -m sweeps.reproduce runs/fake --trial {trial_id}",
    }
    return row | columns


def fake_sweep(**keys: Any) -> dict[str, Any]:
    """Return the content of a sweep.json."""
    return {
        "schema_version": records.SCHEMA_VERSION,
        "name": "fake",
        "objectives": ["val_accuracy:max", "latency_p50_ms:min"],
        "dataset": {
            "name": "digits",
            "note": "8x8 grey digits of scikit-learn",
            "fingerprint": "0" * 16,
            "num_classes": 10,
            "input_shape": [1, 8, 8],
        },
        "spec": {},
        "seed": 0,
        "versions": {},
        "commit": None,
        "hardware": {},
        "gangs": {"workers_per_gang": 2, "gpus_per_worker": 0, "threads_per_worker": 1},
        "num_trials": 0,
        "status": "finished",
        "totals": {},
        "started_unix_s": 0.0,
        "ended_unix_s": 60.0,
    } | keys


def fake_finalist(trial_id: str, **columns: Any) -> dict[str, Any]:
    """Return a row of trials.parquet with test scores."""
    scores = {"accuracy": 0.78, "f1_macro": 0.77, "roc_auc": 0.95, "ece": 0.04}
    return fake_trial(trial_id, **{f"test_{name}": v for name, v in scores.items()} | columns)


def fake_serving(**keys: Any) -> dict[str, Any]:
    """Return what a sweep.json says of serving."""
    return {
        "runtime": "openvino",
        "precision": "int8",
        "batch_size": 1,
        "num_threads": 1,
        "device": "cpu",
        "fallback_runtime": None,
        "machine": None,
        "slo_ms": None,
        "percentile": None,
        "price_usd_per_hour": None,
        "measured_on": "cpu Sample",
        "num_evaluated": 200,
    } | keys


def fake_latency(latency_ms: float | None = 1.0, **columns: Any) -> dict[str, Any]:
    """Return a row of latency.parquet; intervals reach 1 % to both sides."""
    row: dict[str, Any] = dict.fromkeys(records.LATENCY_SCHEMA.names)
    for name in ("latency", "p50", "p95", "p99") if latency_ms is not None else ():
        row |= {
            f"{name}_ms": latency_ms,
            f"{name}_low_ms": 0.99 * latency_ms,
            f"{name}_high_ms": 1.01 * latency_ms,
        }
    row |= {"architecture": "arch-a", "runtime": "openvino", "precision": "int8", "batch_size": 1}
    return row | {"num_threads": 1, "device": "cpu Sample", "status": "exact"} | columns


def fake_robustness(trial_id: str, names: Sequence[str] = CORRUPTIONS) -> list[dict[str, Any]]:
    """Return rows of robustness.parquet: accuracy falls by a tenth a severity, from 0.7."""
    return [
        {
            "trial_id": trial_id,
            "kind": "attack" if name in ATTACKS else "corruption",
            "name": name,
            "severity": severity,
            "num_samples": 100,
            "accuracy": 0.8 - 0.1 * severity,
        }
        for name in names
        for severity in range(1, 5 if name in ATTACKS else 6)
    ]


def fake_image(trial_id: str, sample: int = 0, side: int = 8, **columns: Any) -> dict[str, Any]:
    """Return a row of attributions.parquet: a square image, brighter and heavier to the right."""
    ramp = np.tile(np.linspace(0, 1, side), (side, 1))
    image = np.repeat(np.uint8(255 * ramp)[:, :, None], 3, axis=2)
    row = {"trial_id": trial_id, "sample": sample, "label": "cat", "predicted": "cat"}
    row |= {"height": side, "width": side, "image": image.tobytes()}
    return row | {"attribution": ramp.ravel().tolist()} | columns


def fake_seeds(trial_id: str, accuracies: Sequence[float], **columns: Any) -> list[dict[str, Any]]:
    """Return rows of seeds.parquet: a further training an accuracy."""
    row = {"trial_id": trial_id, "status": "finished", "epoch": 3} | columns
    return [
        row | {"seed": seed, "val_accuracy": accuracy}
        for seed, accuracy in enumerate(accuracies, start=1)
    ]


def fake_text(trial_id: str, text: str, sample: int = 0, **columns: Any) -> dict[str, Any]:
    """Return a row of attributions.parquet: a text, the later tokens heavier."""
    tokens = [f" {word}" for word in text.split()]
    row = {"trial_id": trial_id, "sample": sample, "label": "cat", "predicted": "cat"}
    return (
        row | {"tokens": tokens, "attribution": np.linspace(0, 1, len(tokens)).tolist()} | columns
    )


def write_run(
    folder: Path,
    trials: Iterable[Row],
    *,
    results: Iterable[Row] | None = None,
    latency: Iterable[Row] = (),
    robustness: Iterable[Row] | None = None,
    attributions: Iterable[Row] | None = None,
    seeds: Iterable[Row] | None = None,
    ledger: Iterable[Row] | None = None,
    sweep: Row | None = None,
) -> Path:
    """Write a run folder and return its path.

    `trials` are rows as `fake_trial` makes them; `results` default to one row an epoch of each
    trial; `robustness`, `attributions`, `seeds` and `ledger` are no file if None; `sweep` overrides
    keys of `fake_sweep`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    trials = list(trials)
    if results is None:
        results = [
            {"trial_id": trial["trial_id"], "epoch": epoch, "val_accuracy": trial["val_accuracy"]}
            for trial in trials
            for epoch in range(1, (trial["epoch"] or 0) + 1)
        ]
    spec = fake_sweep(**({"num_trials": len(trials)} | dict(sweep or {})))
    (folder / records.SWEEP_FILE).write_text(json.dumps(spec))
    for name, schema, rows in (
        (records.TRIALS_FILE, records.TRIALS_SCHEMA, trials),
        (records.RESULTS_FILE, records.RESULTS_SCHEMA, results),
        (records.LATENCY_FILE, records.LATENCY_SCHEMA, latency),
        (records.ROBUSTNESS_FILE, records.ROBUSTNESS_SCHEMA, robustness),
        (records.ATTRIBUTIONS_FILE, records.ATTRIBUTIONS_SCHEMA, attributions),
        (records.SEEDS_FILE, records.SEEDS_SCHEMA, seeds),
        (records.LEDGER_FILE, records.LEDGER_SCHEMA, ledger),
    ):
        if rows is None:
            continue
        filled = [{column: row.get(column) for column in schema.names} for row in rows]
        pq.write_table(pa.Table.from_pylist(filled, schema=schema), folder / name)
    return folder
