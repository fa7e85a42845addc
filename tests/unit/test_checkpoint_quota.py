import pytest
import torch
from sample_data import random_data

from sweeps.checkpoint_quota import check_quota, expected_bytes
from trainables import checkpoint
from trainables.complexity import measure_complexity
from trainables.errors import InputError
from trainables.ranks import Ranks
from trainables.train_loop import Training
from trainables.trial_config import TrialConfig


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"optimizer": "adamw", "learning_rate": 1e-3},
        {"optimizer": "rmsprop", "learning_rate": 1e-3},
        {"optimizer": "adam", "learning_rate": 1e-3, "ema_decay": 0.99},
        {"model": "vit", "optimizer": "muon", "learning_rate": 1e-3},
    ],
)
def test_a_checkpoint_is_about_as_large_as_expected(changes):
    config = TrialConfig.from_dict({"width": 32, "batch_size": 16, "num_epochs": 2, **changes})
    data, device = random_data(), torch.device("cpu")
    training = Training(config, data.on_device(device), Ranks(0, 1, device, None))
    for parameter in training.model.parameters():  # a step, without the epoch around it
        parameter.grad = torch.ones_like(parameter)
    training._optimizer.step()
    size = len(checkpoint.to_bytes(training.state_dict()))
    expected = expected_bytes(config, measure_complexity(config, data.task).weights_bytes)
    assert 0.65 * expected < size < 1.15 * expected


def test_a_quota_must_hold_one_checkpoint_of_every_gang():
    check_quota(None, [10**12], 8)
    check_quota(0.8, [10**8, 10**7], 8)
    with pytest.raises(InputError) as caught:
        check_quota(0.5, [10**8, 10**7], 8)
    assert str(caught.value) == (
        "--checkpoint-quota-gb must be >= 8 gangs x 0.1 GB of the largest checkpoint = 0.8 GB, got "
        "0.5; raise it or search smaller models"
    )
