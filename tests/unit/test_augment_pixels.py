import torch

from trainables.augment.pixels import to_pixels


def test_floats_are_clamped_and_rounded():
    values = torch.tensor([-3.0, -0.4, 0.4, 0.6, 254.6, 255.4, 1e9])
    pixels = to_pixels(values)
    assert pixels.dtype == torch.uint8
    assert pixels.tolist() == [0, 0, 0, 1, 255, 255, 255]
