import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import qmc

from sweeps.combinations import used_domains
from sweeps.domains import Choice, Switch, Uniform
from sweeps.sampling import GRID_POINTS, MAX_GRID_CONFIGS, Sampler, sample_config
from sweeps.space_groups import join_spaces
from sweeps.spaces import image_space
from trainables.errors import InputError
from trainables.task import Task
from trainables.trial_config import GROUPS, default_of, unused_reason

IMAGES = Task(kind="image", input_shape=(3, 32, 32), num_classes=10)
TEXT = Task(kind="text", input_shape=(64,), num_classes=4, vocab_size=100)
SPACE = image_space(("resnet8", "resnet14"), (8, 16), image_size_px=32)
FIXED = {"batch_size": 64, "num_epochs": 6}
WHOLE = {
    task.kind: join_spaces(GROUPS, task, has_gpus=True, has_thesaurus=True)
    for task in (IMAGES, TEXT)
}
SMALL = {  # a grid of 2 x (1 + 2) x 2 = 12 points, of which 3 heads can't be built
    "model": Choice(("resnet8", "vit")),
    "heads": Choice((2, 3)),
    "width": Switch("model", {"resnet8": Choice((8,)), "vit": Choice((32, 64))}),
    "optimizer": Choice(("sgd", "adam")),
    "beta2": Choice((0.9, 0.99)),
}

seeds = st.integers(0, 2**32 - 1)
indices = st.integers(0, 5000)
drawing = pytest.mark.parametrize("name", ["random", "quasi_random"])


# --- drawing -------------------------------------------------------------------------------------


@drawing
@pytest.mark.parametrize("task", [IMAGES, TEXT], ids=lambda task: task.kind)
@settings(max_examples=40)
@given(seed=seeds, index=indices)
def test_a_config_lies_in_its_space_and_leaves_alone_what_it_does_not_use(name, task, seed, index):
    space = WHOLE[task.kind]
    config = Sampler(name, space, {"num_epochs": 6}, task, seed).draw(index).to_dict()
    assert config["num_epochs"] == 6
    used = used_domains(space, config)
    for field, value in config.items():
        domain = used.get(field)
        if isinstance(domain, Choice):
            assert value in domain.values
        elif domain is not None:
            assert domain.low <= value <= domain.high
        elif field not in ("seed", "num_epochs"):
            assert value == default_of(field)
            assert field not in space or unused_reason(field, config)


@drawing
@settings(max_examples=20)
@given(seed=seeds, index=indices)
def test_the_same_seed_and_index_give_the_same_config(name, seed, index):
    one, other = (Sampler(name, SPACE, FIXED, IMAGES, seed) for _ in range(2))
    other.draw(0)
    assert one.draw(index) == other.draw(index)
    assert (one.draw(index).batch_size, one.draw(index).num_epochs) == (64, 6)


@drawing
def test_other_seeds_and_indices_give_other_configs(name):
    configs = {
        Sampler(name, SPACE, FIXED, IMAGES, seed).draw(index)
        for seed in (0, 1)
        for index in range(20)
    }
    assert len({config.learning_rate for config in configs}) == 40
    assert len({config.seed for config in configs}) == 40


@pytest.mark.parametrize("name", ["random", "quasi_random", "grid"])
def test_the_order_in_a_space_does_not_matter(name):
    turned = {name: SMALL[name] for name in reversed(SMALL)}
    one, other = (Sampler(name, space, {}, IMAGES, 3) for space in (SMALL, turned))
    assert [one.draw(i) for i in range(6)] == [other.draw(i) for i in range(6)]


@pytest.mark.parametrize("name", ["random", "quasi_random", "grid"])
def test_sampling_leaves_its_arguments_and_the_global_generator_alone(name):
    space, fixed = copy.deepcopy(SMALL), {"num_epochs": 3}
    state = np.random.get_state()[1].tolist()  # noqa: NPY002
    Sampler(name, space, fixed, IMAGES, 0).draw(0)
    assert (space, fixed) == (SMALL, {"num_epochs": 3})
    assert np.random.get_state()[1].tolist() == state  # noqa: NPY002


def test_trial_seeds_are_the_same_for_every_sampler():
    drawn = {
        Sampler(name, SMALL, {}, IMAGES, 5).draw(2).seed
        for name in ("random", "quasi_random", "grid")
    }
    assert len(drawn) == 1


def test_sample_config_is_the_random_sampler():
    sampler = Sampler("random", SPACE, FIXED, IMAGES, 7)
    assert sample_config(SPACE, FIXED, IMAGES, 7, 3) == sampler.draw(3)


@drawing
def test_what_cannot_be_built_is_drawn_again(name):
    sampler = Sampler(name, SMALL, {}, IMAGES, 0)
    configs = [sampler.draw(index) for index in range(40)]
    assert {config.model for config in configs} == {"resnet8", "vit"}
    assert {config.heads for config in configs if config.model == "vit"} == {2}


@drawing
def test_a_space_in_which_nothing_fits_is_refused_with_the_reason(name):
    space = {"model": Choice(("vit",)), "width": Choice((32,)), "heads": Choice((3, 5))}
    with pytest.raises(InputError, match="got 100 draws that can't, the last because heads must"):
        Sampler(name, space, {}, IMAGES, 0).draw(0)


@drawing
def test_a_space_without_entries_gives_what_is_fixed(name):
    assert Sampler(name, {}, {"width": 8}, IMAGES, 0).draw(4).width == 8


def test_quasi_random_configs_spread_more_evenly_than_random_ones():
    names = ("momentum", "flip_probability", "dropout", "label_smoothing")
    space = {name: Uniform(0.1, 0.6) for name in names}

    def discrepancy(name, seed):
        sampler = Sampler(name, space, {}, IMAGES, seed)
        drawn = [[getattr(sampler.draw(i), field) for field in names] for i in range(64)]
        return qmc.discrepancy((np.array(drawn) - 0.1) / 0.5)

    for seed in range(5):
        assert discrepancy("quasi_random", seed) < 0.5 * discrepancy("random", seed)


def test_an_unknown_sampler_is_refused():
    with pytest.raises(InputError, match="must be one of random, grid, quasi_random, got 'sobol'"):
        Sampler("sobol", SPACE, FIXED, IMAGES, 0)


# --- grid ----------------------------------------------------------------------------------------


def test_a_grid_is_complete_and_has_no_duplicates():
    sampler = Sampler("grid", SMALL, {}, IMAGES, 0)
    drawn = [sampler.draw(index) for index in range(sampler.num_configs)]
    found = {(c.model, c.width, c.heads, c.optimizer, c.beta2) for c in drawn}
    optimizers = [("sgd", 0.999), ("adam", 0.9), ("adam", 0.99)]
    models = [("resnet8", 8, 4), ("vit", 32, 2), ("vit", 64, 2)]
    assert found == {(*model, *optimizer) for model in models for optimizer in optimizers}
    assert len(drawn) == len(found) == 9
    assert len({config.seed for config in drawn}) == 9


def test_a_grid_has_a_few_points_of_each_number():
    sampler = Sampler("grid", {"momentum": Uniform(0.5, 0.9)}, {}, IMAGES, 0)
    drawn = sorted(sampler.draw(index).momentum for index in range(sampler.num_configs))
    assert len(drawn) == GRID_POINTS
    assert drawn == pytest.approx([0.5, 0.7, 0.9])


def test_the_seed_shuffles_a_grid():
    def order(seed):
        sampler = Sampler("grid", SMALL, {}, IMAGES, seed)
        return [(c.model, c.width, c.optimizer, c.beta2) for c in map(sampler.draw, range(9))]

    assert order(0) == order(0)
    assert order(0) != order(1)
    assert sorted(order(0)) == sorted(order(1))


def test_only_a_grid_ends():
    assert Sampler("random", SMALL, {}, IMAGES, 0).num_configs is None
    assert Sampler("quasi_random", SMALL, {}, IMAGES, 0).num_configs is None
    with pytest.raises(InputError, match="a grid's trials must be <= 9, got 10; run fewer"):
        Sampler("grid", SMALL, {}, IMAGES, 0).draw(9)


def test_a_grid_that_is_too_large_is_refused_without_making_it():
    with pytest.raises(InputError, match=f"a grid must be <= {MAX_GRID_CONFIGS} points, got "):
        Sampler("grid", WHOLE["image"], {}, IMAGES, 0).draw(0)


def test_a_grid_in_which_nothing_fits_is_refused_with_the_reason():
    space = {"model": Choice(("vit",)), "width": Choice((32,)), "heads": Choice((3, 5))}
    with pytest.raises(InputError, match="heads must divide the width"):
        Sampler("grid", space, {}, IMAGES, 0).draw(0)
