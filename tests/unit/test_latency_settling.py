import numpy as np
import pytest

from trainables.latency.blocks import Limits, TimedCall
from trainables.latency.settling import settle, spread

LIMITS = Limits(0.5, 10.0)


def series(shortest_ms):
    return [TimedCall(shortest_ms, shortest_ms, False)]


class FakeHost:
    """Times networks in processes that take a second each; settled as the test says."""

    def __init__(self, is_settled):
        self.is_settled = is_settled
        self.now_s = 0.0
        self.asked = []
        self.pauses = []

    def time_in_process(self):
        self.now_s += 1.0
        return [series(self.now_s)]

    def judge(self, processes):
        self.asked.append(len(processes))
        return self.is_settled(processes)

    def sleep(self, seconds):
        self.pauses.append(seconds)
        self.now_s += seconds

    def settle(self, limits=LIMITS):
        return settle(
            self.time_in_process, limits, self.judge, clock=lambda: self.now_s, sleep=self.sleep
        )


def test_five_processes_that_agree_are_enough():
    host = FakeHost(lambda processes: True)
    found = host.settle()
    assert found.processes == [[series(number)] for number in (1.0, 2.0, 3.0, 4.0, 5.0)]
    assert (found.num_tries, host.asked, host.pauses) == (1, [5], [])


def test_where_five_do_not_agree_more_of_them_may():
    host = FakeHost(lambda processes: len(processes) == 8)
    found = host.settle()
    assert (len(found.processes), found.num_tries) == (8, 1)
    assert host.asked == [5, 6, 7, 8]


def test_what_never_agrees_is_tried_four_times_with_pauses():
    host = FakeHost(lambda processes: False)
    found = host.settle()
    assert (len(found.processes), found.num_tries, host.pauses) == (10, 4, [2.0] * 3)


def test_a_new_try_forgets_the_last():
    # The first try ends after ten seconds, and the pause lasts two.
    host = FakeHost(lambda processes: processes[0] != [series(1.0)])
    found = host.settle()
    assert found.num_tries == 2
    assert found.processes == [[series(number)] for number in (13.0, 14.0, 15.0, 16.0, 17.0)]


@pytest.mark.parametrize(("time_limit_s", "num_processes"), [(0.5, 2), (3.5, 4)])
def test_fewer_are_enough_where_the_limit_leaves_no_more(time_limit_s, num_processes):
    host = FakeHost(lambda processes: True)
    found = host.settle(Limits(0.5, time_limit_s))
    assert (len(found.processes), found.num_tries) == (num_processes, 1)


@pytest.mark.parametrize(
    ("figures", "expected"),
    [
        ([3.0] * 5, 0.0),
        ([1.0, 2.0, 2.0, 2.0, 9.0], 0.0),  # one far off to either side says nothing
        ([9.0, 1.9, 2.0, 2.1, 1.0], 0.1),
        (np.array([1.0, 1.2]), 0.1 / 1.1),
    ],
)
def test_the_spread_is_that_of_the_middle_half(figures, expected):
    assert spread(figures) == pytest.approx(expected)
