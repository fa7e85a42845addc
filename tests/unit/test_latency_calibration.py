import pytest

from trainables.latency.blocks import Series, TimedCall
from trainables.latency.calibration import Nominal, calibrate

NOMINAL = Nominal(1.0, is_stable=True)


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


def calibrated(target, reference=None, nominal=NOMINAL, num_threads=1):
    reference = reference or series([1.0] * 20)
    return calibrate(target, reference, nominal, num_tries=1, num_threads=num_threads)


def test_load_that_slows_both_leaves_the_figure_alone():
    quiet = calibrated(series([2.0] * 5), series([1.0] * 5))
    loaded = calibrated(series([3.0] * 5), series([1.5] * 5))
    assert quiet["latency_ms"] == loaded["latency_ms"] == 2.0
    assert (quiet["min_ms"], loaded["min_ms"]) == (2.0, 3.0)
    assert loaded["reference_ratio"] == 2.0


def test_the_interval_is_that_of_the_five_smallest():
    found = calibrated(
        series([2.0, 2.0, 2.0, 2.0, 2.02, 9.0]),
        series([1.0, 1.0, 1.0, 1.0, 1.01, 9.0]),
        Nominal(3.0, is_stable=True),
    )
    assert found["latency_low_ms"] == pytest.approx(6.0 / 1.01)
    assert found["latency_ms"] == pytest.approx(6.0)
    assert found["latency_high_ms"] == pytest.approx(6.06)


def test_a_figure_is_exact_where_all_three_are_stable():
    quiet, noisy = series([1.0] * 5), series([1.0, 1.1, 1.2, 1.3, 1.4])
    found = calibrated(quiet, quiet)
    assert (found["status"], found["reason"]) == ("exact", None)
    for target, reference, nominal, words in (
        (noisy, quiet, NOMINAL, "calls of the model did not agree in 1 tries"),
        (quiet, noisy, NOMINAL, "calls of the reference network did not agree"),
        (noisy, noisy, NOMINAL, "calls of the model and the reference network did not agree"),
        (quiet, quiet, Nominal(1.0, is_stable=False), "did not agree when its time was taken"),
    ):
        found = calibrated(target, reference, nominal)
        assert found["status"] == "uncertain"
        assert words in found["reason"]


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
