import math

import pytest

from trainables.latency.blocks import Series, TimedCall
from trainables.latency.calibration import calibrate, is_low_pressure
from trainables.latency.nominal import Nominal
from trainables.latency.serving import Serving
from trainables.latency.settling import Settled

NOMINAL = Nominal(1.0, 2.0)


def series(minima_ms, *, num_calls=1000, num_preempted=0, cpu_fraction=1.0):
    """Return a series with calls of 1 ms and 2 ms in turn, of which the first were preempted."""
    calls = [
        TimedCall(
            50.0 if number < num_preempted else 1.0 + number % 2,
            cpu_fraction * (1.0 + number % 2),
            number < num_preempted,
        )
        for number in range(num_calls)
    ]
    return Series(calls, minima_ms)


def settled(target, compact_ms=1.0, wide_ms=2.0, disagreement=()):
    references = [series([compact_ms] * 5), series([wide_ms] * 5)]
    return Settled([target, *references], disagreement, 1)


def calibrated(target, nominal=NOMINAL, num_threads=1, **options):
    return calibrate(settled(target, **options), nominal, Serving(num_threads=num_threads))


def test_load_that_slows_all_leaves_the_figure_alone():
    quiet = calibrated(series([3.0] * 5))
    loaded = calibrated(series([4.5] * 5), compact_ms=1.5, wide_ms=3.0)
    assert quiet["latency_ms"] == pytest.approx(3.0)
    assert loaded["latency_ms"] == pytest.approx(3.0)
    assert (quiet["min_ms"], loaded["min_ms"]) == (3.0, 4.5)
    assert loaded["reference_ratio"] == pytest.approx(3.0 / math.sqrt(2.0))


def test_the_references_are_the_ends_of_the_interval():
    # The wide reference was slowed by a tenth more than the compact one.
    found = calibrated(series([3.3] * 5), compact_ms=1.1, wide_ms=2.42)
    assert found["status"] == "exact"
    assert found["latency_low_ms"] == pytest.approx(3.3 / 1.21)
    assert found["latency_high_ms"] == pytest.approx(3.3 / 1.1)
    assert found["latency_ms"] == pytest.approx(3.3 / math.sqrt(1.21 * 1.1))


def test_a_series_that_spreads_widens_the_interval():
    found = calibrated(series([2.0, 2.0, 2.0, 2.0, 2.02, 9.0]))
    assert found["latency_low_ms"] == pytest.approx(2.0)
    assert found["latency_high_ms"] == pytest.approx(2.02)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"disagreement": (0,)}, "shortest calls of the model did not agree in 1 tries"),
        ({"disagreement": (0, 2)}, "of the model and the wide reference network did not agree"),
        ({"nominal": Nominal(1.0, 2.0, is_stable=False)}, "did not agree when their times were"),
        ({"compact_ms": 0.9, "wide_ms": 1.8}, "took 0.9 ms, and 1 ms when this host was taken"),
        ({"wide_ms": 2.4}, "was slowed 1.20 times as much as the compact one"),
    ],
)
def test_a_figure_in_doubt_is_uncertain_and_says_why(options, words):
    found = calibrated(series([3.0] * 5), **options)
    assert found["status"] == "uncertain"
    assert words in found["reason"]


@pytest.mark.parametrize(("wide_ms", "is_low"), [(2.0, True), (2.29, True), (2.31, False)])
def test_pressure_is_low_where_both_references_are_slowed_alike(wide_ms, is_low):
    found = settled(series([3.0] * 5), wide_ms=wide_ms)
    assert is_low_pressure(found.series, NOMINAL) == is_low


def test_the_tail_is_that_of_calls_that_were_not_preempted():
    found = calibrated(series([1.0] * 5, num_calls=1000, num_preempted=200))
    assert (found["tail_reason"], found["clean_fraction"]) == (None, 0.8)
    assert (found["p95_low_ms"], found["p95_ms"], found["p95_high_ms"]) == (2.0, 2.0, 2.0)
    assert (found["p99_low_ms"], found["p99_ms"], found["p99_high_ms"]) == (2.0, 2.0, 2.0)
    assert found["p50_low_ms"] <= found["p50_ms"] <= found["p50_high_ms"]


@pytest.mark.parametrize(
    ("target", "num_threads", "reason"),
    [
        (series([1.0] * 5, num_calls=661), 1, "661 calls were not preempted, and 662 are needed"),
        (series([1.0] * 5, num_preempted=301), 1, "70% of the calls were not preempted"),
        (series([1.0] * 5, cpu_fraction=0.3), 1, "computes in a thread whose preemptions"),
        (series([1.0] * 5), 2, "calling thread alone, not in 2 threads"),
        (Series([TimedCall(1.0, 1.0, None)] * 1000, [1.0] * 5), 1, "does not count"),
    ],
)
def test_there_is_no_tail_without_a_reason_to_trust_it(target, num_threads, reason):
    found = calibrated(target, num_threads=num_threads)
    assert reason in found["tail_reason"]
    assert "p99_ms" not in found


def test_the_least_calls_make_a_tail():
    assert calibrated(series([1.0] * 5, num_calls=662))["tail_reason"] is None
