import numpy as np
import pytest
from sample_data import random_data

from trainables.latency import samples as latency_samples
from trainables.latency.samples import calibration_samples, num_evaluated, shipping_samples

DATA = random_data(300)


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(latency_samples, "CALIBRATION_SAMPLES", 7)
    monkeypatch.setattr(latency_samples, "EVALUATION_SAMPLES", 9)


def normalised(images):
    scale = np.array(DATA.std).reshape(-1, 1, 1) * 255
    return (images - 255 * np.array(DATA.mean).reshape(-1, 1, 1)) / scale


def test_int8_is_fitted_to_samples_of_the_training_part_alone(few):
    samples = calibration_samples(DATA)
    chosen = np.arange(7) * (len(DATA.train) - 1) // 6
    np.testing.assert_allclose(
        samples.calibration, normalised(DATA.train.inputs[chosen]), rtol=1e-4, atol=1e-5
    )
    assert samples.evaluation is samples.labels is None


def test_accuracy_is_found_on_the_validation_part(few):
    samples = shipping_samples(DATA)
    np.testing.assert_array_equal(samples.calibration, calibration_samples(DATA).calibration)
    chosen = np.arange(9) * (len(DATA.val) - 1) // 8
    np.testing.assert_allclose(
        samples.evaluation, normalised(DATA.val.inputs[chosen]), rtol=1e-4, atol=1e-5
    )
    np.testing.assert_array_equal(samples.labels, DATA.val.labels[chosen])
    assert num_evaluated(DATA) == 9


def test_a_part_that_is_smaller_is_taken_whole():
    assert len(shipping_samples(DATA).labels) == num_evaluated(DATA) == len(DATA.val)


def test_of_large_samples_fewer_are_taken(monkeypatch):
    num_bytes = DATA.train.inputs[0].size * 4
    monkeypatch.setattr(latency_samples, "MAX_BYTES", 3 * num_bytes)
    assert len(calibration_samples(DATA).calibration) == num_evaluated(DATA) == 3
