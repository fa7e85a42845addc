import json

import pytest
import torch

from analysis.records import RESULTS_SCHEMA, SCORE_NAMES, TRIALS_SCHEMA
from trainables.epoch_result import (
    DETAILS,
    STEERING_COLUMNS,
    EpochResult,
    pack,
    unpack,
    without_packed,
)
from trainables.metrics import score

LOGITS = torch.tensor([[2.0, 0.0, 1.0], [0.0, 1.0, 3.0], [0.5, 0.1, 0.0], [0.0, 2.0, 0.0]])
LABELS = torch.tensor([0, 2, 1, 1])


@pytest.fixture
def row():
    return EpochResult(
        epoch=3,
        train_loss=0.5,
        train_accuracy=0.875,
        val=score(LOGITS, LABELS),
        learning_rate=0.1,
        train_seconds=4.0,
        val_seconds=1.0,
        data_wait_fraction=0.25,
        started_unix_s=100.0,
        ended_unix_s=105.0,
        num_train_samples=80,
        peak_memory_bytes=None,
        energy_joules=None,
        is_stopped_early=False,
    ).to_dict()


def test_what_follows_from_others_is_worked_out(row):
    assert row["val_accuracy"] == 0.75
    assert row["generalisation_gap"] == pytest.approx(0.125)
    assert row["samples_per_second"] == 20.0


def test_scores_have_the_parts_name_and_tables_travel_as_json(row):
    assert {f"val_{name}" for name in SCORE_NAMES} <= set(row)
    details = json.loads(row["val_details"])
    assert tuple(details) == DETAILS
    assert details["confusion"] == [[1, 0, 0], [1, 1, 0], [0, 0, 1]]
    assert {f"val_{name}" for name in details} <= set(TRIALS_SCHEMA.names)
    assert not {"val", *(f"val_{name}" for name in DETAILS)} & set(row)


def test_a_row_is_plain_values(row):
    assert json.loads(json.dumps(row)) == row


def test_it_holds_all_that_is_recorded_of_an_epoch(row):
    by_the_sweep = {"trial_id", "parent_trial_id", "gang", "generation", "gang_seconds",
                    "gpu_seconds", "cost_usd", "energy_kwh"}  # fmt: skip
    assert set(RESULTS_SCHEMA.names) - set(row) == by_the_sweep


def test_tune_sees_what_it_needs_and_the_rest_comes_back(row):
    row |= {"done": False, "checkpoint": None, "gang": 1}
    packed = pack(row, ["val_loss"])
    assert set(packed) == {"epoch", "done", "checkpoint", "packed", "val_loss"}
    assert unpack(packed) == row
    assert unpack({**packed, "training_iteration": 3}) == {**row, "training_iteration": 3}
    assert all(row[name] is not None for name in STEERING_COLUMNS)
    assert set(without_packed(packed)) == set(packed) - {"packed"}
