import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from analysis.hypervolume import hypervolume
from sweeps.searchers.known_ehvi import expected_excess, expected_improvement, make_staircase

NUM_SAMPLES = 1000

# A coarse grid, so that ties and repeated points are common.
grid_losses = st.integers(-2, 12).map(lambda number: number / 8)


@st.composite
def problems(draw):
    """A front (perhaps empty, dominated, tied or outside), a reference of 1, and candidates."""
    num_known = draw(st.integers(1, 2))
    front = draw(
        hnp.arrays(np.float64, (draw(st.integers(0, 7)), num_known + 1), elements=grid_losses)
    )
    num = draw(st.integers(1, 4))
    known = draw(hnp.arrays(np.float64, (num, num_known), elements=grid_losses))
    mean = draw(hnp.arrays(np.float64, num, elements=grid_losses))
    return front, np.ones(num_known + 1), known, mean


def inside(points, reference):
    return points[(points < reference).all(axis=1)]


def improvement(front, reference, point):
    """The hypervolume that one more point adds, by its definition."""
    kept = inside(front, reference)
    more = inside(np.vstack([kept, point[None]]), reference)
    return hypervolume(more, reference) - hypervolume(kept, reference)


def expected(front, reference, known, mean, std):
    return expected_improvement(make_staircase(front, reference), known, mean, std)


def random_front(generator, num_points, num_known):
    """Points of which many are non-dominated."""
    known = generator.random((num_points, num_known))
    learnt = 0.8 - 0.6 * known.mean(axis=1) + 0.1 * generator.normal(size=num_points)
    return np.column_stack([known, learnt])


@pytest.mark.parametrize("num_known", [1, 2])
@pytest.mark.parametrize("num_points", [0, 1, 12])
def test_it_equals_monte_carlo(num_known, num_points):
    generator = np.random.default_rng([7, num_known, num_points])
    front, reference = random_front(generator, num_points, num_known), np.ones(num_known + 1)
    known = np.vstack([generator.random((2, num_known)), np.full(num_known, -0.3)])
    mean, std = generator.uniform(0.1, 0.9, 3), generator.uniform(0.05, 0.4, 3)
    found = expected(front, reference, known, mean, std)
    for index in range(3):
        learnt = generator.normal(mean[index], std[index], NUM_SAMPLES)
        gains = [improvement(front, reference, np.append(known[index], value)) for value in learnt]
        error = np.std(gains) / math.sqrt(NUM_SAMPLES)
        assert abs(found[index] - np.mean(gains)) <= 3 * error + 1e-12


@given(problems())
def test_without_uncertainty_it_is_the_improvement_itself(problem):
    front, reference, known, mean = problem
    found = expected(front, reference, known, mean, np.zeros(len(mean)))
    points = np.column_stack([known, mean])
    wanted = [improvement(front, reference, point) for point in points]
    np.testing.assert_allclose(found, wanted, atol=1e-12)


@given(problems(), st.floats(0, 1))
def test_it_is_finite_and_falls_as_the_front_grows(problem, std):
    front, reference, known, mean = problem
    spread = np.full(len(mean), std)
    all_points = expected(front, reference, known, mean, spread)
    fewer_points = expected(front[:-1], reference, known, mean, spread)
    assert np.isfinite(all_points).all()
    assert (all_points >= 0).all()
    assert (all_points <= fewer_points + 1e-12).all()


@given(problems(), st.floats(0, 1))
def test_dominated_points_and_points_outside_the_reference_change_nothing(problem, std):
    front, reference, known, mean = problem
    spread = np.full(len(mean), std)
    outside = np.full((2, front.shape[1]), 0.5)
    outside[0, 0], outside[1, -1] = 1.0, 1.5
    more = np.vstack([front, front + 0.125, front, outside])
    np.testing.assert_allclose(
        expected(more, reference, known, mean, spread),
        expected(front, reference, known, mean, spread),
        atol=1e-12,
    )


@given(problems())
def test_a_candidate_that_is_not_inside_the_reference_improves_nothing(problem):
    front, reference, known, mean = problem
    known = known.copy()
    known[:, -1] = 1.0 + np.arange(len(known))
    assert (expected(front, reference, known, mean, np.ones(len(mean))) == 0).all()


@given(problems())
def test_the_inputs_stay_as_they_are(problem):
    before = [array.copy() for array in problem]
    expected(*problem, np.full(len(problem[-1]), 0.3))
    for array, copy in zip(problem, before, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_a_pool_larger_than_a_chunk_is_computed_candidate_by_candidate():
    generator = np.random.default_rng(0)
    front, reference = random_front(generator, 9, 1), np.ones(2)
    known, mean = generator.random((10_000, 1)), generator.random(10_000)
    std = np.full(10_000, 0.2)
    whole = expected(front, reference, known, mean, std)
    some = generator.choice(10_000, 50)
    np.testing.assert_array_equal(
        whole[some], expected(front, reference, known[some], mean[some], std[some])
    )


def test_one_point_by_hand():
    # The front covers [0.5, 1] x [0.5, 1]; a sure (0.25, 0.25) adds 0.75^2 - 0.5^2.
    front, reference = np.array([[0.5, 0.5]]), np.ones(2)
    found = expected(front, reference, np.array([[0.25]]), np.array([0.25]), np.zeros(1))
    assert found[0] == pytest.approx(0.75**2 - 0.5**2)


@pytest.mark.parametrize(("gap", "std", "wanted"), [(1.0, 0.0, 1.0), (-1.0, 0.0, 0.0)])
def test_excess_without_uncertainty(gap, std, wanted):
    assert expected_excess(np.array([gap]), np.array([std]))[0] == wanted


def test_excess_at_the_level_is_the_mean_of_half_a_normal():
    found = expected_excess(np.zeros(1), np.full(1, 2.0))
    assert found[0] == pytest.approx(2 / math.sqrt(2 * math.pi))


@pytest.mark.parametrize("width", [1, 4])
def test_no_known_loss_or_three_are_refused(width):
    with pytest.raises(ValueError, match="one or two known losses"):
        make_staircase(np.zeros((2, width)), np.ones(width))


def test_a_reference_of_another_length_is_refused():
    with pytest.raises(ValueError, match="one or two known losses"):
        make_staircase(np.zeros((2, 2)), np.ones(3))
