import numpy as np
import pytest

from sweeps.schedulers.foresight import (
    MIN_PAIRS,
    NUM_PEERS,
    Foresight,
    rank_correlation,
    shares_ahead,
    upper_bound,
)


def judged(later_of, num=300):
    """Return a rung's foresight after trials whose best third reached the next rung."""
    foresight, draw = Foresight(3), np.random.default_rng(0)
    quality, known = draw.random((2, num))
    losses = quality + 3 * known  # large models learn slowly
    for number in range(num):
        foresight.add(str(number), known[number], losses[number])
    for number in range(num):
        if quality[number] < 1 / 3:
            foresight.add_later(str(number), later_of(quality[number], known[number]))
    return foresight


def test_an_order_among_peers_that_stays_says_something():
    assert not judged(lambda quality, known: quality + 3 * known).says_nothing


def test_large_models_that_overtake_small_ones_are_not_the_rungs_fault():
    assert not judged(lambda quality, known: quality - 3 * known).says_nothing


def test_an_order_that_turns_says_nothing():
    assert judged(lambda quality, known: -quality).says_nothing


def test_who_is_far_behind_does_not_speak_for_the_rung():
    foresight = Foresight(3)
    order = np.random.default_rng(0).permutation(300)
    for place, number in enumerate(order):
        foresight.add(str(number), float(place), float(number))
    for number in range(300):  # the best third turns round, all others stay behind
        foresight.add_later(str(number), -number if number < 100 else 1000.0 + number)
    assert foresight.says_nothing


def test_few_pairs_and_equal_losses_contradict_nothing():
    foresight = Foresight(3)
    for number in range(3 * MIN_PAIRS):
        foresight.add(str(number), 1.0, float(number))
    for number in range(MIN_PAIRS - 1):
        foresight.add_later(str(number), float(-number))
    foresight.add_later("never seen at the rung", 0.0)
    assert not foresight.says_nothing
    assert rank_correlation(np.ones(2), np.arange(2.0)) == 1.0


def test_an_order_of_which_little_stays_is_not_taken_for_nothing():
    draw = np.random.default_rng(1)
    assert not judged(lambda quality, known: quality + draw.normal(0, 0.35)).says_nothing


def test_the_bound_of_a_correlation_is_seldom_exceeded():
    draw = np.random.default_rng(2)
    pairs = draw.multivariate_normal([0, 0], [[1, 0.3], [0.3, 1]], size=(2000, 40))
    bounds = [upper_bound(rank_correlation(*pair.T), len(pair)) for pair in pairs]
    spearman = 6 / np.pi * np.arcsin(0.3 / 2)
    assert 0.85 < np.mean(np.array(bounds) > spearman) < 0.95
    assert upper_bound(1.0, 20) > 0.99
    assert upper_bound(-1.0, 20) < -0.99


@pytest.mark.parametrize("num", [2, 5, 13, 14, 200])
def test_the_share_of_peers_ahead_by_its_definition(num):
    draw = np.random.default_rng(num)
    known, losses = draw.permutation(num).astype(float), draw.integers(0, 9, num).astype(float)
    found = shares_ahead(known, losses, np.arange(num))
    num_peers = min(NUM_PEERS, num - 1)
    for number in range(num):
        start = int(np.clip(known[number] - num_peers // 2, 0, num - num_peers - 1))
        is_peer = (known >= start) & (known <= start + num_peers)
        assert shares_ahead(known, losses, np.array([number])) == found[number]
        assert found[number] == (losses[is_peer] < losses[number]).sum() / num_peers
