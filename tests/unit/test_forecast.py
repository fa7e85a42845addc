import numpy as np
import pytest

from sweeps.forecast import (
    MEASURED_SPREAD,
    Outlook,
    Rungs,
    Situation,
    asha_rungs,
    forecast,
)


def outlooks(num, **fields):
    values = {"key": "a", "relative": 1.0, "num_epochs": 10} | fields
    return [Outlook(**values) for _ in range(num)]


def test_nothing_is_foretold_from_nothing():
    assert forecast(outlooks(3), Situation(1), 1.0) is None


def test_timed_steps_give_a_first_and_wide_forecast():
    found = forecast(outlooks(4), Situation(2, timed_seconds={"a": 3.0}), 3600.0)
    assert found.seconds == pytest.approx(2 * 10 * 3.0, rel=0.1)
    assert found.gang_seconds == pytest.approx(2 * found.seconds)
    assert found.cost_usd == pytest.approx(found.gang_seconds)
    assert found.seconds_high / found.seconds_low > 2
    assert "timed" in found.basis


def test_measured_epochs_count_more_than_timed_ones():
    trials = [*outlooks(1, epoch=2, seconds=(5.0, 5.0)), *outlooks(3)]
    situation = Situation(2, held_seconds=40.0, elapsed_s=25.0, timed_seconds={"a": 3.0})
    found = forecast(trials, situation, None)
    assert found.seconds == pytest.approx(25 + 20 * 5.0, rel=3 * MEASURED_SPREAD)
    assert found.gang_seconds == pytest.approx(40 + 2 * (found.seconds - 25))
    assert found.cost_usd is found.cost_usd_low is found.cost_usd_high is None
    assert found.seconds_low < found.seconds < found.seconds_high
    assert found.basis == "2 measured epochs of 1 of 1 kinds"


def test_what_is_not_measured_is_told_from_what_is():
    trials = [
        *outlooks(1, epoch=10, is_over=True, seconds=(2.0,) * 10),
        *outlooks(1, key="b", relative=3.0),
    ]
    found = forecast(trials, Situation(1), None)
    assert found.seconds == pytest.approx(10 * 6.0, rel=0.1)
    unknown = [trials[0], *outlooks(1, key="b", relative=None)]
    assert forecast(unknown, Situation(1), None).seconds == pytest.approx(20.0, rel=0.1)


def test_further_trainings_of_finalists_come_on_top():
    ended = outlooks(1, epoch=10, is_over=True, seconds=(1.0,) * 10)
    plain = forecast([*ended, *outlooks(3)], Situation(2), None)
    # Four trainings of 10 epochs on two gangs.
    again = Situation(2, num_finalists=2, num_seeds=2)
    found = forecast([*ended, *outlooks(3)], again, None)
    assert found.seconds - plain.seconds == pytest.approx(20.0, rel=0.2)
    # A trial that was stopped is trained again as far as it was trained.
    stopped = outlooks(4, epoch=3, is_over=True, seconds=(1.0,) * 3)
    assert forecast(stopped, again, None).seconds == pytest.approx(6.0, rel=0.2)
    refused = outlooks(2, is_over=True)
    one = Situation(1, num_finalists=9, num_seeds=1)
    assert forecast([*refused, *ended], one, None).seconds == pytest.approx(10.0, rel=0.2)
    assert forecast(refused, Situation(1, num_finalists=2, num_seeds=1, timed_seconds={"a": 1.0}),
                    None).seconds == 0  # fmt: skip


def test_idle_time_and_the_rest_come_on_top():
    trials = [*outlooks(1, epoch=10, is_over=True, seconds=(1.0,) * 10), *outlooks(5)]
    plain = forecast(trials, Situation(1), None)
    found = forecast(trials, Situation(1, idle_seconds=2.0, rest_s=30.0), None)
    assert found.seconds - plain.seconds == pytest.approx(5 * 2 + 30)
    around = forecast(trials, Situation(1, around_seconds=0.5), None)
    assert around.seconds - plain.seconds == pytest.approx(50 * 0.5)


def test_a_sweep_that_is_over_costs_what_it_cost():
    trials = outlooks(4, epoch=10, is_over=True, seconds=(1.0,) * 10)
    found = forecast(trials, Situation(2, held_seconds=50.0, elapsed_s=31.0), 3600.0)
    assert found.seconds == found.seconds_low == found.seconds_high == 31.0
    assert found.cost_usd == pytest.approx(50.0)


def test_the_same_seed_gives_the_same_forecast():
    trials = [*outlooks(1, epoch=1, seconds=(2.0,)), *outlooks(20)]
    situation = Situation(3, asha_rungs(1, 3, 10))
    assert forecast(trials, situation, 1.0, 7) == forecast(trials, situation, 1.0, 7)


@pytest.mark.parametrize(
    ("grace", "factor", "num_epochs", "rungs"),
    [(1, 3, 27, (1, 3, 9)), (1, 3, 10, (1, 3, 9)), (2, 2, 9, (2, 4, 8)), (4, 3, 4, ()),
     (9, 3, 4, ())],
)  # fmt: skip
def test_rungs_are_those_of_asha(grace, factor, num_epochs, rungs):
    assert asha_rungs(grace, factor, num_epochs) == Rungs(rungs, factor)


def play_asha(num_trials, rungs, num_epochs, seed):
    """Return the epochs of an ASHA on one gang, as Ray's stopping rule has it."""
    generator = np.random.default_rng(seed)
    seen = {rung: [] for rung in rungs.epochs}
    total = 0
    for _ in range(num_trials):
        value, epoch = generator.random(), 0
        while epoch < num_epochs:
            epoch += 1
            if epoch in seen:
                before = seen[epoch]
                quantile = 100 * (1 - 1 / rungs.reduction_factor)
                cutoff = np.percentile(before, quantile) if before else -1.0
                before.append(value)
                if value < cutoff:
                    break
        total += epoch
    return total


@pytest.mark.parametrize("num_trials", [6, 40])
def test_asha_stops_as_many_as_its_rungs_do(num_trials):
    rungs = asha_rungs(1, 3, 27)
    real = [play_asha(num_trials, rungs, 27, seed) for seed in range(200)]
    trials = outlooks(num_trials, num_epochs=27)
    found = forecast(trials, Situation(1, rungs, timed_seconds={"a": 1.0}), None)
    assert found.seconds == pytest.approx(np.median(real), rel=0.15)
    full = forecast(trials, Situation(1, timed_seconds={"a": 1.0}), None)
    assert found.seconds < 0.7 * full.seconds
    assert found.seconds_low < np.quantile(real, 0.1)
    assert found.seconds_high > np.quantile(real, 0.9)


def test_rungs_that_were_reached_already_count():
    rungs = asha_rungs(1, 3, 27)
    ended = [
        *outlooks(8, num_epochs=27, epoch=1, is_over=True, seconds=(1.0,)),
        *outlooks(3, num_epochs=27, epoch=3, is_over=True, seconds=(1.0,) * 3),
        *outlooks(1, num_epochs=27, epoch=27, is_over=True, seconds=(1.0,) * 27),
    ]
    found = forecast([*ended, *outlooks(12, num_epochs=27)], Situation(1, rungs), None)
    alone = forecast(
        outlooks(12, num_epochs=27), Situation(1, rungs, timed_seconds={"a": 1.0}), None
    )
    assert found.seconds < alone.seconds  # the first ones pass more easily
    assert found.seconds > 12


def test_patience_widens_the_interval_and_is_learnt():
    begun = outlooks(1, epoch=2, seconds=(1.0, 1.0))
    plain = forecast([*begun, *outlooks(9)], Situation(1), None)
    patient = forecast([*begun, *outlooks(9, patience_epochs=2)], Situation(1), None)
    assert patient.seconds < plain.seconds
    width, plain_width = (f.seconds_high - f.seconds_low for f in (patient, plain))
    assert width / patient.seconds > 1.5 * plain_width / plain.seconds
    ended = outlooks(3, patience_epochs=2, epoch=4, is_over=True, seconds=(1.0,) * 4)
    learnt = forecast([*ended, *outlooks(9, patience_epochs=2)], Situation(1), None)
    assert learnt.seconds == pytest.approx(9 * 4, rel=0.1)


def test_a_population_shares_the_gangs_evenly():
    trials = [*outlooks(1, epoch=1, seconds=(1.0,)), *outlooks(4)]
    staying = forecast(trials, Situation(2), None)
    sharing = forecast(trials, Situation(2, chunk_epochs=2), None)
    assert sharing.seconds < staying.seconds
    assert sharing.seconds == pytest.approx(49 / 2, rel=0.15)
