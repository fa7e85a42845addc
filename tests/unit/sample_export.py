"""Small runs with a real checkpoint, for the tests of exporting."""

import csv
import json

import torch
from fake_run import fake_latency, fake_trial, write_run
from sample_text import random_source

from trainables.checkpoint_store import write_checkpoint
from trainables.data.load import load_dataset
from trainables.models import create_model
from trainables.trial_config import TrialConfig

CHECKPOINT = "checkpoints/trial_0001/epoch_0003-7"


def write_texts(path):
    """Write texts of a few words, and some that are longer than training takes."""
    source = random_source(120)
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["text", "label"])
        for i, (text, label) in enumerate(zip(source.texts, source.labels, strict=True)):
            rows.writerow([f"{text}, " * (40 if i % 10 == 0 else 1), label])
    return path


def write_trained_run(folder, *, dataset="digits", model="small_cnn", sweep=None, **columns):
    """Write a run with a trial whose checkpoint is there; its weights are random.

    Returns:
        The folder, the data, and the model as it was "trained", in evaluation mode.
    """
    data, note = load_dataset(dataset, "data", seed=0, limit_train=60)
    config = TrialConfig(model=model, width=4)
    torch.manual_seed(1)
    trained = create_model(config, data.task).eval()
    write_checkpoint({"model": trained.state_dict(), "average": None}, str(folder / CHECKPOINT))
    row = {"config": config.to_dict(), "checkpoint": CHECKPOINT, "latency_runtime": None}
    recorded = {
        "name": data.name,
        "note": note,
        "fingerprint": data.fingerprint,
        "limit_train": 60,
        **data.task.to_dict(),
    }
    told = {"spec": {"dataset": dataset, "data_dir": "data", "seed": 0}, "dataset": recorded}
    trials = [
        fake_trial("trial_0001", **(row | columns)),
        fake_trial("trial_0002", checkpoint=None),
    ]
    write_run(
        folder,
        trials,
        latency=[fake_latency(0.9)],
        sweep=json.loads(json.dumps(told)) | (sweep or {}),
    )
    return folder, data, trained
