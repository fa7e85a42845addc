import copy

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeps.spaces import (
    Choice,
    Uniform,
    architectures,
    image_space,
    mutable_part,
    sample_config,
    validate_space,
)
from trainables.errors import InputError
from trainables.trial_config import MUTABLE_FIELDS, TrialConfig

SPACE = image_space(("resnet8", "resnet14"), (8, 16), image_size_px=32)
FIXED = {"batch_size": 64, "num_epochs": 6}

seeds = st.integers(0, 2**32 - 1)


@st.composite
def uniforms(draw):
    is_log = draw(st.booleans())
    low = draw(st.floats(1e-6 if is_log else -10, 1e3))
    high = low + draw(st.floats(1e-3, 1e3))
    return Uniform(low, high, is_log)


# --- domains -------------------------------------------------------------------------------------


@given(domain=uniforms(), seed=seeds)
def test_numbers_stay_inside_their_bounds(domain, seed):
    generator = np.random.default_rng(seed)
    slack = 1e-12 * abs(domain.high)  # exp(log(x)) may be off by the last bit
    value = domain.sample(generator)
    assert domain.low - slack <= value <= domain.high + slack
    for _ in range(20):
        value = domain.perturb(value, generator)
        assert type(value) is float
        assert domain.low <= value <= domain.high


@given(values=st.lists(st.integers(), min_size=1, unique=True), seed=seeds)
def test_choices_are_perturbed_to_a_neighbour(values, seed):
    domain, generator = Choice(tuple(values)), np.random.default_rng(seed)
    value = domain.sample(generator)
    for _ in range(20):
        moved = domain.perturb(value, generator)
        assert moved in values
        assert abs(values.index(moved) - values.index(value)) <= 1
        value = moved


def test_perturbing_multiplies_by_the_factors_of_the_paper():
    generator = np.random.default_rng(0)
    moved = {Uniform(0.0, 10.0).perturb(1.0, generator) for _ in range(50)}
    assert moved == {0.8, 1.2}


def test_a_log_scale_draws_each_decade_as_often():
    generator = np.random.default_rng(0)
    drawn = [Uniform(1e-4, 1.0, is_log=True).sample(generator) for _ in range(2000)]
    shares = np.histogram(np.log10(drawn), bins=4, range=(-4, 0))[0] / len(drawn)
    assert shares == pytest.approx([0.25] * 4, abs=0.05)


def test_all_choices_come_up():
    generator = np.random.default_rng(0)
    assert {Choice((1, 2, 3)).sample(generator) for _ in range(100)} == {1, 2, 3}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Choice(()), "choices must be at least one value, got none; "),
        (lambda: Uniform(1.0, 1.0), "bounds must be low < high, got 1 and 1; "),
        (lambda: Uniform(2.0, 1.0), "bounds must be low < high, got 2 and 1; "),
        (lambda: Uniform(float("nan"), 1.0), "bounds must be low < high"),
        (lambda: Uniform(0.0, 1.0, is_log=True), "a log scale must be > 0, got 0; "),
    ],
)
def test_a_domain_that_cannot_be_sampled_cannot_be_built(make, message):
    with pytest.raises(InputError, match=message):
        make()


# --- configs -------------------------------------------------------------------------------------


@given(seed=seeds, index=st.integers(0, 10_000))
def test_the_same_seed_and_index_give_the_same_config(seed, index):
    config = sample_config(SPACE, FIXED, seed, index)
    assert config == sample_config(SPACE, FIXED, seed, index)
    for name, domain in SPACE.items():
        value = getattr(config, name)
        if isinstance(domain, Choice):
            assert value in domain.values
        else:
            assert domain.low * (1 - 1e-12) <= value <= domain.high * (1 + 1e-12)
    assert (config.batch_size, config.num_epochs) == (64, 6)


def test_other_seeds_and_indices_give_other_configs():
    configs = {sample_config(SPACE, FIXED, seed, index) for seed in (0, 1) for index in range(20)}
    assert len(configs) == 40
    assert len({config.seed for config in configs}) == 40


def test_the_order_in_a_space_does_not_matter():
    turned = dict(reversed(SPACE.items()))
    assert sample_config(turned, FIXED, 3, 4) == sample_config(SPACE, FIXED, 3, 4)


def test_sampling_leaves_its_arguments_and_the_global_generator_alone():
    space, fixed = copy.deepcopy(SPACE), dict(FIXED)
    state = np.random.get_state()[1].tolist()  # noqa: NPY002
    sample_config(space, fixed, 0, 0)
    assert (space, fixed) == (SPACE, FIXED)
    assert np.random.get_state()[1].tolist() == state  # noqa: NPY002


def test_every_architecture_is_yielded_once():
    found = [(config.model, config.width) for config in architectures(SPACE, FIXED)]
    assert found == [("resnet8", 8), ("resnet8", 16), ("resnet14", 8), ("resnet14", 16)]
    assert [c.width for c in architectures({"momentum": Uniform(0.1, 0.2)}, {"width": 9})] == [9]


def test_an_architecture_must_be_a_choice():
    with pytest.raises(InputError, match=r"width must be a Choice.*; list its values"):
        list(architectures({"width": Uniform(8, 16)}, {}))


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"model": Choice(("resnet8", "vgg"))}, "model must be one of resnet8.*'vgg'"),
        ({"width": Choice((8, 0))}, "width must be >= 1"),
        ({"momentum": Uniform(0.5, 1.0)}, "momentum must be >= 0 and <= 0.9999"),
        ({"learning_rate": Uniform(0.0, 1.0)}, "learning_rate must be > 0"),
        ({"crop_padding_px": Uniform(0.0, 4.0)}, "crop_padding_px must be a whole number"),
        ({"dropout": Uniform(0.0, 1.0)}, "'dropout'; choose from model"),
        ({"warmup_epochs": Uniform(0.0, 7.0)}, "warmup_epochs must be <= num_epochs"),
    ],
)
def test_a_corner_that_is_no_config_is_found_before_anything_starts(space, message):
    with pytest.raises(InputError, match=message):
        validate_space(space, FIXED)


@pytest.mark.parametrize("size_px", [8, 28, 32, 64])
def test_the_image_space_is_valid_for_small_images(size_px):
    space = image_space(("resnet8", "resnet20"), (8, 64), size_px)
    validate_space(space, FIXED)
    assert space["crop_padding_px"].values[-1] == size_px // 8
    TrialConfig.from_dict({name: domain.sample(np.random.default_rng(0))
                           for name, domain in space.items()})  # fmt: skip


# --- what PBT may change -------------------------------------------------------------------------


def test_all_that_can_change_is_mutable_by_default():
    assert set(mutable_part(SPACE, None)) == MUTABLE_FIELDS & set(SPACE)
    assert not {"model", "width"} & set(mutable_part(SPACE, None))


def test_named_hyperparameters_alone_are_mutable():
    part = mutable_part(SPACE, ("momentum", "learning_rate"))
    assert part == {name: SPACE[name] for name in ("learning_rate", "momentum")}


@pytest.mark.parametrize(
    ("names", "parts"),
    [
        (("depth",), ["mutate must be names in the space, got 'depth'; choose from model, width"]),
        (("width",), ["got 'width' (weights of one architecture don't fit another)"]),
        (("learning_rate", "model"), ["got 'model' (weights of one", "; choose from crop_padding"]),
        (("batch_size",), ["got 'batch_size' (the optimizer's state or the data stream"]),
        ((), ["mutate must be at least one hyperparameter, got none; "]),
    ],
)
def test_what_cannot_be_mutated_is_refused_with_the_reason(names, parts):
    space = {**SPACE, "batch_size": Choice((32, 64))}
    with pytest.raises(InputError) as caught:
        mutable_part(space, names)
    for part in parts:
        assert part in str(caught.value)


def test_a_space_of_architectures_alone_leaves_pbt_nothing_to_mutate():
    with pytest.raises(InputError, match="at least one hyperparameter, got none; add one of"):
        mutable_part({"width": Choice((8, 16))}, None)
