from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from analysis.hypervolume import hypervolume, reference_point
from analysis.pareto import is_front

finite_losses = st.integers(1, 4).flatmap(
    lambda width: hnp.arrays(
        np.float64,
        st.tuples(st.integers(1, 12), st.just(width)),
        elements=st.floats(-1e6, 1e6) | st.sampled_from([0.0, 1.0]),
    )
)


@pytest.mark.parametrize("width", [1, 2, 3, 4, 5])
def test_one_trial_dominates_a_box(width):
    corner, reference = np.full((1, width), 0.25), np.full(width, 1.0)
    assert hypervolume(corner, reference) == pytest.approx(0.75**width)


@pytest.mark.parametrize("steps", [1, 2, 7, 100])
def test_a_staircase_dominates_the_sum_of_its_steps(steps):
    x = np.arange(steps, dtype=float)
    values = np.stack([x, steps - 1 - x], axis=1)
    assert hypervolume(values, np.array([steps, steps], dtype=float)) == steps * (steps + 1) / 2


@pytest.mark.parametrize("steps", [1, 3, 10])
def test_a_staircase_of_cubes_misses_a_tetrahedral_number_of_them(steps):
    grid = np.array(
        [(i, j, steps - 1 - i - j) for i in range(steps) for j in range(steps - i)], dtype=float
    )
    reference = np.full(3, float(steps))
    assert hypervolume(grid, reference) == pytest.approx(steps**3 - comb(steps + 1, 3))


def test_a_linear_front_tends_to_half_a_square():
    x = np.linspace(0, 1, 2001)
    volume = hypervolume(np.stack([x, 1 - x], axis=1), np.array([1.0, 1.0]))
    assert volume == pytest.approx(0.5, abs=1 / 2000)


@given(finite_losses)
def test_default_reference_is_dominated_by_all_and_dominated_trials_add_nothing(values):
    before = values.copy()
    reference = reference_point(values)
    assert (reference > values).all()
    volume = hypervolume(values, reference)
    assert volume >= 0
    assert volume == hypervolume(values[is_front(values)], reference)
    np.testing.assert_array_equal(values, before)


@given(finite_losses, st.integers(0, 11))
def test_a_subset_never_has_more(values, count):
    reference = reference_point(values)
    whole = hypervolume(values, reference)
    assert hypervolume(values[: count + 1], reference) <= whole * (1 + 1e-9)


def test_rule_of_the_reference_point():
    values = np.array([[0.0, 5.0, 0.0, -5.0], [10.0, 5.0, 0.0, -5.0]])
    np.testing.assert_allclose(reference_point(values), [11.0, 5.5, 1.0, -4.5])


def test_margin_survives_rounding():
    values = np.array([[1e16], [1e16 + 2]])
    assert reference_point(values)[0] > 1e16 + 2


@pytest.mark.parametrize(
    "values", [np.zeros((0, 2)), np.zeros((2, 0)), np.array([[np.inf]]), np.array([[np.nan]])]
)
def test_reference_needs_finite_trials(values):
    with pytest.raises(ValueError, match="losses must be finite"):
        reference_point(values)


def test_no_trials_dominate_nothing():
    assert hypervolume(np.zeros((0, 2)), np.ones(2)) == 0.0


def test_reference_must_be_dominated_by_every_member_of_the_front():
    values = np.array([[0.0, 3.0], [3.0, 0.0]])
    with pytest.raises(ValueError, match="1 of 2 members do not dominate"):
        hypervolume(values, np.array([2.0, 4.0]))
    with pytest.raises(ValueError, match="2 numbers, one an objective"):
        hypervolume(values, np.array([2.0]))


def test_dominated_trials_may_lie_beyond_the_reference():
    values = np.array([[0.0, 0.0], [9.0, 9.0]])
    assert hypervolume(values, np.array([2.0, 3.0])) == 6.0
