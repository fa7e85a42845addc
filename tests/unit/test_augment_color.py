import colorsys
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.transforms.v2 import functional as vision

from trainables.augment.color import color_matrices, recolor

ONE, ZERO = torch.ones(3), torch.zeros(3)
FACTORS = torch.tensor([0.1, 0.7, 1.9])


def random_images(channels=3, low=0, high=256):
    generator = torch.Generator().manual_seed(0)
    shape = (3, channels, 8, 11)
    return torch.randint(low, high, shape, dtype=torch.uint8, generator=generator)


def assert_nearly_equal(result, expected):
    # One level: rounding, and torchvision's weights of grey add up to 0.9999 only.
    assert result.dtype == torch.uint8
    assert (result - expected).abs().max() <= 1


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_single_change_as_torchvision(channels, place):
    images = random_images(channels)
    before = images.clone()
    values = [ONE, ONE, ONE, ZERO]
    values[place] = FACTORS
    result = recolor(images, color_matrices(*values, channels=channels))
    function = (vision.adjust_brightness, vision.adjust_contrast, vision.adjust_saturation)[place]
    for image, factor, changed in zip(images, FACTORS.tolist(), result, strict=True):
        assert_nearly_equal(changed, 255 * function(image / 255, factor))
    assert torch.equal(images, before)


@pytest.mark.parametrize("channels", [1, 3])
def test_all_changes_in_a_row_as_torchvision_where_nothing_is_clamped(channels):
    images = random_images(channels, low=100, high=150)
    factors = torch.tensor([[0.8, 1.1, 1.2], [1.2, 0.7, 0.9], [0.6, 1.3, 1.1]])
    result = recolor(images, color_matrices(*factors, ZERO, channels=channels))
    for image, (brightness, contrast, saturation), changed in zip(
        images, factors.T.tolist(), result, strict=True
    ):
        expected = vision.adjust_brightness(image / 255, brightness)
        expected = vision.adjust_contrast(expected, contrast)
        assert_nearly_equal(changed, 255 * vision.adjust_saturation(expected, saturation))


@given(angles=st.tuples(*[st.floats(-180, 180)] * 2), rgb=st.tuples(*[st.floats(0, 255)] * 3))
def test_hue_turns_colours_around_grey(angles, rgb):
    first, second, both = color_matrices(
        ONE, ONE, ONE, torch.tensor([*angles, sum(angles)]), channels=3
    )
    color = torch.tensor([*rgb, 0.0])
    assert torch.allclose(both @ color, second[:, :3] @ (first @ color), atol=0.01)
    grey = torch.tensor([0.299, 0.587, 0.114])
    assert float(grey @ (first @ color)) == pytest.approx(float(grey @ color[:3]), abs=0.01)
    assert torch.allclose(first[:, :3] @ torch.full((3,), 77.0), torch.full((3,), 77.0), atol=0.01)


@pytest.mark.parametrize("rgb", [(200, 60, 50), (40, 160, 80), (90, 80, 210)])
def test_hue_turns_by_the_angle_from_red_towards_yellow(rgb):
    matrix = color_matrices(ONE, ONE, ONE, torch.tensor([25.0, 0.0, 0.0]), channels=3)[0, :, :3]
    turned = (matrix @ torch.tensor(rgb).float()).tolist()
    angles = []
    for color in (rgb, turned):
        _, i, q = colorsys.rgb_to_yiq(*(channel / 255 for channel in color))
        angles.append(math.degrees(math.atan2(q, i)))
    # Python rounds the weights of YIQ to two digits.
    assert (angles[0] - angles[1] + 180) % 360 - 180 == pytest.approx(25, abs=1)


def test_hue_and_saturation_leave_grey_images_alone():
    images = random_images(channels=1)
    matrices = color_matrices(ONE, ONE, FACTORS, 90 * ONE, channels=1)
    assert torch.equal(recolor(images, matrices), images)


def test_what_leaves_the_range_is_clamped():
    result = recolor(random_images(), color_matrices(3 * ONE, 3 * ONE, ONE, ZERO, channels=3))
    assert result.min() == 0
    assert result.max() == 255
