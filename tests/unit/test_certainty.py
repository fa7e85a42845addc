import numpy as np
import pytest
from fake_run import fake_latency, fake_seeds, fake_serving, fake_trial, write_run

from analysis.certainty import (
    NUM_DRAWS,
    draw_truths,
    find_certainty,
    fronts_of,
    knees_of,
    likely_fronts,
    weigh_finalists,
)
from analysis.choice import knee_index
from analysis.estimates import Estimates
from analysis.hypervolume import hypervolume
from analysis.load import load_run
from analysis.pareto import is_front
from analysis.ranking import rank_trials
from analysis.records import Objective

OBJECTIVES = (Objective("val_accuracy", "max"), Objective("latency_ms", "min"))
REFERENCE = np.array([-0.5, 5.0])


def estimates(accuracies, latencies, seed_sd=0.0, sample_sd=0.0, relative_sd=0.0):
    values = np.array([accuracies, latencies]).T
    of_accuracy, of_latency = np.zeros_like(values), np.zeros_like(values)
    of_accuracy[:, 0], of_latency[:, 1] = 1, 1
    return Estimates(
        trial_ids=tuple(f"t{index}" for index in range(len(values))),
        objectives=OBJECTIVES,
        values=values,
        chosen_by=values,
        seed_sd=seed_sd * of_accuracy,
        seed_dof=np.array([8, 0]),
        sample_sd=sample_sd * of_accuracy,
        relative_sd=relative_sd * of_latency,
    )


def test_what_is_exact_is_certain():
    found = find_certainty(estimates([0.9, 0.85, 0.8, 0.6], [4.0, 2.0, 3.0, 1.0]), REFERENCE)
    assert found.on_front == pytest.approx([1, 1, 0, 1])
    assert found.is_knee == pytest.approx([0, 1, 0, 0])
    assert found.fronts.tolist() == [[True, True, False, True]]
    assert (found.surely_on, found.surely_off) == (("t0", "t1", "t3"), ("t2",))
    losses = np.array([[-0.9, 4.0], [-0.85, 2.0], [-0.6, 1.0]])
    volume = hypervolume(losses, REFERENCE)
    ends = (found.hypervolume_low, found.hypervolume, found.hypervolume_high)
    assert ends == pytest.approx((volume, volume, volume))


@pytest.mark.parametrize("num_objectives", [2, 3])
def test_fronts_and_knees_equal_those_of_one_front(num_objectives):
    draws = np.random.default_rng(0).integers(0, 5, (200, 6, num_objectives)).astype(float)
    members = fronts_of(draws)
    knees = knees_of(draws, members)
    for losses, member, knee in zip(draws, members, knees, strict=True):
        assert member.tolist() == is_front(losses).tolist()
        assert knee == np.flatnonzero(member)[knee_index(losses[member])]


def test_alike_ones_are_undecided_and_a_gap_decides():
    near = find_certainty(estimates([0.80, 0.80], [1.0, 2.0], seed_sd=0.01), REFERENCE)
    assert near.on_front[0] == pytest.approx(1)  # the fastest always is
    assert 0.4 < near.on_front[1] < 0.6
    assert len(near.fronts) == 2
    far = find_certainty(estimates([0.80, 0.85], [1.0, 2.0], seed_sd=0.01), REFERENCE)
    assert far.on_front[1] > 0.95
    assert far.surely_on == ("t0", "t1")
    swapped = find_certainty(estimates([0.85, 0.80], [2.0, 1.0], seed_sd=0.01), REFERENCE)
    assert swapped.on_front[::-1] == pytest.approx(far.on_front, abs=0.03)


def test_what_all_share_decides_nothing_between_them():
    """The samples' error moves the hypervolume, and mostly not the order."""
    by_samples = find_certainty(estimates([0.80, 0.82], [1.0, 2.0], sample_sd=0.02), REFERENCE)
    by_seeds = find_certainty(estimates([0.80, 0.82], [1.0, 2.0], seed_sd=0.02), REFERENCE)
    assert by_samples.on_front[1] > by_seeds.on_front[1]
    widths = [one.hypervolume_high - one.hypervolume_low for one in (by_samples, by_seeds)]
    assert widths[0] > widths[1]


def test_the_bias_of_the_best_of_many_is_taken_off():
    alike = estimates([0.8] * 6, [1.0 + i / 100 for i in range(6)], seed_sd=0.02)
    found = find_certainty(alike, REFERENCE)
    plain = hypervolume(np.array([-1, 1]) * alike.values, REFERENCE)
    assert found.hypervolume_low < found.hypervolume < found.hypervolume_high
    assert found.hypervolume < plain


def test_draws_are_spread_as_their_errors_say_and_come_again():
    given = estimates([0.8, 0.7], [1.0, 2.0], seed_sd=0.01, sample_sd=0.02, relative_sd=0.03)
    draws = draw_truths(given, np.random.default_rng(0))
    assert draws.shape == (NUM_DRAWS, 2, 2)
    assert draws.mean(axis=0) == pytest.approx(given.values, rel=0.01)
    # Student's t with 8 degrees of freedom has a variance of 8 / 6.
    assert draws[:, :, 0].std(axis=0) == pytest.approx(np.sqrt(1e-4 * 8 / 6 + 4e-4), rel=0.05)
    assert np.log(draws[:, :, 1]).std(axis=0) == pytest.approx(0.03, rel=0.05)
    assert np.corrcoef(draws[:, 0, 0], draws[:, 1, 0])[0, 1] > 0.3
    first, again = (find_certainty(given, REFERENCE) for _ in range(2))
    assert first.on_front.tolist() == again.on_front.tolist()


def test_likely_fronts_are_the_fewest():
    members = np.array([[1, 1], [1, 0], [0, 1]], dtype=bool)
    fronts, odds = likely_fronts(members, np.array([0.6, 0.3, 0.1]), level=0.85)
    assert fronts.tolist() == [[True, True], [True, False]]
    assert odds.tolist() == pytest.approx([0.6, 0.3])


def test_of_a_run_without_those_that_do_not_fit(tmp_path):
    trials = [
        fake_trial("a", val_accuracy=0.9, latency_ms=3.0),
        fake_trial("b", val_accuracy=0.8, latency_ms=1.0),
    ]
    seeds = [*fake_seeds("a", [0.88, 0.89]), *fake_seeds("b", [0.79, 0.78])]
    sweep = {
        "objectives": ["val_accuracy:max", "latency_ms:min"],
        "serving": fake_serving(slo_ms=3.5),
    }
    latency = [fake_latency(4.0, trial_id="a"), fake_latency(1.0, trial_id="b")]
    run = load_run(write_run(tmp_path / "run", trials, seeds=seeds, latency=latency, sweep=sweep))
    found = weigh_finalists(run, rank_trials(run))
    assert found.estimates.trial_ids == ("b",)
    assert found.is_knee == pytest.approx([1.0])
    assert (found.place("b"), found.place("a")) == (0, None)
    run = load_run(write_run(tmp_path / "old", trials))
    assert weigh_finalists(run, rank_trials(run)) is None
