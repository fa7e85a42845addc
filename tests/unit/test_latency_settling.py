import pytest

from trainables.latency.blocks import Limits, Series
from trainables.latency.settling import settle

LIMITS = Limits(0.5, 10.0)


def series(shortest_ms, num_blocks=5):
    return Series(minima_ms=[shortest_ms] * num_blocks)


class FakeHost:
    """Times two networks in processes that take a second each."""

    def __init__(self, targets, reference=1.0):
        self.targets = iter(targets)
        self.reference = reference
        self.now_s = 0.0
        self.pauses = []

    def time_in_process(self):
        self.now_s += 1.0
        return [next(self.targets), series(self.reference)]

    def sleep(self, seconds):
        self.pauses.append(seconds)
        self.now_s += seconds

    def settle(self, limits=LIMITS, **options):
        return settle(
            self.time_in_process, limits, clock=lambda: self.now_s, sleep=self.sleep, **options
        )


def test_three_processes_that_agree_are_enough():
    host = FakeHost([series(2.0)] * 3)
    found = host.settle()
    assert (found.disagreement, found.num_tries, host.now_s) == ((), 1, 3.0)
    assert found.series[0].minima_ms == [2.0] * 15


def test_the_shortest_call_of_one_process_must_be_confirmed_by_another():
    # 1.5 ms is a quarter less than what the others say: another process must reach it.
    host = FakeHost([series(2.0), series(1.5), series(2.0), series(2.0), series(1.52)])
    found = host.settle()
    assert host.now_s == 5.0
    assert found.disagreement == ()
    assert found.series[0].smallest_ms()[0] == 1.5


def test_what_never_agrees_is_tried_four_times_with_pauses_and_named():
    host = FakeHost([series(2.0 * 0.9**number) for number in range(100)])
    found = host.settle()
    assert (found.disagreement, found.num_tries, host.pauses) == ((0,), 4, [2.0] * 3)


def test_all_that_was_timed_counts_in_the_next_try():
    targets = [series(2.0 * 0.9**number) for number in range(10)]
    host = FakeHost([*targets, *[series(targets[-1].minima_ms[0])] * 3])
    found = host.settle()
    assert (found.disagreement, found.num_tries) == ((), 2)
    assert len(found.series[0].minima_ms) == 5 * 13


def test_two_processes_are_enough_where_the_limit_leaves_no_more():
    host = FakeHost([series(2.0)] * 2)
    found = host.settle(Limits(0.5, 0.5))
    assert (found.disagreement, host.now_s) == ((), 2.0)


@pytest.mark.parametrize(("is_good", "num_tries"), [(True, 1), (False, 4)])
def test_a_ratio_that_cannot_be_trusted_is_tried_again(is_good, num_tries):
    host = FakeHost([series(2.0)] * 100)
    found = host.settle(is_good=lambda pooled: is_good)
    assert (found.disagreement, found.num_tries) == ((), num_tries)
