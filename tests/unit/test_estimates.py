import numpy as np
import pytest
from fake_run import fake_latency, fake_seeds, fake_trial, write_run
from scipy.stats import t

from analysis.estimates import (
    Z_95,
    estimate_finalists,
    gather_retrainings,
    part_interval,
    pooled_variance,
    sample_variance,
)
from analysis.load import RunError, load_run
from analysis.ranking import rank_trials

OBJECTIVES = ["val_accuracy:max", "latency_ms:min"]


@pytest.fixture
def make(tmp_path):
    def make(seeds, trials=None, num_val=400, **files):
        trials = trials or [
            fake_trial("a", val_accuracy=0.9, latency_ms=3.0),
            fake_trial("b", val_accuracy=0.8, latency_ms=1.0),
            fake_trial("c", val_accuracy=0.7, latency_ms=0.5),
        ]
        sweep = {"objectives": OBJECTIVES, "dataset": {"num_val": num_val}}
        return load_run(write_run(tmp_path / "run", trials, seeds=seeds, sweep=sweep, **files))

    return make


def estimate(run, *left_out):
    return estimate_finalists(run, rank_trials(run), left_out)


SEEDS = [*fake_seeds("a", [0.86, 0.88, 0.90]), *fake_seeds("b", [0.79, 0.79])]


def test_means_over_further_seeds_with_pooled_variance(make):
    found = estimate(make(SEEDS))
    assert found.trial_ids == ("a", "b")
    assert found.values[:, 0] == pytest.approx([0.88, 0.79])
    assert found.chosen_by[:, 0].tolist() == [0.9, 0.8]
    variance = 2 * 0.02**2 / 3  # of two and one degrees of freedom
    assert found.seed_sd[:, 0] == pytest.approx(np.sqrt([variance / 3, variance / 2]))
    assert found.seed_dof.tolist() == [3, 0]
    binomial = 0.88 * 0.12 / 400
    assert found.sample_sd[0, 0] ** 2 == pytest.approx(max(binomial - variance, binomial / 2))
    low, high = found.intervals()
    half = np.hypot(t.ppf(0.975, 3) * found.seed_sd[0, 0], Z_95 * found.sample_sd[0, 0])
    assert (low[0, 0], high[0, 0]) == pytest.approx((0.88 - half, 0.88 + half))
    assert low[:, 1].tolist() == high[:, 1].tolist() == [3.0, 1.0]  # not measured: as it stands


def test_without_a_count_the_part_adds_nothing(make):
    assert not estimate(make(SEEDS, num_val=None)).sample_sd.any()


def test_latencies_are_those_of_trained_weights(make):
    latency = [
        fake_latency(3.3, trial_id="a"),
        fake_latency(9.9, trial_id="a", compression="pruned 0.5"),
        fake_latency(8.8, trial_id="b", status="uncertain"),
        fake_latency(1.0),
    ]
    found = estimate(make(SEEDS, latency=latency))
    assert found.values[:, 1].tolist() == [3.3, 1.0]
    assert found.relative_sd[:, 1] == pytest.approx([0.54 * np.log(1.01 / 0.99)] * 2)
    low, high = found.intervals()
    assert low[0, 1] < 3.3 < high[0, 1]


def test_quantiles_of_a_latency_have_intervals_already(make, tmp_path):
    run = make(SEEDS, latency=[fake_latency(3.3, trial_id="a")])
    run.spec["objectives"] = ["val_accuracy:max", "latency_p50_ms:min"]
    low, high = estimate(run).intervals()
    assert (low[0, 1], high[0, 1]) == pytest.approx((3.3 * 0.99, 3.3 * 1.01), rel=1e-3)


def test_who_cannot_be_told_is_left_out(make):
    failed = {"trial_id": "c", "seed": 1, "status": "failed", "reason": "NaN loss", "epoch": 0}
    run = make([*SEEDS, failed])
    assert gather_retrainings(run)["c"].num_failed == 1
    assert estimate(run).trial_ids == ("a", "b")
    assert estimate(run, "a").trial_ids == ("b",)
    nameless = [*SEEDS, *fake_seeds("c", [None, 0.7])]
    assert estimate(make(nameless)).trial_ids == ("a", "b")


@pytest.mark.parametrize("seeds", [None, [], [*fake_seeds("a", [0.9]), *fake_seeds("b", [0.8])]])
def test_too_little_is_no_estimate(make, seeds):
    assert estimate(make(seeds)) is None


@pytest.mark.parametrize(
    ("seeds", "words"),
    [
        (fake_seeds("nobody", [0.9]), "must be a trial of trials.parquet, got 'nobody'"),
        (2 * fake_seeds("a", [0.9]), "must be there once with a seed, got 'a'"),
    ],
)
def test_a_damaged_table_is_one_clear_line(make, seeds, words):
    run = make(seeds)
    with pytest.raises(RunError, match=words):
        gather_retrainings(run)


def test_what_a_part_adds_never_vanishes():
    fractions = np.array([0.5, 0.9])
    binomial = fractions * (1 - fractions) / 100
    assert sample_variance(fractions, 100, 0.0) == pytest.approx(binomial)
    assert sample_variance(fractions, 100, 1.0) == pytest.approx(binomial / 2)


def test_interval_on_a_part_is_students_where_samples_are_without_number():
    scores = np.array([0.86, 0.88, 0.9])
    variance, dof = pooled_variance([scores])
    expected = t.interval(0.95, dof, scores.mean(), np.sqrt(variance / 3))
    assert part_interval(scores, variance, dof, None) == pytest.approx(expected)
    low, high = part_interval(scores, variance, dof, 100)
    assert low < expected[0] < expected[1] < high


def test_no_interval_of_a_fraction_leaves_it():
    low, high = part_interval(np.array([0.9, 1.0]), 0.1, 1, None)
    assert (low, high) == (0.0, 1.0)
