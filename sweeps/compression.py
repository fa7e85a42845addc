"""Finalists with fewer channels: pruned, trained a little, and kept beside what they came from."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Final

import torch

from sweeps.trial_record import TrialRecord
from trainables.checkpoint_store import read_served_weights, write_checkpoint
from trainables.data.dataset import SplitData
from trainables.errors import InputError, TrainingError
from trainables.latency.measure import Subject
from trainables.models import count_parameters, create_model
from trainables.models.example import example_inputs
from trainables.pruning import fine_tune, prune
from trainables.task import Task
from trainables.trial_config import TrialConfig

FINE_TUNE_FRACTION: Final = 0.25
"""Of a trial's epochs, after pruning."""


def check_prunable(configs: Sequence[TrialConfig], task: Task, fraction: float) -> None:
    """Check that every model can be pruned, at its greatest width.

    Raises:
        InputError: names the first that can't be.
    """
    widest = {config.model: config for config in sorted(configs, key=lambda config: config.width)}
    for config in widest.values():
        try:
            prune(create_model(config, task), example_inputs(task, 2), fraction)
        except InputError as error:
            raise InputError(
                f"--compress-fraction must be left out or fit every model, got {fraction:g} with "
                f"{config.model}: {error}"
            ) from error


def prune_finalists(
    finalists: Sequence[TrialRecord],
    data: SplitData,
    fraction: float,
    *,
    locate: Callable[[str], str],
    is_stopping: Callable[[], bool],
    tell: Callable[[str], None],
) -> list[Subject]:
    """Prune finalists and train what is left, on this machine; write each beside its checkpoint.

    Args:
        finalists: with a checkpoint; no gang may be at work.
        data: the train part is trained on, the validation part says what came of it.
        fraction: of each layer's channels that is removed.
        locate: from a checkpoint as recorded to its location.
        is_stopping: says whether those that haven't begun shall be left out.
        tell: is told what became of each.

    Returns:
        Those that could be pruned, to be measured.
    """
    data = data.without_test()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    subjects = []
    for trial in finalists:
        if is_stopping():
            break
        assert trial.checkpoint is not None
        config, location = TrialConfig.from_dict(trial.config), locate(trial.checkpoint)
        try:
            subject, words = _prune(
                Subject(config, location, trial.trial_id), data, fraction, device
            )
        except (InputError, TrainingError) as error:
            tell(f"{trial.trial_id} was not pruned: {error}")
            continue
        subjects.append(subject)
        tell(f"{trial.trial_id} {words} (before {trial.value('val_accuracy'):.4f})")
    return subjects


def _prune(
    subject: Subject, data: SplitData, fraction: float, device: torch.device
) -> tuple[Subject, str]:
    """Return a subject pruned, trained and saved, and what it is in words."""
    assert subject.checkpoint is not None
    model = create_model(subject.config, data.task)
    model.load_state_dict(read_served_weights(subject.checkpoint))
    pruned = prune(model, example_inputs(data.task, 2), fraction).to(device)
    num_epochs = max(1, round(FINE_TUNE_FRACTION * subject.config.num_epochs))
    config = dataclasses.replace(subject.config, num_epochs=num_epochs)
    scores = fine_tune(pruned, config, data.on_device(device), device)
    location = f"{subject.checkpoint}-pruned"
    write_checkpoint({"model": pruned.state_dict(), "average": None}, location)
    words = (
        f"pruned by {fraction:g}: {count_parameters(model):,} parameters to "
        f"{count_parameters(pruned):,}, validation accuracy after {num_epochs} epochs "
        f"{scores.accuracy:.4f}"
    )
    return subject._replace(checkpoint=location, pruned_fraction=fraction), words
