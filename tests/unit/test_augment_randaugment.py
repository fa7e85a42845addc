from dataclasses import replace

import pytest
import torch
from torchvision.transforms.v2 import InterpolationMode, RandAugment

from trainables.augment.randaugment import OPERATIONS, draw_randaugment, randaugment

NAMES = list(OPERATIONS)
# Torchvision's own table and code, of which only the drawing isn't used.
ORACLE = RandAugment(interpolation=InterpolationMode.BILINEAR)
# Exact to the level; the others round where torchvision cuts off.
EXACT = {
    "Identity",
    "TranslateX",
    "TranslateY",
    "Posterize",
    "Solarize",
    "AutoContrast",
    "Equalize",
}


def random_images(num_samples, shape):
    generator = torch.Generator().manual_seed(1)
    # Dark and of little contrast, so that AutoContrast and Equalize have something to do.
    high = torch.randint(60, 256, (num_samples, 1, 1, 1), generator=generator)
    return (torch.rand((num_samples, *shape), generator=generator) * high).to(torch.uint8)


def draw(num_samples, shape, magnitude=9, seed=0):
    return draw_randaugment(magnitude, num_samples, shape, torch.Generator().manual_seed(seed))


def apply_torchvision(image, name, magnitude, is_positive):
    magnitudes, is_signed = ORACLE._AUGMENTATION_SPACE[name]
    values = magnitudes(31, *image.shape[-2:])
    value = 0.0 if values is None else float(values[magnitude])
    if is_signed and not is_positive:
        value = -value
    return ORACLE._apply_image_or_video_transform(
        image, name, value, interpolation=InterpolationMode.BILINEAR, fill={torch.Tensor: None}
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("magnitude", "shape"),
    [(9, (3, 32, 32)), (30, (3, 8, 8)), (17, (3, 12, 20)), (9, (1, 8, 8)), (1, (1, 21, 9))],
)
def test_an_operation_as_torchvision(name, magnitude, shape):
    images = random_images(8, shape)
    drawn = draw(1000, shape, magnitude)
    rows = (drawn.operations[:, 0] == NAMES.index(name)).nonzero()[:8, 0]
    operations = torch.tensor([[NAMES.index(name), NAMES.index("Identity")]]).expand(8, 2)
    draws = replace(drawn.take(rows), operations=operations)
    result = randaugment(images, draws)
    is_positive = (draws.sharpness[:, 0] > 1).tolist()
    assert set(is_positive) == {False, True}
    for image, sign, changed in zip(images, is_positive, result, strict=True):
        expected = apply_torchvision(image, name, magnitude, sign)
        difference = (changed.int() - expected.int()).abs().max()
        # Two levels: torchvision cuts the fractions of colours off, and those of grey before.
        assert difference <= (0 if name in EXACT else 2)


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 12, 20)])
def test_two_operations_in_the_order_drawn(shape):
    images = random_images(400, shape)
    draws = draw(400, shape)
    result = randaugment(images, draws)
    num_compared = 0
    for sample, operations in enumerate(draws.operations.tolist()):
        names = [NAMES[operation] for operation in operations]
        if not set(names) <= EXACT:
            continue
        expected = images[sample]
        for name, sharpness in zip(names, draws.sharpness[sample], strict=True):
            expected = apply_torchvision(expected, name, 9, bool(sharpness > 1))
        assert torch.equal(result[sample], expected)
        num_compared += 1
    assert num_compared > 50


def test_the_operations_are_torchvisions():
    assert list(ORACLE._AUGMENTATION_SPACE) == NAMES


def test_operations_and_signs_are_equally_likely():
    draws = draw(14_000, (3, 4, 4))
    for place in range(2):
        assert torch.bincount(draws.operations[:, place], minlength=14).min() > 900
    assert (draws.sharpness > 1).float().mean() == pytest.approx(0.5, abs=0.02)


def test_the_magnitude_changes_neither_operations_nor_signs():
    weak, strong = draw(50, (3, 8, 8), magnitude=1), draw(50, (3, 8, 8), magnitude=30)
    assert torch.equal(weak.operations, strong.operations)
    assert torch.equal(weak.sharpness > 1, strong.sharpness > 1)
    assert not torch.equal(weak.maps, strong.maps)


def test_groups_that_nobody_drew_and_images_too_small_to_blur():
    images = random_images(1, (3, 2, 2))
    for seed in range(100):
        assert randaugment(images, draw(1, (3, 2, 2), seed=seed)).shape == images.shape


def test_operations_stay_on_the_cpu():
    draws = draw(3, (3, 8, 8)).to(torch.device("meta"))
    assert draws.operations.device.type == "cpu"
    assert draws.maps.device.type == "meta"
    assert draws.take(slice(0, 2)).matrices.shape == (2, 2, 3, 4)
