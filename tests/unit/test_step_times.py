import pytest
from sample_data import random_data

from trainables.errors import TrainingError
from trainables.step_times import TimedWorker, time_config, time_epochs
from trainables.trial_config import TrialConfig

CONFIG = TrialConfig(width=4, batch_size=16, num_epochs=1)
WORKER = TimedWorker(num_workers=2, num_threads=1, has_gpu=False)


def test_steps_and_samples_take_time():
    step_s, sample_s = time_config(CONFIG.to_dict(), random_data(), WORKER)
    assert step_s > 0
    assert sample_s > 0


def test_epochs_are_timed_in_a_process_of_their_own():
    seconds = time_epochs([CONFIG, CONFIG], random_data(), WORKER)
    assert len(seconds) == 2
    assert min(seconds) > 0


def test_what_fails_there_is_said_here():
    bad = TrialConfig(width=4, batch_size=16, model="vit", patch_px=3)  # doesn't divide 8 px
    with pytest.raises(TrainingError, match=r"timing steps failed: .*patch_px"):
        time_epochs([bad], random_data(), WORKER)
