"""int8 of a Transformer: with NNCF's SmoothQuant this one keeps 60 % of its classes."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch.nn import functional

from trainables.errors import InputError
from trainables.latency.protocol import Recipe, open_runtime, prepare
from trainables.latency.serving import Serving, check_serving
from trainables.latency.shipping import MAX_LOST_POINTS, MIN_AGREEMENT_FRACTION
from trainables.models import create_model
from trainables.task import Task
from trainables.trial_config import TrialConfig

TASK = Task(kind="image", input_shape=(1, 8, 8), num_classes=10)
CONFIG = TrialConfig(model="vit", width=32, depth=2, heads=2, patch_px=2)
NUM_TRAIN, BATCH = 1200, 60


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def trained_vit(images, labels):
    torch.manual_seed(0)
    model = create_model(CONFIG, TASK)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    for _ in range(20):
        for chosen in torch.randperm(NUM_TRAIN).split(BATCH):
            optimizer.zero_grad()
            functional.cross_entropy(model(images[chosen]), labels[chosen]).backward()
            optimizer.step()
    return model.eval()


def test_int8_of_a_trained_vit_may_be_shipped():
    try:
        check_serving(Serving(runtime="openvino", precision="int8", batch_size=BATCH))
    except InputError as error:
        pytest.skip(str(error))
    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    images = torch.from_numpy(digits.images[order].astype(np.float32) / 8 - 1)[:, None]
    labels = torch.from_numpy(digits.target[order])
    model = trained_vit(images, labels)
    batches = images[NUM_TRAIN:].split(BATCH)[:-1]
    truth = labels[NUM_TRAIN : NUM_TRAIN + BATCH * len(batches)].numpy()
    recipe = Recipe("int8", batches[0], images[:256])
    runner = prepare(open_runtime("openvino"), model.requires_grad_(False), recipe)
    expected = np.concatenate([model(batch).argmax(1).numpy() for batch in batches])
    found = np.concatenate([np.asarray(runner(batch)).argmax(1) for batch in batches])
    fp32_accuracy = (expected == truth).mean()
    assert fp32_accuracy > 0.85  # it has learnt something to lose
    assert 100 * (fp32_accuracy - (found == truth).mean()) <= MAX_LOST_POINTS
    assert (found == expected).mean() >= MIN_AGREEMENT_FRACTION
