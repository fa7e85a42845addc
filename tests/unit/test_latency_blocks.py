import itertools
import time

import pytest

from trainables.latency.blocks import Limits, Series, TimedCall, alternate, pool, time_call


class FakeTimer:
    """Says what calls take, from an endless series for each network; counts the calls."""

    def __init__(self, **durations_ms):
        self.durations_ms = {name: iter(values) for name, values in durations_ms.items()}
        self.order = []

    def __call__(self, network):
        self.order.append(network)
        duration_ms = next(self.durations_ms[network])
        return TimedCall(duration_ms, duration_ms, False)


def constant(duration_ms):
    return itertools.repeat(duration_ms)


def growing(first_ms=6.0):
    return itertools.accumulate(itertools.repeat(1.05), lambda a, b: a * b, initial=first_ms)


def time_both(min_time_s=0.5, time_limit_s=10.0, **durations_ms):
    timer = FakeTimer(**durations_ms)
    target, reference = alternate(
        ["target", "reference"], Limits(min_time_s, time_limit_s), timer=timer
    )
    return target, reference, timer


def test_blocks_alternate_and_the_call_after_a_switch_is_not_counted():
    target, reference, timer = time_both(target=constant(1.0), reference=constant(2.0))
    timed = timer.order[50 + 25 :]  # after 50 ms of warm-up each
    # 5 ms hold five calls of 1 ms, or three of 2 ms; and one more after each switch.
    pair = ["target"] * 6 + ["reference"] * 4
    assert timed == pair * (len(timed) // 10)
    num_rounds = len(timed) // 10
    assert len(target.calls) == 5 * num_rounds
    assert len(reference.calls) == 3 * num_rounds
    assert target.minima_ms == [1.0] * num_rounds


def test_the_end_is_at_the_least_time_where_all_is_stable():
    target, _, _ = time_both(target=constant(1.0), reference=constant(1.0))
    assert len(target.minima_ms) == 42  # rounds of 12 ms in 500 ms


def test_slow_calls_are_timed_in_ten_rounds():
    target, _, _ = time_both(target=constant(100.0), reference=constant(1.0))
    assert len(target.minima_ms) == 10


def test_very_slow_calls_are_timed_in_three_rounds_even_beyond_the_limit():
    target, reference, _ = time_both(target=constant(6000.0), reference=constant(1.0))
    assert len(target.minima_ms) == len(reference.minima_ms) == 3


@pytest.mark.parametrize("noisy", ["target", "reference"])
def test_noise_in_either_is_timed_until_the_limit(noisy):
    durations_ms = {"target": constant(1.0), "reference": constant(1.0), noisy: growing()}
    target, reference, _ = time_both(**durations_ms)
    assert not (target if noisy == "target" else reference).is_stable()
    spent_ms = sum(call.wall_ms for series in (target, reference) for call in series.calls)
    assert spent_ms > 3000


def test_it_ends_once_the_noise_is_gone():
    # 2 s of noise in the target, each call a twentieth longer than the last; then quiet.
    noise = [6.0 * 1.05**power for power in range(60)]
    target, _, _ = time_both(target=itertools.chain(noise, constant(1.0)), reference=constant(1.0))
    assert target.is_stable()
    assert target.smallest_ms() == [1.0] * 5


@pytest.mark.parametrize(
    ("minima_ms", "is_stable"),
    [
        ([1.0] * 4, False),
        ([1.0] * 5, True),
        ([9.0, 1.0, 1.02, 1.01, 1.0, 5.0, 1.0], True),
        ([1.0, 1.0, 1.0, 1.0, 1.021, 1.3], False),
    ],
)
def test_stable_is_where_the_five_smallest_lie_within_two_percent(minima_ms, is_stable):
    assert Series(minima_ms=minima_ms).is_stable() == is_stable


def test_processes_are_pooled_and_stay_as_they_are():
    one = Series([TimedCall(1.0, 1.0, False)], [1.0])
    other = Series([TimedCall(2.0, 2.0, True)], [2.0])
    pooled = pool([one, other])
    assert pooled.calls == [*one.calls, *other.calls]
    assert pooled.minima_ms == [1.0, 2.0]
    assert (len(one.calls), len(other.calls)) == (1, 1)


def test_three_processes_share_the_time():
    assert Limits(0.6, 9.0).of_process() == (pytest.approx(0.2), 3.0)


def test_a_call_that_sleeps_takes_wall_time_and_no_cpu_time():
    timed = time_call(lambda: time.sleep(0.02))
    assert timed.wall_ms >= 20
    assert timed.cpu_ms < timed.wall_ms / 2
