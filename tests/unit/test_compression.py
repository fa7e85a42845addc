import dataclasses
import shutil
from types import SimpleNamespace

import pytest
import torch
from sample_data import random_data

from sweeps.compression import check_prunable, prune_finalists
from trainables.checkpoint_store import write_checkpoint
from trainables.errors import InputError
from trainables.latency.artefact import create_subject
from trainables.models import count_parameters
from trainables.ranks import Ranks
from trainables.train_loop import Training
from trainables.trial_config import TrialConfig

CPU = torch.device("cpu")


def in_request(subject):
    """A subject as the process that measures gets it."""
    return {**subject._asdict(), "config": subject.config.to_dict()}


CONFIG = TrialConfig(
    model="small_cnn", width=8, batch_size=30, num_epochs=8, crop_padding_px=0, ema_decay=0.5
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A data set, the folder of a run on it, and a trial of that."""
    folder, data = tmp_path_factory.mktemp("run"), random_data(300)
    training = Training(CONFIG, data.on_device(CPU), Ranks(0, 1, CPU, None))
    for _ in range(CONFIG.num_epochs):
        result = training.train_epoch()
    write_checkpoint(training.state_dict(), str(folder / "epoch_0008-1"))
    return data, folder, make_trial(CONFIG, result.val.accuracy)


def make_trial(config, accuracy=0.5):
    return SimpleNamespace(
        trial_id=f"trial_{config.width:04d}",
        config=config.to_dict(),
        checkpoint="epoch_0008-1",
        value=lambda column: {"val_accuracy": accuracy}[column],
    )


def run(trained, trials=None, fraction=0.5, is_stopping=lambda: False):
    data, folder, trial = trained
    told = []
    subjects = prune_finalists(
        trials or [trial],
        data,
        fraction,
        locate=lambda checkpoint: str(folder / checkpoint),
        is_stopping=is_stopping,
        tell=told.append,
    )
    return subjects, told


def test_a_finalist_is_pruned_trained_and_written_so_that_it_can_be_measured(trained):
    data, folder, trial = trained
    (subject,), (line,) = run(trained)
    assert subject.checkpoint == str(folder / "epoch_0008-1-pruned")
    assert (subject.trial_id, subject.pruned_fraction) == (trial.trial_id, 0.5)
    model = create_subject(in_request(subject), data.task)
    whole = subject._replace(checkpoint=str(folder / "epoch_0008-1"), pruned_fraction=0.0)
    whole = create_subject(in_request(whole), data.task)
    placed = data.on_device(CPU)
    with torch.no_grad():
        logits = model(placed.model_inputs(placed.val.inputs))
    accuracy = (logits.argmax(1) == placed.val.labels).double().mean().item()
    assert line == (
        f"{trial.trial_id} pruned by 0.5: {count_parameters(whole):,} parameters to "
        f"{count_parameters(model):,}, validation accuracy after 2 epochs {accuracy:.4f} "
        f"(before {trial.value('val_accuracy'):.4f})"
    )
    assert accuracy > 0.6  # a third by chance


def test_one_that_cannot_be_pruned_costs_no_other(trained):
    data, folder, trial = trained
    narrow = dataclasses.replace(CONFIG, width=1)
    training = Training(narrow, data.on_device(CPU), Ranks(0, 1, CPU, None))
    write_checkpoint(training.state_dict(), str(folder / "narrow"))
    other = make_trial(narrow)
    other.checkpoint = "narrow"
    subjects, told = run(trained, [other, trial], fraction=0.8)
    assert [subject.trial_id for subject in subjects] == [trial.trial_id]
    assert told[0].startswith("trial_0001 was not pruned: a model to prune must be")
    shutil.rmtree(folder / "narrow")


def test_none_is_begun_once_the_sweep_stops(trained):
    assert run(trained, is_stopping=lambda: True) == ([], [])


def test_models_of_a_space_are_checked_at_their_greatest_width():
    task = random_data().task
    configs = [TrialConfig(model="small_cnn", width=width) for width in (64, 1)]
    check_prunable(configs, task, 0.8)
    keras = TrialConfig(model="keras_cnn", width=4)
    with pytest.raises(
        InputError, match=r"^--compress-fraction must be .* with keras_cnn: a model"
    ):
        check_prunable([*configs, keras], task, 0.8)
