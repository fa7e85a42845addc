import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trainables.augment.mix import MixDraws, draw_mix, mix
from trainables.trial_config import TrialConfig


def draw(num_samples, mixup_alpha=0.0, cutmix_alpha=0.0, seed=0):
    config = TrialConfig(mixup_alpha=mixup_alpha, cutmix_alpha=cutmix_alpha)
    return draw_mix(config, num_samples, torch.Generator().manual_seed(seed))


def numbered(num_samples, channels=1, height=8, width=12):
    """Images whose pixels are all the sample's number."""
    numbers = torch.arange(num_samples).float()[:, None, None, None]
    return numbers.expand(-1, channels, height, width).clone()


def test_nothing_is_drawn_where_both_are_off():
    assert draw(4) is None


def test_mixup_is_the_weighted_mean_with_the_sample_before():
    inputs = torch.randn(6, 3, 8, 12, generator=torch.Generator().manual_seed(0))
    before = inputs.clone()
    draws = draw(6, mixup_alpha=0.4)
    mixed = mix(inputs, draws)
    assert mixed.partners.tolist() == [5, 0, 1, 2, 3, 4]
    assert torch.allclose(mixed.weights, draws.shares)
    weights = draws.shares[:, None, None, None]
    expected = weights * inputs + (1 - weights) * inputs[mixed.partners]
    assert torch.allclose(mixed.inputs, expected, atol=1e-6)
    assert torch.equal(inputs, before)


@given(
    alpha=st.floats(0.05, 10),
    size_px=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    seed=st.integers(0, 1000),
)
def test_cutmix_weights_are_the_area_left(alpha, size_px, seed):
    inputs = numbered(5, 3, *size_px)
    mixed = mix(inputs, draw(5, cutmix_alpha=alpha, seed=seed))
    is_own = mixed.inputs == inputs
    assert ((mixed.inputs == inputs[mixed.partners]) | is_own).all()
    assert torch.allclose(mixed.weights, is_own.float().mean((1, 2, 3)), atol=1e-6)


def test_cutmix_pastes_the_box():
    draws = MixDraws(torch.zeros(2), torch.tensor([[0.0, 0.25, 0.5, 0.5], [0.5, 0.0, 1.0, 1.0]]))
    mixed = mix(numbered(2, 1, 4, 8), draws)
    expected = numbered(2, 1, 4, 8)
    expected[0, :, 0:2, 2:4] = 1
    expected[1, :, 2:4] = 0
    assert torch.equal(mixed.inputs, expected)
    assert mixed.weights.tolist() == [0.875, 0.5]


def test_with_both_each_sample_gets_one_equally_likely():
    draws = draw(4000, mixup_alpha=1.0, cutmix_alpha=1.0)
    is_whole = (draws.boxes == torch.tensor([0.0, 0.0, 1.0, 1.0])).all(1)
    assert torch.equal(is_whole, draws.shares > 0)
    assert is_whole.float().mean() == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 8.0])
def test_shares_are_from_beta(alpha):
    shares = draw(20_000, mixup_alpha=alpha).shares
    assert shares.mean() == pytest.approx(0.5, abs=0.015)
    assert shares.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.05)


def test_cutmix_boxes_have_the_area_that_was_drawn():
    # With a large alpha shares are near a half, and sides near its root.
    boxes = draw(20_000, cutmix_alpha=10.0).boxes
    sides = boxes[:, 2:] - boxes[:, :2]
    is_whole = ((boxes > 0) & (boxes < 1)).all(1)
    assert torch.allclose(sides[is_whole, 0], sides[is_whole, 1], atol=1e-5)
    # Half of a side is cut off where the middle is at the border: E[side] = s - s^2 / 4.
    assert sides.mean() == pytest.approx(0.5**0.5 - 0.125, abs=0.01)


def test_a_tiny_alpha_picks_one_of_the_two():
    shares = draw(1000, mixup_alpha=1e-9).shares
    assert ((shares == 0) | (shares == 1)).all()


def test_an_alpha_changes_only_its_own_draws():
    first, second = (draw(50, mixup_alpha=alpha, cutmix_alpha=1.0) for alpha in (0.1, 2.0))
    assert torch.equal(first.boxes, second.boxes)
    assert not torch.equal(first.shares, second.shares)


def test_the_generator_advances_equally_whatever_the_alphas():
    states = []
    for alpha in (0.0, 1.0):
        generator = torch.Generator().manual_seed(0)
        draw_mix(TrialConfig(mixup_alpha=alpha, cutmix_alpha=alpha), 5, generator)
        states.append(generator.get_state())
    assert torch.equal(*states)


def test_a_batch_of_one_is_left_as_it_is():
    inputs = torch.randn(1, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    mixed = mix(inputs, draw(1, mixup_alpha=1.0))
    assert torch.allclose(mixed.inputs, inputs)
    assert mixed.partners.tolist() == [0]


def test_the_memory_format_and_the_type_are_kept():
    inputs = numbered(4, 3).to(torch.bfloat16, memory_format=torch.channels_last)
    mixed = mix(inputs, draw(4, mixup_alpha=1.0, cutmix_alpha=1.0))
    assert mixed.inputs.is_contiguous(memory_format=torch.channels_last)
    assert mixed.inputs.dtype == torch.bfloat16
    assert mixed.weights.dtype == torch.float32


def test_taking_draws_and_moving_them():
    draws = draw(6, mixup_alpha=1.0, cutmix_alpha=1.0)
    part = draws.take(torch.tensor([4, 1])).to(torch.device("cpu"))
    assert torch.equal(part.shares, draws.shares[[4, 1]])
    assert torch.equal(part.boxes, draws.boxes[[4, 1]])
