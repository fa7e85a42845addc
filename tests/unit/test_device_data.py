import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sample_data import random_data, random_part
from sample_text import random_source

from trainables.augment.image import ImageDraws
from trainables.data.device import ImageOnDevice, PlacedPart, spread_positions
from trainables.data.text.dataset import split_text
from trainables.models.example import example_inputs
from trainables.task import Task
from trainables.trial_config import TrialConfig

CPU = torch.device("cpu")


def part_of(num_samples):
    """A part of any size, in the memory of one sample."""
    label = torch.zeros(1, dtype=torch.int64)
    return PlacedPart(label.expand(num_samples), label.expand(num_samples))


@given(num_samples=st.integers(1, 200_000), wanted=st.integers(0, 3000))
def test_positions_are_spread_from_end_to_end(num_samples, wanted):
    positions = spread_positions(wanted, part_of(num_samples))
    assert positions.dtype == torch.int64
    assert len(positions) == min(wanted, num_samples)
    if wanted:
        assert positions[0] == 0
    if len(positions) > 1:
        assert positions[-1] == num_samples - 1
        steps = positions.diff()
        assert steps.min() >= 1
        assert steps.max() - steps.min() <= 1


@pytest.mark.parametrize(("wanted", "num_samples"), [(130_940, 131_072), (1024, 20_000_000)])
def test_positions_of_a_large_part_stay_apart_and_inside(wanted, num_samples):
    positions = spread_positions(wanted, part_of(num_samples))
    assert positions.diff().min() >= 1
    assert positions[-1] == num_samples - 1


@given(per_class=st.integers(1, 50), num_classes=st.integers(1, 20), extra=st.integers(0, 50))
def test_no_class_is_left_out_of_a_part_in_order(per_class, num_classes, extra):
    labels = torch.arange(num_classes).repeat_interleave(per_class)
    chosen = spread_positions(num_classes + extra, PlacedPart(labels, labels))
    assert set(labels[chosen].tolist()) == set(range(num_classes))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_model_inputs_are_normalised_copies(channels, memory_format, dtype):
    data = random_data(shape=(channels, 8, 6))
    images = torch.from_numpy(data.train.inputs).to(dtype).contiguous(memory_format=memory_format)
    before = images.clone()
    found = data.on_device(CPU).model_inputs(images)
    mean, std = (np.reshape(values, (-1, 1, 1)) for values in (data.mean, data.std))
    expected = torch.from_numpy((data.train.inputs / 255 - mean) / std).float()
    torch.testing.assert_close(found, expected)
    assert found.dtype == torch.float32
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(images, before)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_gradients_reach_the_images(memory_format):
    data = random_data(shape=(3, 8, 6))
    images = torch.rand(4, 3, 8, 6).contiguous(memory_format=memory_format).requires_grad_()
    data.on_device(CPU).model_inputs(images * 255).sum().backward()
    expected = torch.tensor([1 / std for std in data.std]).view(-1, 1, 1).expand(4, 3, 8, 6)
    torch.testing.assert_close(images.grad, expected)


def test_without_draws_an_augmented_image_is_as_it_is():
    placed = random_data().on_device(CPU)
    images = placed.train.inputs[:5]
    draws = ImageDraws(padding_px=0, cutout_px=0)
    assert torch.equal(placed.augmented(images, draws), placed.model_inputs(images))
    assert images.dtype == torch.uint8


def test_a_blanked_square_is_zero_to_the_model():
    placed = random_data(shape=(3, 8, 8)).on_device(CPU)
    assert isinstance(placed, ImageOnDevice)
    draws = ImageDraws(padding_px=0, cutout_px=4, corners_px=torch.tensor([[2, 2]]))
    found = placed.augmented(placed.train.inputs[:1], draws)[0, :, 2:6, 2:6]
    # The mean is rounded to a whole pixel value.
    largest = 0.5 * placed._scale.abs().max()
    assert found.abs().max() <= largest * 1.001


def test_draws_fit_the_images():
    placed = random_data(shape=(1, 8, 6)).on_device(CPU)
    config = TrialConfig(crop_padding_px=2, cutout_px=2, randaugment_magnitude=5)
    draws = placed.draw(config, 7, torch.Generator().manual_seed(0))
    found = placed.augmented(placed.train.inputs[:7], draws)
    assert found.shape == (7, 1, 8, 6)


def test_another_part_is_placed_beside_them_in_its_own_memory():
    part = random_part(9)
    placed = random_data().on_device(CPU).place(part)
    assert len(placed) == 9
    assert placed.inputs.data_ptr() == part.inputs.ctypes.data
    assert placed.labels.tolist() == part.labels.tolist()


def test_example_inputs_are_a_models():
    for data in (random_data(shape=(3, 8, 6)), split_text(random_source(), seed=0)):
        placed = data.on_device(CPU)
        real = placed.model_inputs(placed.train.inputs[:4])
        example = example_inputs(data.task, 4)
        assert (example.shape, example.dtype) == (real.shape, real.dtype)


def test_example_texts_are_ids_without_padding():
    task = Task(kind="text", input_shape=(50,), num_classes=2, vocab_size=3)
    assert set(example_inputs(task, 20).flatten().tolist()) == {1, 2}
