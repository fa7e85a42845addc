import colorsys

import numpy as np
import pytest
import scipy.ndimage
import torch
import torch.nn.functional as F

from trainables.errors import InputError
from trainables.robustness.corruptions import CORRUPTIONS, SEVERITIES, corrupt


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def draw(*shape):
    """Smooth images, as photographs are."""
    count, channels, height, width = shape
    coarse = torch.rand(count, channels, 4, 4, generator=seeded())
    smooth = F.interpolate(coarse, size=(height, width), mode="bilinear")
    return (255 * smooth).to(torch.uint8)


@pytest.mark.parametrize("shape", [(3, 3, 32, 32), (2, 1, 8, 8), (2, 3, 9, 14), (0, 3, 8, 8)])
@pytest.mark.parametrize("name", CORRUPTIONS)
def test_images_keep_their_form_and_the_originals_stay(name, shape):
    images = draw(*shape) if shape[0] else torch.empty(shape, dtype=torch.uint8)
    before = images.clone()
    for severity in SEVERITIES:
        first = corrupt(images, name, severity, seeded())
        assert (first.dtype, first.shape) == (torch.uint8, images.shape)
        assert torch.equal(first, corrupt(images, name, severity, seeded()))
    assert torch.equal(images, before)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_greater_severity_changes_more(name):
    images = draw(16, 3, 32, 32)
    changes = [
        (corrupt(images, name, severity, seeded()).double() - images).abs().mean().item()
        for severity in SEVERITIES
    ]
    assert changes[0] > 0
    assert changes == sorted(set(changes))


def test_noise_has_the_published_deviation():
    images = torch.full((8, 3, 32, 32), 128, dtype=torch.uint8)
    noisy = corrupt(images, "gaussian_noise", 5, seeded()).double()
    assert noisy.std().item() == pytest.approx(25.5, rel=0.02)
    assert noisy.mean().item() == pytest.approx(128, abs=0.5)


def test_blur_is_that_of_scipy():
    images = draw(2, 3, 16, 16)
    oracle = scipy.ndimage.gaussian_filter(
        images.double().numpy(), sigma=(0, 0, 1, 1), mode="mirror", truncate=4
    )
    blurred = corrupt(images, "gaussian_blur", 5, seeded()).numpy()
    assert np.abs(blurred - oracle).max() <= 0.51


def test_brightness_raises_the_value_of_hsv():
    images = torch.randint(0, 256, (1, 3, 8, 8), dtype=torch.uint8, generator=seeded())
    images[..., 0, 0] = 0
    images[..., 0, 1] = 255
    brighter = corrupt(images, "brightness", 3, seeded())
    pixels = images[0].flatten(1).T / 255
    for pixel, result in zip(pixels.tolist(), brighter[0].flatten(1).T.tolist(), strict=True):
        hue, saturation, value = colorsys.rgb_to_hsv(*pixel)
        oracle = colorsys.hsv_to_rgb(hue, saturation, min(value + 0.15, 1))
        assert result == pytest.approx([255 * channel for channel in oracle], abs=0.51)


def test_contrast_shrinks_to_the_mean_of_each_channel():
    images = draw(2, 3, 16, 16)
    flat = corrupt(images, "contrast", 2, seeded()).double()
    means = images.double().mean((2, 3), keepdim=True)
    assert (flat - (means + images) / 2).abs().max() <= 0.51


@pytest.mark.parametrize(("side", "sides_px"), [(8, [1, 2, 3, 4, 5]), (32, [4, 8, 12, 16, 20])])
def test_occlusion_covers_a_square_inside_the_image(side, sides_px):
    images = torch.zeros(400, 3, side, side, dtype=torch.uint8)
    for severity, side_px in zip(SEVERITIES, sides_px, strict=True):
        covered = corrupt(images, "occlusion", severity, seeded()) == 128
        assert torch.equal(covered.all(1), covered.any(1))
        rows, columns = covered[:, 0].any(2), covered[:, 0].any(1)
        assert (rows.sum(1) == side_px).all()
        assert (columns.sum(1) == side_px).all()
        assert (covered[:, 0].sum((1, 2)) == side_px**2).all()
        # Every place occurs, up to both edges.
        assert rows.any(0).all()
        assert columns.any(0).all()


def test_what_does_not_exist_is_refused():
    images = draw(1, 3, 8, 8)
    with pytest.raises(InputError, match="corruption must be one of gaussian_noise"):
        corrupt(images, "fog", 1, seeded())
    with pytest.raises(InputError, match="severity must be from 1 to 5, got 6"):
        corrupt(images, "jpeg", 6, seeded())
