import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_data import random_part

from trainables.data.dataset import Part, Source
from trainables.data.splits import check_classes, split_positions, split_source, stratified_choice
from trainables.errors import InputError


def numbered_source(labels, *, test=None):
    """Every image holds its own number, so that samples can be followed through a split."""
    labels = np.asarray(labels, np.int64)
    numbers = np.arange(len(labels), dtype=np.uint32)
    images = numbers.view(np.uint8).reshape(-1, 1, 2, 2).copy()
    names = tuple(str(label) for label in range(int(labels.max()) + 1))
    return Source("numbered", Part(images, labels), test, names)


def numbers_of(part):
    return part.inputs.reshape(-1, 4).view(np.uint32).ravel()


@given(counts=st.lists(st.integers(10, 60), min_size=1, max_size=5), seed=st.integers(0, 2**32 - 1))
def test_parts_are_disjoint_complete_and_stratified(counts, seed):
    labels = np.repeat(np.arange(len(counts)), counts)
    data = split_source(numbered_source(labels), seed=seed)
    parts = [numbers_of(part) for part in (data.train, data.val, data.test)]
    assert sorted(np.concatenate(parts)) == list(range(len(labels)))
    for part, fraction in ((data.train, 0.6), (data.val, 0.2), (data.test, 0.2)):
        np.testing.assert_allclose(np.bincount(part.labels), fraction * np.array(counts), atol=2)
        np.testing.assert_array_equal(part.labels, labels[numbers_of(part)])


@given(
    counts=st.lists(st.integers(5, 60), min_size=1, max_size=5),
    has_test_part=st.booleans(),
    limit_train=st.none() | st.integers(1, 200),
    seed=st.integers(0, 2**32 - 1),
)
def test_no_position_is_in_two_parts(counts, has_test_part, limit_train, seed):
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    parts = split_positions(labels, has_test_part=has_test_part, seed=seed, limit_train=limit_train)
    train, _, test = parts
    chosen = np.concatenate(parts)
    assert len(set(chosen)) == len(chosen)
    assert set(chosen) <= set(range(len(labels)))
    if limit_train is None:
        assert len(chosen) == len(labels)
    else:
        assert len(train) <= limit_train
    assert (len(test) == 0) == has_test_part
    assert all((np.diff(part) > 0).all() for part in parts)


@given(
    labels=st.lists(st.integers(0, 4), min_size=1, max_size=80),
    share=st.floats(0, 1),
    seed=st.integers(0, 1000),
)
def test_a_stratified_choice_keeps_shares_within_one(labels, share, seed):
    labels = np.array(labels, np.int64)
    num_chosen = round(share * len(labels))
    chosen = stratified_choice(labels, num_chosen, np.random.default_rng(seed))
    assert len(set(chosen)) == len(chosen) == num_chosen
    counts = np.bincount(labels, minlength=5)
    chosen_counts = np.bincount(labels[chosen], minlength=5)
    assert (np.abs(chosen_counts - counts * num_chosen / len(labels)) < 1 + 1e-9).all()


def test_same_seed_same_split_and_another_seed_another():
    source = numbered_source(np.arange(100) % 4)
    first, again, other = (split_source(source, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.train.inputs, again.train.inputs)
    assert first.fingerprint == again.fingerprint
    assert len(first.fingerprint) == 16
    assert first.fingerprint != other.fingerprint


def test_an_own_test_part_is_kept_and_the_rest_split_3_to_1():
    test = random_part(9, shape=(1, 2, 2))
    source = numbered_source(np.arange(80) % 3, test=test)
    data = split_source(source, seed=0, limit_train=30)
    assert data.test is test
    assert (len(data.train), len(data.val)) == (30, 10)
    full = split_source(source, seed=0)
    assert (len(full.train), len(full.val)) == (60, 20)


def test_a_limited_part_is_a_subset_of_the_whole_one():
    source = numbered_source(np.arange(200) % 4)
    limited, full = (split_source(source, seed=3, limit_train=limit) for limit in (60, None))
    assert len(limited.train) == 60
    assert len(limited.val) == 20
    assert set(numbers_of(limited.train)) < set(numbers_of(full.train))
    np.testing.assert_array_equal(limited.test.inputs, full.test.inputs)


def test_statistics_are_those_of_the_train_part():
    data = split_source(
        Source("random", random_part(2000, shape=(3, 4, 4)), None, ("0", "1", "2")), seed=0
    )
    pixels = data.train.inputs / 255
    np.testing.assert_allclose(data.mean, pixels.mean((0, 2, 3)))
    np.testing.assert_allclose(data.std, pixels.std((0, 2, 3)))


def test_a_constant_channel_can_be_divided_by_its_deviation():
    part = Part(np.full((30, 1, 2, 2), 7, np.uint8), np.arange(30) % 2)
    assert split_source(Source("flat", part, None, ("0", "1")), seed=0).std == (1 / 255,)


@pytest.mark.parametrize(
    ("labels", "limit_train", "message"),
    [
        ([0] * 50 + [1] * 4, None, ">= 5 samples to be split, got 4 with label 1"),
        ([0, 1] * 50, 1, "none of class 1"),
        ([0, 1] * 50, 0, "limit_train must be >= 1 samples, got 0"),
    ],
)
def test_a_part_without_a_class_is_refused(labels, limit_train, message):
    with pytest.raises(InputError, match=message):
        split_source(numbered_source(labels), seed=0, limit_train=limit_train)


def test_missing_classes_are_named():
    names = ("ant", "bee", "cat")
    check_classes(np.array([2, 0, 1]), names, name="the part")
    with pytest.raises(InputError, match=r"^the part must be .* got 2 samples .* class ant, cat; "):
        check_classes(np.array([1, 1]), names, name="the part")
