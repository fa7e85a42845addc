import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from trainables.latency.order_statistics import quantile, quantile_interval


def test_quantiles_are_nearest_ranks():
    ordered = [float(value) for value in range(1, 101)]
    assert [quantile(ordered, fraction) for fraction in (0.5, 0.95, 0.99, 1.0)] == [50, 95, 99, 100]
    assert quantile([3.0], 0.5) == 3.0


@pytest.mark.parametrize(
    ("num_samples", "rank"),
    # The rank of the lower end, from tables of the sign test at 5 %.
    [(1, 1), (5, 1), (6, 1), (8, 1), (9, 2), (20, 6), (25, 8), (50, 18), (100, 40)],
)
def test_the_interval_of_the_median_has_the_ranks_of_the_sign_test(num_samples, rank):
    ordered = [float(value) for value in range(1, num_samples + 1)]
    assert quantile_interval(ordered, 0.5) == (rank, num_samples + 1 - rank)


@pytest.mark.parametrize("fraction", [0.5, 0.95, 0.99])
@pytest.mark.parametrize("num_samples", [10, 662, 5000])
def test_an_interval_holds_the_quantile_in_at_least_95_of_100_cases(num_samples, fraction):
    ranks = np.arange(1, num_samples + 1)
    low, high = quantile_interval(ranks, fraction)
    # The quantile lies above rank r where at least r samples fall below it.
    below = binom(num_samples, fraction)
    too_high = 0.0 if low == 1 else below.cdf(low - 1)
    too_low = 0.0 if high == num_samples else below.sf(high - 1)
    assert max(too_high, too_low) <= 0.025
    # One rank further inside would not do.
    assert low == num_samples or below.cdf(low) > 0.025
    assert high == 1 or below.sf(high - 2) > 0.025


@given(
    st.lists(st.floats(0, 1e6), min_size=1, max_size=300).map(sorted),
    st.sampled_from([0.5, 0.95, 0.99]),
)
def test_a_quantile_lies_in_its_interval(ordered, fraction):
    low_ms, high_ms = quantile_interval(ordered, fraction)
    assert low_ms <= quantile(ordered, fraction) <= high_ms
