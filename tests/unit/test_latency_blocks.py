import itertools
import time

import pytest

from trainables.latency.blocks import Limits, TimedCall, alternate, shortest_ms, time_call


class FakeTimer:
    """Says what calls take, from an endless series for each network; counts the calls."""

    def __init__(self, **durations_ms):
        self.durations_ms = {name: iter(values) for name, values in durations_ms.items()}
        self.order = []

    def __call__(self, network):
        self.order.append(network)
        duration_ms = next(self.durations_ms[network])
        return TimedCall(duration_ms, duration_ms, False)


def time_both(target_ms, reference_ms, seconds=0.1):
    timer = FakeTimer(target=itertools.repeat(target_ms), reference=itertools.repeat(reference_ms))
    target, reference = alternate(["target", "reference"], seconds, timer=timer)
    return target, reference, timer


def test_blocks_alternate_and_the_call_after_a_switch_is_not_counted():
    target, reference, timer = time_both(1.0, 2.0)
    timed = timer.order[30 + 15 :]  # after 30 ms of warm-up each
    # 5 ms hold five calls of 1 ms, or three of 2 ms; and one more after each switch.
    assert timed == (["target"] * 6 + ["reference"] * 4) * 8  # rounds of 14 ms in 100 ms
    assert (len(target), len(reference)) == (5 * 8, 3 * 8)


def test_slow_calls_are_timed_in_three_rounds_even_beyond_the_time():
    target, reference, timer = time_both(6000.0, 1.0)
    assert len(target) == 3
    assert len(reference) == 3 * 5
    assert timer.order[:3] == ["target"] * 3  # of its warm-up


def test_a_warm_up_is_not_counted():
    durations_ms = itertools.chain([0.1] * 2, itertools.repeat(20.0))
    (target,) = alternate(["target"], 0.1, timer=FakeTimer(target=durations_ms))
    assert shortest_ms(target) == 20.0


def test_the_shortest_call_is_found_wherever_it_stands():
    assert shortest_ms([TimedCall(ms, ms, True) for ms in (2.0, 1.5, 3.0)]) == 1.5


def test_five_processes_share_the_time_of_calls_and_not_the_limit():
    limits = Limits(1.5, 10.0)
    assert limits.process_s == pytest.approx(0.3)
    assert limits.time_limit_s == 10.0


def test_a_call_that_sleeps_takes_wall_time_and_no_cpu_time():
    timed = time_call(lambda: time.sleep(0.02))
    assert timed.wall_ms >= 20
    assert timed.cpu_ms < timed.wall_ms / 2
