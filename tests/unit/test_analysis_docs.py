"""Every example in docs/analysis.md gives what the page says, on two small runs."""

import doctest
from pathlib import Path

import pytest
from fake_run import fake_seeds, fake_trial, write_run

PAGE = Path(__file__).parents[2] / "docs" / "analysis.md"
WIDTHS = (8, 12, 16, 24, 32, 48)


def trials(shift):
    """Return trials of which the wider are slower and better, but the last two gain nothing."""
    rows = []
    for index, width in enumerate(2 * WIDTHS):
        rate = 0.1 if index < len(WIDTHS) else 0.01
        accuracy = 0.7 + 0.05 * min(index % len(WIDTHS), 3) - (0.02 + shift) * (rate < 0.1)
        config = {"width": width, "learning_rate": rate}
        row = fake_trial(
            f"trial_{index:04}",
            config=config,
            val_accuracy=round(accuracy + shift, 4),
            latency_ms=width / 8,
            status="stopped" if index % 4 == 3 else "completed",
        )
        rows.append(row)
    return rows


def results(rows):
    return [
        {
            "trial_id": row["trial_id"],
            "epoch": epoch,
            "val_accuracy": row["val_accuracy"] * epoch / 3,
            "gang_seconds": 10 / 3 * epoch,
        }
        for row in rows
        for epoch in (1, 2, 3)
    ]


def test_the_examples_of_the_page_hold(tmp_path, monkeypatch):
    pytest.importorskip("plotly")
    pytest.importorskip("optuna")
    monkeypatch.chdir(tmp_path)
    sweep = {"objectives": ["val_accuracy:max", "latency_ms:min"]}
    for name, shift in (("first", 0.0), ("second", 0.01)):
        rows = trials(shift)
        lineage = [
            {"from_epoch": 0, "parent_trial_id": None, "config": '{"learning_rate": 0.1}'},
            {"from_epoch": 2, "parent_trial_id": "trial_0003", "config": '{"learning_rate": 0.08}'},
        ]
        rows = [{**row, "lineage": lineage} for row in rows]
        seeds = [
            row
            for trial, middle in (("trial_0003", 0.84), ("trial_0002", 0.79), ("trial_0000", 0.69))
            for row in fake_seeds(trial, [middle, middle + 0.005, middle - 0.005])
        ]
        folder = Path("runs") / name
        write_run(folder, rows, results=results(rows), seeds=seeds, sweep=sweep)
    flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    found = doctest.testfile(str(PAGE), module_relative=False, optionflags=flags)
    assert found.attempted > 20
    assert found.failed == 0
