import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from trainables.latency.blocks import TimedCall
from trainables.latency.calibration import calibrate, is_figure_settled
from trainables.latency.nominal import Nominal
from trainables.latency.serving import Serving
from trainables.latency.settling import Settled

NOMINAL = Nominal(1.0, 2.0)


def series(shortest_ms, *, num_calls=1000, num_preempted=0, cpu_fraction=1.0):
    """Return calls of the shortest and of twice that in turn, of which the first were preempted."""
    return [
        TimedCall(
            50.0 if number < num_preempted else shortest_ms * (1.0 + number % 2),
            cpu_fraction * shortest_ms * (1.0 + number % 2),
            number < num_preempted,
        )
        for number in range(num_calls)
    ]


def processes(target_ms, compact_ms=1.0, wide_ms=2.0):
    """Return as many processes as the longest of these has times; a number stands for all."""
    times_ms = np.broadcast_arrays(*map(np.atleast_1d, (target_ms, compact_ms, wide_ms)))
    return [
        [series(float(ms), num_calls=100) for ms in of_process]
        for of_process in zip(*times_ms, strict=True)
    ]


def calibrated(target_ms, *, nominal=NOMINAL, num_tries=1, **references_ms):
    settled = Settled(processes(target_ms, **references_ms), num_tries)
    return calibrate(settled, nominal, Serving())


def calibrated_tail(target, num_threads=1):
    settled = Settled([[target, series(1.0), series(2.0)]], 1)
    return calibrate(settled, NOMINAL, Serving(num_threads=num_threads))


def test_load_that_slows_all_leaves_the_figure_alone():
    quiet = calibrated([3.0] * 5)
    loaded = calibrated([4.5] * 5, compact_ms=1.5, wide_ms=3.0)
    assert quiet["latency_ms"] == pytest.approx(3.0)
    assert loaded["latency_ms"] == pytest.approx(3.0)
    assert (quiet["min_ms"], loaded["min_ms"]) == (3.0, 4.5)
    assert loaded["reference_ratio"] == pytest.approx(3.0 / math.sqrt(2.0))
    assert loaded["reference_min_ms"] == pytest.approx(1.5 * math.sqrt(2.0))


def test_a_burst_in_one_process_leaves_the_figure_alone():
    assert calibrated([3.0, 3.0, 9.0, 3.0, 3.0])["latency_ms"] == pytest.approx(3.0)
    # Each process is held against its own references, not against the best of all.
    slowed = np.array([1.0, 2.0, 1.5, 3.0, 1.2])
    found = calibrated(3.0 * slowed, compact_ms=slowed, wide_ms=2.0 * slowed)
    assert found["latency_ms"] == pytest.approx(3.0)
    assert (found["status"], found["latency_high_ms"]) == ("exact", pytest.approx(3.0))


def test_the_references_are_the_ends_of_the_interval():
    # The wide reference was slowed by a tenth more than the compact one.
    found = calibrated([3.3] * 5, compact_ms=1.1, wide_ms=2.42)
    assert found["status"] == "exact"
    assert found["latency_low_ms"] == pytest.approx(3.3 / 1.21)
    assert found["latency_high_ms"] == pytest.approx(3.3 / 1.1)
    assert found["latency_ms"] == pytest.approx(3.3 / math.sqrt(1.21 * 1.1))


def test_processes_that_differ_widen_the_interval_by_their_middle_half():
    found = calibrated([2.06, 1.0, 2.0, 9.0, 1.95])
    assert found["latency_ms"] == pytest.approx(2.0)
    assert found["latency_low_ms"] == pytest.approx(1.95)
    assert found["latency_high_ms"] == pytest.approx(2.06)


TIMES_MS = arrays(float, (3, 4), elements=st.floats(0.1, 10.0))


@given(TIMES_MS)
def test_the_figure_lies_in_its_interval(times_ms):
    target_ms, compact_ms, wide_ms = times_ms
    found = calibrated(target_ms, compact_ms=compact_ms, wide_ms=wide_ms)
    below_ms, above_ms = found["latency_low_ms"], found["latency_high_ms"]
    assert below_ms * (1 - 1e-9) <= found["latency_ms"] <= above_ms * (1 + 1e-9)


@pytest.mark.parametrize(
    ("target_ms", "options", "words"),
    [
        (
            [2.0, 2.1, 2.2, 2.3, 2.4],
            {"num_tries": 4},
            "the middle half of 5 processes' figures spans 9% in the last of 4 tries, and 8% is",
        ),
        (3.0, {"nominal": Nominal(1.0, 2.0, is_stable=False)}, "did not agree when their times"),
        (
            3.0,
            {"compact_ms": 0.9, "wide_ms": 1.8},
            "the compact reference network took 0.9 ms, and",
        ),
        (3.0, {"wide_ms": 1.88}, "the wide reference network took 1.88 ms, and 2 ms when this"),
        (3.0, {"wide_ms": 2.4}, "was slowed 1.20 times as much as the compact one"),
    ],
)
def test_a_figure_in_doubt_is_uncertain_and_says_why(target_ms, options, words):
    found = calibrated(target_ms, **options)
    assert found["status"] == "uncertain"
    assert words in found["reason"]


@pytest.mark.parametrize(
    ("target_ms", "wide_ms", "is_settled"),
    [
        ([3.0] * 5, 2.0, True),
        ([3.0] * 5, 2.29, True),
        ([3.0] * 5, 2.31, False),
        ([3.0] * 5, 1.73, False),
        ([3.0] * 5, [2.0, 9.0, 2.0, 2.0, 2.0], True),
        ([1.0, 2.9, 3.0, 3.1, 9.0], 2.0, True),
        ([1.0, 2.8, 3.0, 3.1, 9.0], 2.0, False),
    ],
)
def test_it_is_settled_where_processes_agree_and_both_references_are_slowed_alike(
    target_ms, wide_ms, is_settled
):
    assert is_figure_settled(processes(target_ms, wide_ms=wide_ms), NOMINAL) == is_settled


def test_the_tail_is_that_of_calls_that_were_not_preempted():
    found = calibrated_tail(series(1.0, num_preempted=200))
    assert (found["tail_reason"], found["clean_fraction"]) == (None, 0.8)
    assert (found["p95_low_ms"], found["p95_ms"], found["p95_high_ms"]) == (2.0, 2.0, 2.0)
    assert (found["p99_low_ms"], found["p99_ms"], found["p99_high_ms"]) == (2.0, 2.0, 2.0)
    assert found["p50_low_ms"] <= found["p50_ms"] <= found["p50_high_ms"]


@pytest.mark.parametrize(
    ("target", "num_threads", "reason"),
    [
        (series(1.0, num_calls=661), 1, "661 calls were not preempted, and 662 are needed"),
        (series(1.0, num_preempted=301), 1, "70% of the calls were not preempted"),
        (series(1.0, cpu_fraction=0.3), 1, "computes in a thread whose preemptions"),
        (series(1.0), 2, "calling thread alone, not in 2 threads"),
        ([TimedCall(1.0, 1.0, None)] * 1000, 1, "does not count"),
    ],
)
def test_there_is_no_tail_without_a_reason_to_trust_it(target, num_threads, reason):
    found = calibrated_tail(target, num_threads)
    assert reason in found["tail_reason"]
    assert "p99_ms" not in found


def test_the_least_calls_make_a_tail():
    assert calibrated_tail(series(1.0, num_calls=662))["tail_reason"] is None
