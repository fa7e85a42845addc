import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from analysis.choice import KNEE_DEFINITIONS, ideal_distances, knee_index, tchebycheff_index
from analysis.pareto import is_front

fronts = hnp.arrays(
    np.float64,
    st.tuples(st.integers(1, 9), st.integers(1, 4)),
    elements=st.integers(-8, 8).map(float),
).map(lambda values: values[is_front(values)])


def curve(bulge, num=101):
    """A front from (0, 1) to (1, 0): straight for 1, bulging to the ideal above it."""
    x = np.linspace(0, 1, num)
    return np.stack([x, (1 - x ** (1 / bulge)) ** bulge], axis=1)


@pytest.mark.parametrize("definition", KNEE_DEFINITIONS)
def test_the_knee_of_a_symmetric_bulge_is_its_middle(definition):
    assert knee_index(curve(2.0), definition) == pytest.approx(25, abs=1)


def test_the_two_definitions_differ_where_a_corner_is_near_an_end():
    front = np.array([[0.0, 1.0], [0.02, 0.72], [0.45, 0.4], [0.72, 0.3], [1.0, 0.0]])
    assert knee_index(front, "ideal") == 2
    assert knee_index(front, "bulge") == 1


def test_a_bulge_in_three_objectives_is_measured_from_the_plane_of_the_extremes():
    # The plane through the extremes is x/2 + y/2 + z = 1 scaled; only "low" lies far below it.
    extremes = [[0.0, 1.0, 0.5], [1.0, 0.0, 0.5], [0.5, 0.5, 0.0]]
    others = [[0.1, 0.9, 0.5], [0.3, 0.3, 1.0], [0.4, 0.4, 0.2]]
    front = np.array(extremes + others)
    plane = np.linalg.solve(np.array(extremes), np.ones(3))
    distance = (front @ plane - 1) / np.linalg.norm(plane)
    assert knee_index(front, "bulge") == int(np.argmin(distance))


@pytest.mark.parametrize("definition", KNEE_DEFINITIONS)
@given(front=fronts)
def test_knees_do_not_depend_on_units(definition, front):
    before = front.copy()
    knee = knee_index(front, definition)
    assert 0 <= knee < len(front)
    assert knee_index(front * 4.0 + 16.0, definition) == knee
    np.testing.assert_array_equal(front, before)


@given(front=fronts)
def test_the_closest_to_the_ideal_has_the_least_distance(front):
    distances = ideal_distances(front)
    assert distances[knee_index(front)] == distances.min()


def test_weights_reach_every_member_even_of_a_concave_front():
    angles = np.radians(np.linspace(20, 70, 11))
    front = np.stack([np.sin(angles), np.cos(angles)], axis=1)
    picked = {tchebycheff_index(front, [w, 1 - w]) for w in np.linspace(0.02, 0.98, 200)}
    assert picked == set(range(11))


@given(front=fronts, seed=st.integers(0, 99))
def test_the_choice_by_weights_is_the_least_of_the_formula(front, seed):
    weights = np.random.default_rng(seed).random(front.shape[1]) + 0.01
    span = np.ptp(front, axis=0)
    scaled = (front - front.min(axis=0)) / np.where(span > 0, span, 1)
    values = [
        max(w * x for w, x in zip(weights / weights.sum(), row, strict=True))
        + 0.05 * sum(w * x for w, x in zip(weights / weights.sum(), row, strict=True))
        for row in scaled
    ]
    assert values[tchebycheff_index(front, weights)] == pytest.approx(min(values))


def test_a_weight_of_one_alone_picks_the_best_in_that_objective():
    front = np.array([[0.0, 9.0], [3.0, 3.0], [9.0, 0.0]])
    assert tchebycheff_index(front, [1, 0]) == 0
    assert tchebycheff_index(front, [0, 1]) == 2


@pytest.mark.parametrize("weights", [[1.0], [1, -1], [0, 0], [float("nan"), 1], [1, 2, 3]])
def test_bad_weights_are_refused(weights):
    with pytest.raises(ValueError, match="weights must be 2 numbers >= 0"):
        tchebycheff_index(np.eye(2), weights)


def test_bad_fronts_and_unknown_definitions_are_refused():
    with pytest.raises(ValueError, match="front_losses must be finite"):
        knee_index(np.zeros((0, 2)))
    with pytest.raises(ValueError, match="front_losses must be finite"):
        tchebycheff_index(np.array([[np.nan, 1.0]]), [1, 1])
    with pytest.raises(ValueError, match="definition must be ideal or bulge, got 'elbow'"):
        knee_index(np.eye(2), "elbow")
