import doctest

import pytest

from trainables import cost
from trainables.cost import (
    carbon_kg,
    energy_kwh,
    paid_seconds,
    serving_usd_per_million,
    time_usd,
)


def test_the_examples_hold():
    assert doctest.testmod(cost).failed == 0


@pytest.mark.parametrize(("usd", "price"), [(0.0, 2.0), (1.0, 3.6), (0.013, 55.04)])
def test_money_and_time_are_two_sides_of_a_price(usd, price):
    assert time_usd(paid_seconds(usd, price), price) == pytest.approx(usd)


def test_energy_and_carbon():
    assert energy_kwh(7.2e6) == 2.0
    assert carbon_kg(2.0, 0.4) == 0.8


@pytest.mark.parametrize(("kwh", "factor"), [(None, 0.4), (2.0, None), (None, None)])
def test_carbon_is_never_guessed(kwh, factor):
    assert carbon_kg(kwh, factor) is None


def test_serving_costs_half_as_much_at_twice_the_throughput():
    assert serving_usd_per_million(200, 0.9) == pytest.approx(1.25)
    assert serving_usd_per_million(400, 0.9) == pytest.approx(0.625)
