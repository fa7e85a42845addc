import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as vision

from trainables.augment.geometry import blank, crop, flip, rotations, shears, translations, warp

SIZES_PX = [(8, 8), (32, 32), (12, 20), (21, 9)]
ZERO = torch.zeros(4)


def random_images(num_samples, size_px, channels=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shape = (num_samples, channels, *size_px)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


def assert_nearly_equal(result, expected):
    # One level: bilinear values may lie on either side of the half at which they are rounded.
    assert result.dtype == torch.uint8
    assert (result.int() - expected.int()).abs().max() <= 1


@given(
    num_samples=st.integers(1, 5),
    channels=st.sampled_from([1, 3]),
    size_px=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    padding_px=st.integers(1, 4),
    seed=st.integers(0, 1000),
)
def test_crop_and_flip_as_the_naive_loop(num_samples, channels, size_px, padding_px, seed):
    images = random_images(num_samples, size_px, channels, seed)
    before = images.clone()
    generator = torch.Generator().manual_seed(seed)
    offsets_px = torch.randint(2 * padding_px + 1, (num_samples, 2), generator=generator)
    is_flipped = torch.rand(num_samples, generator=generator) < 0.5
    result = flip(crop(images, offsets_px, padding_px), is_flipped)
    height, width = size_px
    expected = torch.zeros_like(images)
    for sample in range(num_samples):
        for row in range(height):
            for column in range(width):
                y = row + int(offsets_px[sample, 0]) - padding_px
                x = width - 1 - column if is_flipped[sample] else column
                x += int(offsets_px[sample, 1]) - padding_px
                if 0 <= y < height and 0 <= x < width:
                    expected[sample, :, row, column] = images[sample, :, y, x]
    assert torch.equal(result, expected)
    assert torch.equal(images, before)


@pytest.mark.parametrize("size_px", SIZES_PX)
def test_rotations_as_torchvision(size_px):
    images = random_images(5, size_px)
    angles = torch.tensor([-170.0, -15.0, 0.0, 7.3, 90.0])
    result = warp(images, rotations(angles, size_px))
    for image, angle, rotated in zip(images, angles.tolist(), result, strict=True):
        expected = vision.rotate(image, angle, interpolation=InterpolationMode.BILINEAR)
        assert_nearly_equal(rotated, expected)
    assert torch.equal(result[2], images[2])


@pytest.mark.parametrize("size_px", SIZES_PX)
@pytest.mark.parametrize("axis", [0, 1])
def test_shears_as_torchvision(size_px, axis):
    images = random_images(4, size_px)
    slopes = torch.tensor([-0.3, -0.09, 0.1, 0.3])
    result = warp(images, shears(*((slopes, ZERO) if axis == 0 else (ZERO, slopes)), size_px))
    for image, slope, sheared in zip(images, slopes, result, strict=True):
        angles = [0.0, 0.0]
        angles[axis] = float(slope.double().atan().rad2deg())
        expected = vision.affine(
            image,
            angle=0.0,
            translate=[0, 0],
            scale=1.0,
            shear=angles,
            interpolation=InterpolationMode.BILINEAR,
            center=[0, 0],
        )
        assert_nearly_equal(sheared, expected)


@pytest.mark.parametrize("size_px", SIZES_PX)
def test_translations_move_whole_pixels_to_the_right_and_down(size_px):
    images = random_images(4, size_px)
    x_px, y_px = torch.tensor([-2, 0, 1, 3]), torch.tensor([1, 0, -3, 2])
    result = warp(images, translations(x_px, y_px, size_px))
    for image, x, y, moved in zip(images, x_px.tolist(), y_px.tolist(), result, strict=True):
        expected = vision.affine(image, angle=0.0, translate=[x, y], scale=1.0, shear=[0.0, 0.0])
        assert torch.equal(moved, expected)


def test_a_square_is_blanked_and_nothing_else():
    images = random_images(3, (6, 9))
    corners_px = torch.tensor([[1, 2], [-2, 7], [5, -3]])
    result = blank(images, corners_px, 4, torch.tensor([10.0, 99.6, 255.0]))
    expected = images.clone()
    fill = torch.tensor([10, 100, 255], dtype=torch.uint8)[:, None, None]
    expected[0, :, 1:5, 2:6] = fill
    expected[1, :, 0:2, 7:9] = fill
    expected[2, :, 5:6, 0:1] = fill
    assert torch.equal(result, expected)
