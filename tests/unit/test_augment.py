import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trainables.augment.image import apply, draw_parameters


def draw(num_samples, padding_px=2, flip_probability=0.5, seed=0):
    return draw_parameters(
        num_samples,
        padding_px=padding_px,
        flip_probability=flip_probability,
        generator=torch.Generator().manual_seed(seed),
    )


def apply_naively(images, parameters):
    """One sample, one pixel after the other."""
    result = torch.zeros_like(images)
    num_samples, _, height, width = images.shape
    for sample in range(num_samples):
        for row in range(height):
            for column in range(width):
                crop_column = width - 1 - column if parameters.is_flipped[sample] else column
                y = row + int(parameters.top_px[sample]) - parameters.padding_px
                x = crop_column + int(parameters.left_px[sample]) - parameters.padding_px
                if 0 <= y < height and 0 <= x < width:
                    result[sample, :, row, column] = images[sample, :, y, x]
    return result


@given(
    num_samples=st.integers(1, 5),
    channels=st.sampled_from([1, 3]),
    size_px=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    padding_px=st.integers(0, 4),
    seed=st.integers(0, 1000),
)
def test_as_the_naive_loop(num_samples, channels, size_px, padding_px, seed):
    generator = torch.Generator().manual_seed(seed)
    shape = (num_samples, channels, *size_px)
    images = torch.randint(1, 256, shape, dtype=torch.uint8, generator=generator)
    before = images.clone()
    parameters = draw(num_samples, padding_px, seed=seed)
    result = apply(images, parameters)
    assert torch.equal(result, apply_naively(images, parameters))
    assert torch.equal(images, before)


def test_slices_are_what_the_whole_batch_would_be():
    images = torch.randint(0, 256, (10, 3, 8, 8), dtype=torch.uint8)
    parameters = draw(10)
    whole = apply(images, parameters)
    for part in (slice(0, 5), slice(5, 10)):
        assert torch.equal(apply(images[part], parameters.take(part)), whole[part])


def test_nothing_to_do_leaves_images_as_they_are():
    images = torch.randint(0, 256, (4, 3, 8, 8), dtype=torch.uint8)
    assert torch.equal(apply(images, draw(4, padding_px=0, flip_probability=0)), images)


def test_draws_cover_their_ranges():
    parameters = draw(5000, padding_px=2, flip_probability=0.25)
    for offsets in (parameters.top_px, parameters.left_px):
        counts = torch.bincount(offsets, minlength=5)
        assert len(counts) == 5
        assert counts.min() > 850
    assert parameters.is_flipped.float().mean() == pytest.approx(0.25, abs=0.03)


def test_the_generator_advances_equally_whatever_the_strength():
    generators = [torch.Generator().manual_seed(0) for _ in range(2)]
    draw_parameters(7, padding_px=0, flip_probability=0.0, generator=generators[0])
    draw_parameters(7, padding_px=4, flip_probability=0.9, generator=generators[1])
    assert torch.equal(generators[0].get_state(), generators[1].get_state())
