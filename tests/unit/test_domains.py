import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeps.domains import Choice, Integer, Switch, Uniform
from trainables.errors import InputError

seeds = st.integers(0, 2**32 - 1)
fractions = st.floats(0, 1, exclude_max=True)


@st.composite
def uniforms(draw):
    is_log = draw(st.booleans())
    low = draw(st.floats(1e-6 if is_log else -10, 1e3))
    high = low + draw(st.floats(1e-3, 1e3))
    return Uniform(low, high, is_log)


@st.composite
def integers(draw):
    is_log = draw(st.booleans())
    low = draw(st.integers(1 if is_log else -10, 1000))
    return Integer(low, low + draw(st.integers(1, 1000)), is_log)


choices = st.lists(st.integers(), min_size=1, unique=True).map(lambda v: Choice(tuple(v)))


# --- sampling ------------------------------------------------------------------------------------


@given(domain=uniforms(), fraction=fractions)
def test_a_quantile_of_numbers_lies_inside_the_bounds(domain, fraction):
    value = domain.at(fraction)
    assert type(value) is float
    assert domain.low <= value <= domain.high


@given(domain=integers(), fraction=fractions)
def test_a_quantile_of_whole_numbers_lies_inside_the_bounds(domain, fraction):
    value = domain.at(fraction)
    assert type(value) is int
    assert domain.low <= value <= domain.high


@given(domain=st.one_of(uniforms(), integers()), one=fractions, other=fractions)
def test_quantiles_rise(domain, one, other):
    assert domain.at(min(one, other)) <= domain.at(max(one, other))


@given(domain=choices)
def test_quantiles_of_choices_share_the_line_evenly(domain):
    middles = [(index + 0.5) / len(domain.values) for index in range(len(domain.values))]
    assert tuple(domain.at(middle) for middle in middles) == domain.values
    assert domain.at(0.0) == domain.values[0]
    assert domain.at(np.nextafter(1, 0)) == domain.values[-1]


@given(domain=st.one_of(uniforms(), integers(), choices), seed=seeds)
def test_the_same_generator_draws_the_same(domain, seed):
    one, other = np.random.default_rng(seed), np.random.default_rng(seed)
    assert domain.sample(one) == domain.sample(other)


@pytest.mark.parametrize("is_log", [False, True])
def test_every_whole_number_comes_up(is_log):
    generator = np.random.default_rng(0)
    assert {Integer(1, 5, is_log).sample(generator) for _ in range(300)} == {1, 2, 3, 4, 5}


def test_whole_numbers_are_equally_likely_on_a_linear_scale():
    generator = np.random.default_rng(0)
    drawn = [Integer(0, 3).sample(generator) for _ in range(4000)]
    assert np.bincount(drawn) / len(drawn) == pytest.approx([0.25] * 4, abs=0.03)


@pytest.mark.parametrize("domain", [Uniform(1e-4, 1.0, is_log=True), Integer(1, 9999, is_log=True)])
def test_a_log_scale_draws_each_decade_as_often(domain):
    generator = np.random.default_rng(0)
    drawn = [domain.sample(generator) / domain.high for _ in range(4000)]
    shares = np.histogram(np.log10(drawn), bins=[-9, -3, -2, -1, 1e-9])[0] / len(drawn)
    # The whole number 1 gets the part of the scale from a half on.
    expected = [0.25] * 4 if isinstance(domain, Uniform) else [0.3, 0.233, 0.233, 0.233]
    assert shares == pytest.approx(expected, abs=0.03)


# --- perturbing ----------------------------------------------------------------------------------


@given(domain=uniforms(), seed=seeds)
def test_perturbed_numbers_stay_inside_their_bounds(domain, seed):
    generator = np.random.default_rng(seed)
    value = domain.sample(generator)
    for _ in range(20):
        value = domain.perturb(value, generator)
        assert type(value) is float
        assert domain.low <= value <= domain.high


@given(domain=integers(), seed=seeds)
def test_perturbed_whole_numbers_move_inside_their_bounds(domain, seed):
    generator = np.random.default_rng(seed)
    value = domain.sample(generator)
    for _ in range(20):
        moved = domain.perturb(value, generator)
        assert type(moved) is int
        assert domain.low <= moved <= domain.high
        assert abs(moved - value) >= 1 or value in (domain.low, domain.high)
        value = moved


@given(domain=choices, seed=seeds)
def test_choices_are_perturbed_to_a_neighbour(domain, seed):
    generator = np.random.default_rng(seed)
    value = domain.sample(generator)
    for _ in range(20):
        moved = domain.perturb(value, generator)
        assert abs(domain.values.index(moved) - domain.values.index(value)) <= 1
        value = moved


@pytest.mark.parametrize(
    ("domain", "value", "expected"),
    [
        (Uniform(0.0, 10.0), 1.0, {0.8, 1.2}),
        (Uniform(1e-4, 10.0, is_log=True), 1.0, {0.8, 1.2}),
        (Uniform(0.0, 10.0), 0.0, {0.0, 0.2}),
        (Uniform(-1.0, 1.0), 0.0, {-0.04, 0.04}),
        (Integer(0, 30), 10, {8, 12}),
        (Integer(0, 30), 0, {0, 1}),
        (Integer(0, 30), 30, {24, 30}),
        (Choice((1, 2, 3)), 1, {1, 2}),
        (Choice((1,)), 1, {1}),
    ],
)
def test_perturbing_moves_by_the_factors_of_the_paper_or_the_least_step(domain, value, expected):
    generator = np.random.default_rng(0)
    assert {domain.perturb(value, generator) for _ in range(50)} == expected


# --- grids ---------------------------------------------------------------------------------------


@given(domain=st.one_of(uniforms(), integers(), choices), num_points=st.integers(1, 7))
def test_a_grid_rises_from_bound_to_bound_without_duplicates(domain, num_points):
    grid = domain.grid(num_points)
    if isinstance(domain, Choice):
        assert grid == domain.values
        return
    assert list(grid) == sorted(set(grid))
    assert 1 <= len(grid) <= num_points
    if num_points > 1:
        assert (grid[0], grid[-1]) == (domain.low, domain.high)


@pytest.mark.parametrize(
    ("domain", "num_points", "expected"),
    [
        (Uniform(0.0, 1.0), 3, (0.0, 0.5, 1.0)),
        (Uniform(1e-4, 1.0, is_log=True), 3, (1e-4, 1e-2, 1.0)),
        (Uniform(1e-4, 1.0, is_log=True), 1, (1e-2,)),
        (Integer(0, 10), 3, (0, 5, 10)),
        (Integer(1, 100, is_log=True), 3, (1, 10, 100)),
        (Integer(3, 4), 5, (3, 4)),
        (Choice((7,)), 5, (7,)),
    ],
)
def test_a_grid_is_even_on_its_scale(domain, num_points, expected):
    assert domain.grid(num_points) == pytest.approx(expected)


# --- what cannot be built ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Choice(()), "choices must be at least one value, got none; "),
        (lambda: Choice((8, 16, 8)), "choices must be distinct, got 8 twice; list it once"),
        (lambda: Choice(([8], [16])), "choices must be plain values, got [8]; "),
        (lambda: Uniform(1.0, 1.0), "bounds must be finite and low < high, got 1 and 1; "),
        (lambda: Uniform(2.0, 1.0), "bounds must be finite and low < high, got 2 and 1; swap"),
        (lambda: Uniform(math.nan, 1.0), "bounds must be finite and low < high, got nan"),
        (lambda: Uniform(0.0, math.inf), "bounds must be finite and low < high, got 0 and inf"),
        (lambda: Uniform(0.0, 1.0, is_log=True), "a log scale must be > 0, got 0; "),
        (lambda: Integer(3, 2), "bounds must be finite and low < high, got 3 and 2; "),
        (lambda: Integer(0, 2, is_log=True), "a log scale must be > 0, got 0; "),
        (lambda: Integer(0.5, 2), "bounds must be whole numbers, got 0.5; "),
        (lambda: Integer(False, 2), "bounds must be whole numbers, got False; "),
        (lambda: Switch("width", {}), "a Switch must be on one of model, optimizer, schedule, got"),
    ],
)
def test_a_domain_that_cannot_be_sampled_cannot_be_built(make, message):
    with pytest.raises(InputError) as caught:
        make()
    assert str(caught.value).startswith(message)


def test_a_switch_without_a_case_says_which():
    switch = Switch("optimizer", {"sgd": Uniform(0.1, 1.0)})
    assert switch.case("sgd") == Uniform(0.1, 1.0)
    with pytest.raises(InputError, match=r"a Switch on optimizer must have a case .* for adam"):
        switch.case("adam")
