import pickle

import numpy as np
import pytest
from sample_data import random_part

from trainables.data.dataset import Part


def is_channels_last(images):
    return images.transpose(0, 2, 3, 1).flags.c_contiguous


@pytest.mark.parametrize("shape", [(1, 8, 6), (3, 8, 6)])
def test_images_lie_with_channels_last_however_they_came(shape):
    pixels = np.random.default_rng(0).integers(0, 256, (5, *shape), dtype=np.uint8)
    part = Part(pixels, np.zeros(5, np.int64))
    assert is_channels_last(part.inputs)
    np.testing.assert_array_equal(part.inputs, pixels)
    taken = part.take(np.array([3, 1]))
    assert is_channels_last(taken.inputs)
    np.testing.assert_array_equal(taken.inputs, pixels[[3, 1]])


def test_images_that_lie_so_already_are_not_copied():
    pixels = np.zeros((5, 8, 6, 3), np.uint8)
    part = Part(pixels.transpose(0, 3, 1, 2), np.zeros(5, np.int64))
    assert np.shares_memory(part.inputs, pixels)


@pytest.mark.parametrize("is_text", [False, True])
def test_a_pickled_part_keeps_its_memory_out_of_the_pickle(is_text):
    part = random_part(50, shape=(3, 8, 8))
    if is_text:
        part = Part(np.arange(100, dtype=np.int32).reshape(50, 2), part.labels)
    buffers = []
    content = pickle.dumps(part, protocol=5, buffer_callback=buffers.append)
    assert len(content) < 500
    found = pickle.loads(content, buffers=[buffer.raw() for buffer in buffers])
    np.testing.assert_array_equal(found.inputs, part.inputs)
    np.testing.assert_array_equal(found.labels, part.labels)
    assert np.shares_memory(found.inputs, np.frombuffer(buffers[0].raw(), np.uint8))
